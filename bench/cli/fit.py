"""`bench fit`: train a generator on the training slides of a dataset, on one or several devices, and export its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import (
    data_options,
    execution_options,
    merge_class_map,
    names_of,
    open_context,
    parse_seeds,
    writable_folder,
)
from bench.errors import BrokenPluginError, UsageError
from bench.messages import echo
from bench.runtime.launch import read_launch
from bench.types import Fittable, ReadsCheckpoint, TrainsOnSeveralDevices

if TYPE_CHECKING:
    from bench.config import RunConfig
    from bench.jobs.collective import Group
    from bench.pipeline.data import Patches


@click.command("fit")
@click.option(
    "--generator",
    "-g",
    default="",
    shell_complete=names_of("generators"),
    help="A name or path.py:Class of a generator that can be trained.",
)
@click.option("--layout-generator", default="", help="Instead of a generator, a plug-in that samples layouts.")
@click.option("--task", "-t", required=True, shell_complete=names_of("tasks"), help="The task whose data it is trained on.")
@click.option("--fit-seeds", default="0", show_default=True, callback=parse_seeds, help="Seeds of training, one fit for each.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=writable_folder,
    help="Folder for the weights, beside the store; several fits go to fit0/, fit1/ below it.",
)
@execution_options
@data_options
def command(
    generator: str,
    layout_generator: str,
    task: str,
    fit_seeds: tuple[int, ...],
    out: Path | None,
    workers: int,
    scheduler: str,
    data: str,
    dataset: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Train a generator, keep its weights where `bench run --fit` finds them, and copy them to --out with a manifest (training
    config, data key, digests, versions).

    \b
    bench fit --generator ldm-prompt --task cam16-seg --out weights
    bench fit --generator ldm-prompt --task cam16-seg --fit-seeds 0,1,2 --out weights
    bench fit --layout-generator nasdm-masks --task lizard-nuclei --out weights
    accelerate launch --num_processes 4 -m bench fit --generator ldm-prompt --task cam16-seg --out weights
    """
    from bench.config import PLACEHOLDER, RunConfig

    if bool(generator) == bool(layout_generator):
        raise UsageError("bench fit takes a --generator or a --layout-generator, one of the two.")
    config = RunConfig(
        generator=generator or PLACEHOLDER,
        layout_generator=layout_generator,
        task=task,
        data=data,
        dataset=dataset,
        prompt_source=prompt_source,
        fit_prompt_source=prompt_source,
        controls=(),
        fit_seeds=fit_seeds,
        options=merge_class_map(options, class_map),
    )
    launch = read_launch()
    if launch.ranks == 1:
        _fit(config, workers, scheduler, out)
        return
    if workers or scheduler:
        raise UsageError(
            f"--workers and --scheduler choose where jobs run, but a launcher has started {launch.ranks} processes for them: "
            "leave out one of the two."
        )
    from bench.jobs.collective import joined

    with joined(launch) as group:
        if launch.rank == 0:
            _fit(config, workers, scheduler, out, group)
        else:
            group.follow()


def _fit(config: RunConfig, workers: int, scheduler: str, out: Path | None, group: Group | None = None) -> None:
    from bench.config import load_components
    from bench.jobs.executors import make_damaged_again
    from bench.pipeline.data import MAPS, load_splits, raise_failure
    from bench.pipeline.training import training_job, training_patches
    from bench.provenance.weights_manifest import deliver
    from bench.run import check_fit

    components = load_components(config)
    plugin = components.layout_generator or components.generator_plugins[0]
    if plugin.failure is not None:
        raise BrokenPluginError(f"{plugin.name} is broken: {plugin.failure.type}: {plugin.failure.message}.")
    built = plugin.build()
    check_fit(built, components)
    if not isinstance(built, Fittable):
        raise UsageError(f"{built.card.name} has nothing to train.")
    if isinstance(built, ReadsCheckpoint) and built.checkpoint is not None:
        raise UsageError(f"{built.card.name} has the weights of {built.checkpoint}: leave out the checkpoint to train it.")
    with open_context(workers, scheduler, group) as context:
        if group is not None and isinstance(built, TrainsOnSeveralDevices):
            built.check_devices(group.launch.ranks)
        elif group is not None:
            context.log(f"{built.card.name} trains on one device: process 0 does so, {group.launch.ranks - 1} others wait")

        def fit_all() -> tuple[Patches, dict[int, Path]]:
            """The training patches, and the folder of checked weights of each seed."""
            splits = load_splits(components, context.store, context.execute)
            if splits.class_reading:
                context.log(splits.class_reading)
            train = splits.plain["train"].keep_columns(MAPS) if config.layout_generator else training_patches(plugin, splits)
            jobs = {seed: training_job(plugin, built, train, seed) for seed in config.fit_seeds}
            raise_failure(context.execute(list(jobs.values())))
            return train, {seed: context.store.folder(job.ref) for seed, job in jobs.items()}

        train, fitted = make_damaged_again(fit_all, context.store, context.log)
        shown: list[str] = []
        command_line = " ".join(["bench", *sys.argv[1:]])
        for seed, weights in fitted.items():
            if out is not None:
                folder = out / f"fit{seed}" if len(fitted) > 1 else out
                weights = deliver(built, weights, train, seed, command_line, folder)
            shown.append(str(weights))
    for line in shown:
        echo(line)

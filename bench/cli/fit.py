"""`bench fit`: train a generator on the training slides of a dataset and deliver its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from bench.cli.options import data_options, execution_options, merged, numbers, open_context
from bench.errors import UsageError
from bench.types import Fittable


@click.command("fit")
@click.option("--generator", "-g", default="", help="A name or path.py:Class of a generator that can be trained.")
@click.option("--layout-generator", default="", help="Instead of a generator, a plug-in that samples layouts.")
@click.option("--task", "-t", required=True, help="The task whose data it is trained on.")
@click.option("--fit-seeds", default="0", show_default=True, callback=numbers, help="Seeds of training, one fit for each.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the weights go; those of several fits go to fit0/, fit1/ below it.",
)
@execution_options
@data_options
def command(
    generator: str,
    layout_generator: str,
    task: str,
    fit_seeds: tuple[int, ...],
    out: Path,
    workers: int,
    scheduler: str,
    data: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Train a generator and save its weights with a manifest (training config, data key, digests, versions).

    \b
    bench fit --generator ldm-prompt --task cam16-seg --out weights
    bench fit --generator ldm-prompt --task cam16-seg --fit-seeds 0,1,2 --out weights
    bench fit --layout-generator nasdm-masks --task lizard-nuclei --out weights
    """
    from bench.config import UPPER_REFERENCE, RunConfig, load_components
    from bench.pipeline.data import MAPS, load_splits, raise_failure
    from bench.pipeline.training import training_job, training_patches
    from bench.provenance.weights_manifest import deliver
    from bench.run import check_fit

    if bool(generator) == bool(layout_generator):
        raise UsageError("bench fit takes a --generator or a --layout-generator, one of the two.")
    config = RunConfig(
        generator=generator or UPPER_REFERENCE,
        layout_generator=layout_generator,
        task=task,
        data=data,
        prompt_source=prompt_source,
        fit_prompt_source=prompt_source,
        controls=(),
        fit_seeds=fit_seeds,
        options=merged(options, class_map),
    )
    components = load_components(config)
    plugin = components.layout_generator or components.generator_plugins[0]
    built = plugin.build()
    check_fit(built, components)
    if not isinstance(built, Fittable):
        raise UsageError(f"{built.card.name} has nothing to train: it works as it is.")
    with open_context(workers, scheduler) as context:
        splits = load_splits(components, context.store, context.execute)
        train = splits.plain["train"].only(MAPS) if layout_generator else training_patches(plugin, splits)
        jobs = {seed: training_job(plugin, built, train, seed) for seed in fit_seeds}
        raise_failure(context.execute(list(jobs.values())))
        command_line = " ".join(["bench", *sys.argv[1:]])
        for seed, job in jobs.items():
            folder = out / f"fit{seed}" if len(jobs) > 1 else out
            click.echo(str(deliver(built, context.store.path(job.ref), train, seed, command_line, folder)))

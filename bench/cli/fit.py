"""`bench fit`: fit a generator on a dataset's training slides and deliver its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cache import Cache, home
from bench.cli.options import data_options, merged, progress_bar
from bench.errors import UsageError
from bench.types import Fittable


@click.command("fit")
@click.option("--generator", "-g", default="", help="A name or path.py:Class of a generator that can be fitted.")
@click.option("--layouts", default="", help="Instead of a generator, a plug-in that draws maps.")
@click.option("--task", "-t", required=True, help="The task whose data it is fitted on.")
@click.option("--fit-seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the weights go.")
@data_options
def command(
    generator: str,
    layouts: str,
    task: str,
    fit_seed: int,
    out: Path,
    data: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Fit a generator and save its weights with a manifest (training config, data key, digests, versions).

    \b
    bench fit --generator ldm-prompt --task cam16-seg --out weights
    bench fit --layouts nasdm-masks --task lizard-nuclei --out weights
    """
    from bench import config, steps
    from bench.pipeline.data import MAPS, fitting_set, only, set_up
    from bench.provenance import weights_manifest

    if bool(generator) == bool(layouts):
        raise UsageError("bench fit takes a --generator or --layouts, one of the two.")
    asked = config.RunConfig(
        generator=generator or config.UPPER_REFERENCE,
        layouts=layouts,
        task=task,
        data=data,
        prompt_source=prompt_source,
        fit_prompt_source=prompt_source,
        controls=(),
        fit_seed=fit_seed,
        refit=True,
        options=merged(options, class_map),
    )
    components = config.components(asked)
    plugin: Any = components.layouts or components.generators[0]
    steps.check_fit(plugin, components.dataset)
    if not isinstance(plugin, Fittable):
        raise UsageError(f"{plugin.card.name} has nothing to fit: it works as it is.")
    cache, progress = Cache(home()), progress_bar()
    splits = set_up(components, cache, progress)
    train = only(splits.plain["train"], MAPS) if layouts else fitting_set(components.generators[0], splits)
    log = partial(click.echo, err=True)
    weights = steps.load_or_train(generator or layouts, plugin, train, fit_seed, True, cache, progress, log)
    manifest = weights_manifest.deliver(plugin, weights, train, fit_seed, " ".join(["bench", *sys.argv[1:]]), out)
    click.echo(str(manifest))

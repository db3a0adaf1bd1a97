"""`bench fit`: fit a generator on a dataset's training slides and deliver its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from bench.cache import Cache, home
from bench.cli.options import data_options, merged, progress_bar
from bench.errors import UsageError


@click.command("fit")
@click.option("--generator", "-g", required=True, help="A name or path.py:Class of a generator that can be fitted.")
@click.option("--task", "-t", required=True, help="The task whose data it is fitted on.")
@click.option("--fit-seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the weights go.")
@data_options
def command(
    generator: str,
    task: str,
    fit_seed: int,
    out: Path,
    data: str,
    class_map: str,
    track: str,
    options: Mapping[str, str],
) -> None:
    """Fit a generator and save its weights with a manifest (recipe, data key, digests, versions).

    \b
    bench fit --generator ldm-prompt --task cam16-seg --out weights
    """
    from bench import plan, shipping, steps
    from bench.scene import fitting_set, set_up

    asked = plan.Plan(
        generator=generator,
        task=task,
        data=data,
        track=track,
        controls=(),
        fit_seed=fit_seed,
        refit=True,
        options=merged(options, class_map),
    )
    cast = plan.cast(asked)
    painter = cast.generators[0]
    steps.check_fit(painter, cast.dataset)
    cache, progress = Cache(home()), progress_bar()
    scene = set_up(cast, cache, progress)
    fitted = steps.fit(generator, painter, scene, fit_seed, True, cache, progress, lambda text: click.echo(text, err=True))
    if fitted.weights is None:
        raise UsageError(f"{generator} has nothing to fit: it paints as it is.")
    words = " ".join(["bench", *sys.argv[1:]])
    manifest = shipping.deliver(fitted, fitting_set(painter, scene), fit_seed, words, out)
    click.echo(str(manifest))

"""`bench export`: conditions for people who generate elsewhere, and generated patches as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np

from bench.cache import Cache, home
from bench.cli.options import data_options, merged, progress_bar
from bench.errors import MissingError


@click.group("export")
def command() -> None:
    """Conditions and samples as PNG and CSV."""


@command.command()
@click.option("--task", "-t", required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--seed", default=0, show_default=True, help="The run seed that the seed of each row is derived from.")
@data_options
def conditions(
    task: str, out: Path, seed: int, data: str, class_map: str, prompt_source: str, options: Mapping[str, str]
) -> None:
    """Maps, crops and seeds of the conditions that a run generates: the test patches and those of the downstream training mix.

    Generate them with whatever you have, one PNG an id under DIR/samples, and score them with --generator folder:DIR.
    """
    from bench import config
    from bench.pipeline import exporting
    from bench.pipeline.data import set_up

    asked = config.RunConfig(
        generator="noise", task=task, data=data, prompt_source=prompt_source, controls=(), options=merged(options, class_map)
    )
    components = config.components(asked)
    splits = set_up(components, Cache(home()), progress_bar(), crops=True)
    exporting.write_conditions({"train": splits.mix, "test": splits.prompted["test"]}, out, seed)
    click.echo(str(out / "conditions.csv"))


@command.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def samples(run: Path, out: Path) -> None:
    """Everything generated for RUN (a folder of `bench run`): DIR/<generator>-seed<n>/samples/<id>.png."""
    from bench.pipeline import exporting
    from bench.results import schema

    lines = schema.read([run / "results.jsonl"])
    held = {(line.generator, line.seed, line.keys["samples"]) for line in lines if "samples" in line.keys}
    for generator, seed, key in sorted(held):
        kept = Cache(home()).root / "samples" / key
        if not (kept / "images.npy").exists():
            raise MissingError(f"the samples {key} of {generator} are no longer in the cache: run the same command again.")
        folder = out / f"{generator}-seed{seed}"
        exporting.write_images(np.load(kept / "ids.npy"), np.load(kept / "images.npy", mmap_mode="r"), folder)
        click.echo(str(folder))

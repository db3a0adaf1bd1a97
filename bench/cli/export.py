"""`bench export`: conditions for people who generate elsewhere, and generated patches as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np

from bench.cli.options import data_options, execution_options, merged, open_context
from bench.errors import MissingError


@click.group("export")
def command() -> None:
    """Conditions and samples as PNG and CSV."""


@command.command()
@click.option("--task", "-t", required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--seed", default=0, show_default=True, help="The run seed that the seed of each row is derived from.")
@execution_options
@data_options
def conditions(
    task: str,
    out: Path,
    seed: int,
    workers: int,
    scheduler: str,
    data: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Maps, crops and seeds of the conditions of a run: the test patches and those that downstream models learn from.

    Generate one PNG an id under DIR/samples with whatever you have, and score them with --generator folder:DIR.
    """
    from bench.config import UPPER_REFERENCE, RunConfig, load_components
    from bench.pipeline import exporting
    from bench.pipeline.data import load_splits
    from bench.pipeline.sets import in_memory

    config = RunConfig(
        generator=UPPER_REFERENCE,
        task=task,
        data=data,
        prompt_source=prompt_source,
        controls=(),
        options=merged(options, class_map),
    )
    with open_context(workers, scheduler) as context:
        splits = load_splits(load_components(config), context.store, context.execute, with_prompts=True)
        sets = {"train": in_memory(splits.pool.patches), "test": in_memory(splits.prompted["test"].patches)}
        exporting.write_conditions(sets, out, seed)
    click.echo(str(out / "conditions.csv"))


@command.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def samples(run: Path, out: Path) -> None:
    """Everything generated for RUN (a folder of `bench run`): DIR/<generator>-seed<n>/samples/<id>.png."""
    from bench.jobs.store import EntryRef, Store, default_root
    from bench.pipeline import exporting
    from bench.pipeline.generation import generated_ref
    from bench.results import schema

    store = Store(default_root().absolute())
    records = schema.read([run / "results.jsonl"])
    found = {(record.generator, record.seed, record.keys["samples"]) for record in records if "samples" in record.keys}
    for generator, seed, key in sorted(found):
        listed = EntryRef("samples", key)
        if not key.isalnum() or not store.has(listed):
            raise MissingError(f"the samples {key} of {generator} are no longer in the store: run the same command again.")
        generated = generated_ref(store.read_json(listed, "samples.json")).load(store)
        folder = out / f"{generator}-seed{seed}"
        exporting.write_images(np.asarray(generated.conditions.ids), generated.images, folder)
        click.echo(str(folder))

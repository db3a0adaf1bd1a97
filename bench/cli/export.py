"""`bench export`: conditions for people who generate elsewhere, and generated patches as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from bench.cli.options import data_options, execution_options, merged, open_context
from bench.errors import MissingError

if TYPE_CHECKING:
    from bench.jobs.store import Store
    from bench.pipeline.sets import GeneratedRef
    from bench.run import RunContext


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
@execution_options
def samples(run: Path, out: Path, workers: int, scheduler: str) -> None:
    """Everything generated for RUN (a folder of `bench run`): DIR/<generator>-seed<n>/samples/<id>.png.

    What the store no longer holds is generated again.
    """
    from bench.pipeline import exporting
    from bench.provenance.manifest import RECORDS
    from bench.results import schema

    if not (run / RECORDS).is_file():
        raise MissingError(f"no {RECORDS} in {run}. Give a folder that bench run wrote.")
    found = exporting.list_sample_sets(schema.read([run / RECORDS]))
    if not found:
        raise MissingError(f"no record in {run} names generated patches: nothing was generated. See its table.txt.")
    with open_context(workers, scheduler) as context:
        keys = {key for _, _, key in found}
        if any(_kept(key, context.store) is None for key in keys):
            _generate_again(run, keys, context)
        for generator, seed, key in found:
            kept = _kept(key, context.store)
            if kept is None:
                raise MissingError(
                    f"the samples {key} of {generator} are not in the store, and its run cannot be made again from the data, "
                    f"weights and versions here. See: bench verify {run}"
                )
            generated = kept.load(context.store)
            folder = exporting.samples_folder(out, generator, seed)
            exporting.write_images(np.asarray(generated.conditions.ids), generated.images, folder)
            click.echo(str(folder))


def _kept(key: str, store: Store) -> GeneratedRef | None:
    """The generated set where the store holds all of it."""
    from bench.jobs.store import EntryRef
    from bench.pipeline.generation import generated_ref

    listing = EntryRef("samples", key)
    # a key from a file is text of somebody else's: it must not lead out of the store
    if not key.isalnum() or not store.has(listing):
        return None
    found = generated_ref(store.read_json(listing, "samples.json"))
    return found if all(map(store.has, (*found.shards, found.conditions.entry))) else None


def _generate_again(run: Path, keys: set[str], context: RunContext) -> None:
    """Generates the sets of these keys as the manifest of the run says."""
    from bench.pipeline.data import raise_failure
    from bench.provenance import manifest
    from bench.run import prepare

    prepared = prepare(manifest.config_of(manifest.read(run)), context)
    sets = [part for made in prepared.plan.generated for part in (made.test, made.pool) if part is not None]
    # each shard by name: a listing outlives shards that were pruned
    jobs = [job for generated in sets if generated.key in keys for job in (*generated.shards, generated.job)]
    raise_failure(context.execute(jobs))

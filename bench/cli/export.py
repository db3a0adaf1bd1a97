"""`bench export`: conditions for generators that run elsewhere, and generated patches as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from bench.cli.options import data_options, execution_options, merge_class_map, names_of, open_context, plugin_option
from bench.errors import MissingError, UsageError
from bench.messages import echo

if TYPE_CHECKING:
    from bench.jobs.store import Store
    from bench.pipeline.sets import GeneratedRef
    from bench.run import RunContext


SPLITS = ("train", "test")
"""What conditions are exported of."""


@click.group("export")
def command() -> None:
    """Write conditions or generated patches as PNG and CSV."""


@command.command()
@click.option("--task", "-t", required=True, shell_complete=names_of("tasks"))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--seed", default=0, show_default=True, help="The run seed that the seed of each row is derived from.")
@click.option(
    "--splits",
    default=",".join(SPLITS),
    show_default=True,
    help="Test patches, and those for downstream models: a run with --no-downstream uses test alone.",
)
@execution_options
@data_options
def conditions(
    task: str,
    out: Path,
    seed: int,
    splits: str,
    workers: int,
    scheduler: str,
    data: str,
    dataset: str,
    class_map: str,
    prompt_source: str,
    options: Mapping[str, str],
) -> None:
    """Write maps, crops and seeds of the conditions of a run: test patches and those that downstream models are trained on.

    Generate one PNG for each id under DIR/samples, and score them with --generator folder:DIR.
    """
    from bench.config import PLACEHOLDER, RunConfig, load_components
    from bench.pipeline import exporting
    from bench.pipeline.data import load_splits
    from bench.pipeline.sets import load_into_memory

    wanted = dict.fromkeys(name.strip() for name in splits.split(","))
    if not wanted or set(wanted) - set(SPLITS):
        raise UsageError(f"--splits takes {' and '.join(SPLITS)}, not {splits!r}.")
    config = RunConfig(
        generator=PLACEHOLDER,
        task=task,
        data=data,
        dataset=dataset,
        prompt_source=prompt_source,
        controls=(),
        options=merge_class_map(options, class_map),
    )
    with open_context(workers, scheduler) as context:
        found = load_splits(load_components(config), context.store, context.execute, with_prompts=True)
        if found.class_reading:
            context.log(found.class_reading)
        sets = {"train": found.pool, "test": found.prompted["test"]}
        exporting.write_conditions({name: load_into_memory(sets[name].patches) for name in wanted}, out, seed)
    echo(str(out / "conditions.csv"))


@command.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@plugin_option
@execution_options
def samples(run: Path, out: Path, allowed: tuple[Path, ...], workers: int, scheduler: str) -> None:
    """Write everything generated for RUN (a folder of `bench run`): DIR/<generator>-seed<n>/samples/<id>.png.

    What the store no longer holds is generated again.
    """
    from bench.pipeline import exporting
    from bench.provenance.manifest import RECORDS
    from bench.results import schema

    file = run / RECORDS
    if not file.is_file():
        raise MissingError(f"no {RECORDS} in {run}. Give a folder that bench run wrote.")
    records = list(schema.read([file]))
    found = exporting.list_sample_sets(records)
    if not found:
        raise MissingError(f"no record in {run} names generated patches: nothing was generated. See its table.txt.")
    folders = [exporting.samples_folder(out, generator, seed) for generator, seed, _ in found]  # refused before any work
    with open_context(workers, scheduler) as context:
        keys = {key for _, _, key in found}
        if any(find_kept(key, context.store) is None for key in keys):
            generate_again(run, keys, allowed, context)
        written = []
        for folder, (generator, _, key) in zip(folders, found, strict=True):
            generated = require_kept(key, generator, run, context.store).load(context.store)
            exporting.write_images(np.asarray(generated.conditions.ids), generated.images, folder)
            written.append(folder)
    for folder in written:
        echo(str(folder))


def find_kept(key: str, store: Store) -> GeneratedRef | None:
    """The generated set if the store has all of it, otherwise None."""
    from bench.pipeline.exporting import find_samples
    from bench.pipeline.generation import generated_ref

    listing = find_samples(key, store)
    if listing is None:
        return None
    found = generated_ref(store.read_json(listing, "samples.json"))
    return found if all(map(store.has, (*found.shards, found.conditions.entry))) else None


def require_kept(key: str, generator: str, run: Path, store: Store) -> GeneratedRef:
    """The generated set. Raises MissingError if the store lacks a part of it, after `generate_again` too."""
    kept = find_kept(key, store)
    if kept is None:
        raise MissingError(
            f"the samples {key} of {generator} are not in the store, and {run} cannot be made again from the data, weights "
            f"and versions here. See: bench verify {run}"
        )
    return kept


def generate_again(run: Path, keys: set[str], allowed: tuple[Path, ...], context: RunContext) -> None:
    """Generates the sets of these keys as the manifest of the run says."""
    from bench.pipeline.data import raise_failure
    from bench.provenance import manifest
    from bench.run import prepare

    prepared = prepare(manifest.config_of(manifest.read(run), allowed), context)
    sets = [part for made in prepared.plan.generated for part in (made.test, made.pool) if part is not None]
    # each shard by name: a listing may exist while its shards were pruned
    jobs = [job for generated in sets if generated.key in keys for job in (*generated.shards, generated.job)]
    raise_failure(context.execute(jobs))

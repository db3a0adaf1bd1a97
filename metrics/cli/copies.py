"""`bench copies`: the training patches that generated ones repeat, by patch and by slide, with pictures of pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from bench.cli.options import execution_options, open_context, plugin_option, writable_folder
from bench.errors import NotComparableError, UsageError
from bench.messages import echo

if TYPE_CHECKING:
    from bench.measurements.prepared import Prepared
    from bench.pipeline.plugins import Plugin
    from bench.run import RunContext
    from metrics.copying.gallery import Found
    from metrics.copying.training import Nearest


@click.command("copies")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), callback=writable_folder, required=True, help="A new or empty folder.")
@plugin_option
@execution_options
def command(run: Path, out: Path, allowed: tuple[Path, ...], workers: int, scheduler: str) -> None:
    """Write which training patches the generated patches of RUN resemble most: copies.csv, slides.csv, pictures of pairs.

    RUN is a folder of bench run that was measured with --metrics memorization. What the store no longer holds is made again.
    """
    from bench.pipeline import exporting
    from bench.provenance import manifest
    from bench.run import prepare
    from metrics.copying import gallery

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: name a new folder.")
    held = manifest.read(run)
    with open_context(workers, scheduler) as context:
        prepared = prepare(manifest.config_of(held, allowed), context)
        metric = _metric(prepared, run)
        if manifest.describe_data(prepared.components, prepared.splits, context.store)["splits"] != held["data"]["splits"]:
            raise NotComparableError(
                f"the data are not those of {run}: patches have changed, or other options name them. Run it again on "
                "these data."
            )
        train = prepared.splits.plain["train"].patches
        groups, ids = np.asarray(train.conditions.groups), np.asarray(train.conditions.ids)
        patches: list[dict[str, object]] = []
        slides: list[dict[str, object]] = []
        lines: list[str] = []
        for found, real in _find(prepared, metric, context):
            patches += gallery.patch_rows(found, ids, groups)
            slides += gallery.slide_rows(found, real, groups)
            out.mkdir(parents=True, exist_ok=True)
            folder = exporting.samples_folder(out, found.generator, found.seed)
            gallery.write_pairs(found, train.images, folder.with_name(f"{folder.name}.png"))
            lines.append(gallery.summary(found, float(real.scores.max())))
    for name, rows in (("copies", patches), ("slides", slides)):
        exporting.write_csv(out / f"{name}.csv", rows)
    for line in (*lines, str(out)):
        echo(line)


def _metric(prepared: Prepared, run: Path) -> Plugin:
    from metrics.copying.training import Memorization

    for plugin in prepared.components.condition_metrics:
        if isinstance(plugin.build(), Memorization):
            return plugin
    raise UsageError(f"{run} was not measured with the metric memorization: give bench run --metrics memorization.")


def _find(prepared: Prepared, plugin: Plugin, context: RunContext) -> Iterator[tuple[Found, Nearest]]:
    """Each generated set of test conditions with its nearest training patches, and those of the real test patches."""
    from bench.jobs.executors import make_damaged_again
    from bench.measurements.conditions import segmenter_job
    from bench.pipeline.data import raise_failure
    from metrics.copying.gallery import Found

    learned, metric = segmenter_job(plugin, prepared.splits), plugin.build()

    def learn() -> Path:
        raise_failure(context.execute([learned]))
        return context.store.folder(learned.ref)  # every file as it was written

    folder = make_damaged_again(learn, context.store, context.log)
    null = json.loads(context.store.file(learned.ref, "null.json").read_text(encoding="utf-8"))
    real = metric.find(np.asarray(prepared.splits.test.patches.images), folder)
    for made in prepared.plan.generated:
        if made.test is None:
            continue
        raise_failure(context.execute([made.test.job]))
        patches = made.test.ref.load(context.store)
        nearest = metric.find(np.asarray(patches.images), folder)
        yield Found(made.name, made.seed, patches, nearest, null["threshold"], np.asarray(null["null"])), real

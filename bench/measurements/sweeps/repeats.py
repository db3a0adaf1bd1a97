"""Images of one condition with different seeds, against real patches: one measurement for each encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import registry, statistics
from bench.jobs.graph import Job
from bench.jobs.outcomes import JobError
from bench.jobs.store import Store
from bench.measurements.protocol import FailedMeasurement, Measured, SeveralRecords, protocol_key
from bench.measurements.sweeps.measurement import choose_by_slide
from bench.pipeline.checks import check_counts, check_direction
from bench.pipeline.data import DataSplits
from bench.pipeline.encoding import FeaturesRef, encode
from bench.pipeline.fits import Generated
from bench.pipeline.generation import GeneratedSet, generate
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import SetRef
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from bench.types import ChecksConditions, ImageSet, ProvidesSets, RepeatMetric, Tally

STEP = 1_000_003
"""Between the run seeds of the images of one condition, so that runs of other seeds have none of them."""


@dataclass(frozen=True)
class RepeatMeasurement(SeveralRecords):
    """Every measure of one metric over the features of one encoder, with intervals over slides."""

    records: tuple[ResultRecord, ...]
    metric: Plugin
    asked: SetRef
    """The conditions that are repeated."""
    test: SetRef
    real: FeaturesRef
    first: FeaturesRef
    """Of the images that were generated anyway: its rows `rows` are of the conditions `asked`."""
    rows: tuple[int, ...]
    further: tuple[FeaturesRef, ...]
    """Of the images of each further seed."""
    needs: tuple[Job, ...] = ()

    def spec(self) -> Mapping[str, Any]:
        groups = [self.asked.key, self.test.key]
        return {"metric": registry.describe(self.metric.build()), "groups": groups, "rows": list(self.rows)}

    def compute(self, store: Store) -> dict[str, Measured]:
        asked, shown = self.asked.load(store).conditions, self.test.load(store).conditions
        made = np.stack([self.first.load(store)[list(self.rows)], *(found.load(store) for found in self.further)])
        tally: Tally = self.metric.build().tally_repeats(made, asked, self.real.load(store), shown)
        check_counts(self.metric.name, tally.counts, len(asked))
        found = statistics.group_bootstrap(tally, asked.units, seed=0)
        return {name: Measured(estimate, tally.bounds.get(name, (0.0, 1.0))) for name, estimate in found.items()}


def plan_repeats(
    record: ResultRecord, plugin: Plugin, encoder: Plugin, made: Generated, splits: DataSplits, test: GeneratedSet
) -> list[RepeatMeasurement | FailedMeasurement]:
    """The measurement; failures of each measure where the generator cannot be asked again, or the data lack a column."""
    metric: RepeatMetric = plugin.build()
    rows = choose_by_slide(made.test_conditions.conditions, metric.patches)
    base = made.test_conditions.rows(rows)
    described = {**record.described, "metric": registry.describe(metric)}
    same = {"encoder": described["encoder"], "metric": described["metric"], "interval": statistics.VERSION}
    record = replace(
        record,
        n=len(base),
        n_real=len(base),
        groups=len(set(base.conditions.units.tolist())),
        described=described,
        keys={**record.keys, "test": ImageSet.part_key_of(splits.test.key, rows)},
    )
    records = []
    for measure, direction in metric.measures.items():
        check_direction(f"{plugin.name}: {measure}", direction)
        protocol = protocol_key(splits.test, {**same, "measure": measure})
        records.append(replace(record, measure=measure, direction=direction, protocol=protocol))
    seeds = repeat_seeds(made.trained.generator, record.seed, metric.images)
    refused = ""
    if len(seeds) < 2:
        refused = f"images of {record.generator} were made elsewhere: of one condition there is one, and no other can be made"
    if lacking := sorted(set(metric.card.needs) - base.conditions.columns()):
        refused = f"{plugin.name} needs {', '.join(lacking)}, which {record.dataset} does not provide"
    if refused:
        error = JobError(Reason.MISSING, "MissingError", refused, "")
        return [FailedMeasurement(one, error) for one in records]
    real, first = encode(encoder, splits.test), encode(encoder, test)
    others = [generate(made.trained, base, seed) for seed in seeds[1:]]
    further = [encode(encoder, part) for part in others]
    needs = (*(found.job for found in (real, first, *further)), *(part.job for part in (test, *others)), *base.needs)
    refs = tuple(found.ref for found in further)
    chosen = tuple(rows.tolist())
    return [
        RepeatMeasurement(tuple(records), plugin, base.ref, splits.test.ref, real.ref, first.ref, chosen, refs, needs),
    ]


def repeat_seeds(generator: Any, seed: int, images: int) -> tuple[int, ...]:
    """The run seed of each image of a condition, that of the run first. Of a generator with sets of images the seeds of its
    sets, as many as there are; of one whose images were made elsewhere and that has no such sets its own alone."""
    if isinstance(generator, ProvidesSets) and (held := generator.set_seeds()):
        return (seed, *(other for other in held if other != seed))[:images]
    if isinstance(generator, ChecksConditions):
        return (seed,)
    return tuple(seed + STEP * number for number in range(images))

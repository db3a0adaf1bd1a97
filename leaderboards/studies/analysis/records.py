"""Result records of a study: `reader-accuracy`, `reader-dprime`, `reader-auc` and `reader-QUESTION`, which stand beside the
metrics of the runs that the images came from.

A record repeats what identifies the generator in the records of its run, so that both are in one row of a table. Its protocol
is the study: numbers of two studies are never ranked together. Intervals are of 95 %, whatever level the analysis has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError, did_you_mean
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import Flag, State, Status
from leaderboards.studies.analysis.analysis import Analysis, replicates_of
from leaderboards.studies.analysis.rows import Row
from leaderboards.studies.analysis.tabulation import REAL, Kind, Question

if TYPE_CHECKING:
    from pandas import DataFrame

NAMES = {"accuracy": "reader-accuracy", "d'": "reader-dprime", "AUC": "reader-auc"}
LEAST_MOST = {"accuracy": (0.0, 1.0), "AUC": (0.0, 1.0), "rate": (0.0, 1.0), "d'": (None, None)}


def study_digest(answers: DataFrame) -> str:
    """Of images, arms, slides, questions and readers: numbers of one study have one protocol, also if answers are
    corrected."""
    shown = sorted({tuple(map(str, row)) for row in answers[["image", "arm", "slide", "question", "reader"]].to_numpy()})
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:10]


def find_runs(runs: Mapping[str, Path], arms: tuple[str, ...], generators: Mapping[str, str]) -> dict[str, ResultRecord]:
    """Arm -> a record of the run that its images came from. The real arm has that of the control `real`, where a run has it.

    `generators`: arm -> generator, where it is not the name of the arm. Raises UsageError where an arm is unknown or its run
    has no records of its generator.
    """
    found: dict[str, ResultRecord] = {}
    for arm, folder in runs.items():
        if arm not in arms[1:]:
            known = ", ".join(arms[1:])
            raise UsageError(
                f"--run {arm}={folder}: no arm {arm!r} of generated images.{did_you_mean(arm, arms)} There are: {known}."
            )
        records = [record for record in schema.read(schema.files([folder])) if record.state != State.REPORTED]
        generator = generators.get(arm, arm)
        own = [record for record in records if record.generator == generator]
        if not own:
            names = ", ".join(sorted({record.generator for record in records}))
            raise UsageError(f"--run {arm}={folder}: it has no records of the generator {generator!r}, only of {names}.")
        found[arm] = own[0]
        real = next((record for record in records if record.generator == REAL), None)
        if real is not None:
            found[REAL] = real
    return found


def find_samples(places: Sequence[Path], samples: Mapping[str, str]) -> dict[str, ResultRecord]:
    """Arm -> a record of the same generated set below some folders; `samples`: arm -> key of its set. Arms without a record
    are left out. The real arm has that of a control `real` of the same task and dataset, where there is one."""
    if not places or not samples:
        return {}
    by_key: dict[str, ResultRecord] = {}
    real: dict[tuple[str, str], ResultRecord] = {}
    for record in schema.read(schema.files(places)):
        if key := record.keys.get("samples"):
            by_key.setdefault(key, record)
        if record.generator == REAL:
            real.setdefault((record.task, record.dataset), record)
    found = {arm: by_key[key] for arm, key in samples.items() if key in by_key}
    beside = [real[place] for record in found.values() if (place := (record.task, record.dataset)) in real]
    return {**found, REAL: beside[0]} if beside else found


def with_real(found: Mapping[str, ResultRecord]) -> dict[str, ResultRecord]:
    """The same with a record for the real arm, if there is none: that of another arm with the control `real` as its
    generator."""
    return dict(found) if REAL in found or not found else {**found, REAL: _as_real(next(iter(found.values())))}


def _as_real(record: ResultRecord) -> ResultRecord:
    """The record with the control `real` as its generator."""
    from bench import registry

    described = {kind: held for kind, held in record.described.items() if kind not in ("generator", "layouts")}
    described["generator"] = registry.describe(registry.load("generators", REAL))
    keys = {name: key for name, key in record.keys.items() if name == "test"}
    return replace(record, generator=REAL, prompt_source="none", described=described, keys=keys, fit={"origin": "none"})


def make_records(found: Analysis, runs: Mapping[str, ResultRecord], digest: str) -> list[ResultRecord]:
    """A record for each number of an arm with a run. `found` has the level of 0.95."""
    stamp = schema.stamp()
    return [
        _record(row, question, runs[row.arm], digest, stamp, found)
        for question in found.questions
        for row in _rows(found, question)
        if row.arm in runs
    ]


def _rows(found: Analysis, question: Question) -> Iterator[Row]:
    wanted = {Kind.REAL: ("accuracy", "d'"), Kind.GRADED: ("AUC",), Kind.SCALE: ("mean",), Kind.YES_NO: ("rate",)}[
        question.kind
    ]
    for measure in wanted:
        rows = (row for row in found.rows if (row.question, row.measure) == (question.name, measure))
        yield from (row for row in rows if not row.reader and not row.slide)


def _record(
    row: Row, question: Question, run: ResultRecord, digest: str, stamp: dict[str, str], found: Analysis
) -> ResultRecord:
    measure = NAMES.get(row.measure, f"reader-{question.name}")
    same_kind = [other for other in found.questions if other.kind is question.kind]
    if row.measure in NAMES and len(same_kind) > 1:
        measure = f"{measure}-{question.name}"
    least, most = LEAST_MOST.get(row.measure) or (float(question.values[0]), float(question.values[-1]))
    low, high = (row.low, row.high) if row.readers > 1 else (row.low_these, row.high_these)
    options: dict[str, Any] = {"study": digest, "question": question.name, "readers": row.readers}
    described = {
        **{kind: held for kind, held in run.described.items() if kind in ("generator", "layouts", "dataset")},
        "metric": {"name": measure, "version": "1", "options": options},
    }
    if isinstance(dataset := described.get("dataset"), dict):
        with_readers = "slides with one reader" if row.readers == 1 else f"slides with {row.readers} readers"
        described["dataset"] = {**dataset, "unit": with_readers, "population": ""}
    return ResultRecord(
        generator=run.generator,
        dataset=run.dataset,
        prompt_source=run.prompt_source,
        task=run.task,
        measure=measure,
        direction="lower" if row.measure in NAMES else question.direction,
        protocol=hashlib.sha256(f"{digest} {measure}".encode()).hexdigest()[:10],
        status=Status.SKIPPED if row.value is None else Status.OK,
        reason=row.reason,
        value=row.value,
        low=None if row.value is None else low,
        high=None if row.value is None else high,
        least=least,
        most=most,
        n=row.images if not row.against else row.images - _real_images(found, question),
        groups=row.slides,
        replicates=() if row.value is None else replicates_of(found, row),
        freedom=row.freedom if low is not None else None,
        flags=_flags(run, found, question),
        described=described,
        keys={name: key for name, key in run.keys.items() if name in ("weights", "method", "samples")},
        fit=run.fit,
        seed=run.seed,
        stamp=stamp,
    )


def _flags(run: ResultRecord, found: Analysis, question: Question) -> tuple[str, ...]:
    counts = next(counts for counts in found.counts if counts.question == question)
    kept = tuple(flag for flag in run.flags if flag == Flag.EMBEDDED)
    return kept if counts.are_slides_known else (*kept, Flag.SOURCES_UNKNOWN)


def _real_images(found: Analysis, question: Question) -> int:
    return next(counts.images[REAL] for counts in found.counts if counts.question == question)

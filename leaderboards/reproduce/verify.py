"""Recomputes part of a run, or all of it, and compares every result with the manifest.

files     the files of the run have the digests of the manifest
data      the splits and the test set are those of the run; otherwise nothing else can be compared
plug-ins  name, version, options and content are those of the run
weights   shipped weights, those of the store, or those trained again now have the recorded digest
patches   N conditions of each generated set, chosen at random, generated again without the stored samples
kept      every generated patch that the store still holds has the recorded digest
numbers   encoded and measured again from kept patches, with only weights and data taken from the store; scores of
          downstream models are left out

With `everything` all patches are generated again, all numbers are measured from these, and downstream models are trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import RunConfig
from bench.errors import MissingError, UsageError
from bench.files.regular import is_there
from bench.jobs.outcomes import Failed
from bench.jobs.store import DamagedEntry, EntryRef, Store
from bench.measurements.downstream import DownstreamMeasurement
from bench.measurements.experiments import ArmDifference
from bench.measurements.prepared import Prepared
from bench.pipeline.data import Patches, digests_of, raise_failure
from bench.pipeline.exporting import list_sample_sets
from bench.pipeline.fits import Generated
from bench.pipeline.generation import GeneratedSet, generate
from bench.pipeline.training import Weights
from bench.provenance import environment, manifest
from bench.provenance.digests import digest_of
from bench.provenance.manifest import FILES, PATCHES, RECORDS, SampleDigests
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.run import RunContext, collect_records, prepare
from bench.types import Images
from leaderboards.reproduce import matching
from leaderboards.reproduce.matching import EXITS, Check, Identity, KeptPatches, Outcome
from leaderboards.reproduce.overlay import Overlay

WEIGHTS = frozenset(("weights", "first-stage", "segmenters"))
GIVEN = WEIGHTS | {"data", "prompts", "layouts"}
"""Kinds of entries that are used from the store."""


@dataclass(frozen=True)
class Request:
    """What is to be recomputed."""

    sample: int = 20
    """Number of patches of each generated set."""
    seed: int = 0
    """Seed of the random choice of the sample."""
    seeds: tuple[int, ...] | None = None
    """Seeds of the run to check; None for all."""
    everything: bool = False
    data: str = ""
    """Folder of the data on this machine; empty for the recorded one."""
    dataset: str = ""
    """Instead of `data`, the dataset plug-in that reads them here; empty for the recorded one."""
    samples: Path | None = None
    """Recorded patches as `bench export samples` wrote them, to measure differences."""
    allowed: tuple[Path, ...] = ()
    """Plug-in files that the manifest may name."""


@dataclass(frozen=True)
class Report:
    """All checks of a run and their outcomes."""

    folder: Path
    checks: tuple[Check, ...]
    elsewhere: Mapping[str, tuple[Any, Any]]
    """Differences of versions and machine: name -> then and now."""
    confirmed: frozenset[Identity]
    """The records whose numbers were recomputed bit-equal."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of a check."""
        return max((check.outcome for check in self.checks), key=list(EXITS).index, default="not-done")


@dataclass(frozen=True)
class Case:
    """A recorded run, and the plan for recomputing it."""

    request: Request
    held: dict[str, Any]
    records: list[ResultRecord]
    samples: list[SampleDigests]
    prepared: Prepared
    context: RunContext
    base: Store
    known_weights: frozenset[EntryRef]
    """Weights that were in the store before the check."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether anything that can change bits differs from the run: versions, machine, or threads so far."""
        return bool(_elsewhere(self.held, self.context.store))

    def recorded(self, made: Generated) -> Iterator[tuple[SampleDigests, GeneratedSet, Patches]]:
        """The recorded sets of one generator and seed, with the jobs and conditions that recompute them."""
        parts: dict[str, tuple[GeneratedSet | None, Patches]] = {
            "test": (made.test, made.test_conditions),
            "pool": (made.pool, made.pool_conditions),
        }
        for entry in self.samples:
            generated, conditions = parts[entry.part]
            if (entry.generator, entry.seed) == (made.name, made.seed) and generated is not None:
                yield entry, generated, conditions


def verify(folder: Path, request: Request, context: RunContext) -> Report:
    """Checks the run in `folder`. Neither the folder nor the store's entries of the run are changed: recomputed entries go to
    a folder of their own in the store, visible to every worker, which is removed at the end."""
    held = manifest.read(folder)
    if not is_there(folder / RECORDS):
        raise MissingError(f"no {RECORDS} in {folder}: there is no number to compare with.")
    samples, records = manifest.read_samples(folder, held), list(schema.read([folder / RECORDS]))
    checks = [*_check_files(folder, held), *_check_listing(held, samples)]
    store = context.store
    with store.scratch("verify") as work:
        overlay = Overlay(work, store, WEIGHTS if request.everything else GIVEN)
        context = replace(context, store=overlay)
        prepared = prepare(_config(held, request), context)
        found_data = manifest.describe_data(prepared.components, prepared.splits, overlay)
        # the digests in an entry are those of its creation; the present content must be checked
        found_data["test"] = digests_of(prepared.splits.test.patches)
        checks.append(matching.data(held["data"], found_data))
        checks += matching.plugins(held["described"], manifest.describe(prepared.components))
        if any(check.outcome == "not-comparable" for check in checks):
            return Report(folder, tuple(checks), _elsewhere(held, overlay), frozenset())
        known = frozenset(
            w.ref.entry for _, _, w in prepared.plan.weights if w.ref.entry is not None and store.has(w.ref.entry)
        )
        case = Case(request, held, records, samples, prepared, context, store, known)
        sound: set[str] = set()
        for name, _, weights in prepared.plan.weights:
            found = _check_weights(case, name, weights)
            checks.append(found)
            if found.outcome == "holds":
                sound.add(name)
        good: list[Generated] = []
        rest_on: dict[str, Generated] = {}
        for made in prepared.plan.generated:
            checks += (looked_at := list(_check_samples(case, made)))
            rest_on |= {check.what: made for check in looked_at}
            is_sound = all(c.outcome != "fails" for c in looked_at if c.what.startswith("kept"))
            if _is_kept(case, made) and is_sound and {made.name, made.trained.plugin.name} & sound:
                good.append(made)
        again: dict[Identity, ResultRecord] = {}
        if request.everything:
            again = _measure(case, list(prepared.plan.generated), everything=True)
            for made in prepared.plan.generated:
                checks += (looked_at := list(_check_generated(case, made)))
                rest_on |= {check.what: made for check in looked_at}
        elif prepared.components.experiment is None:
            again = _measure(case, good, everything=False)
        checks += _check_segmenters(case)
        numbers = {matching.identity(record): (record, _check_number(case, record, again)) for record in records}
        checks = [matching.decided(c, _numbers_of(rest_on[c.what], numbers)) if c.what in rest_on else c for c in checks]
        checks += _summarise(case, numbers, again)
        elsewhere = _elsewhere(held, overlay)
    confirmed = frozenset(
        key for key, (record, check) in numbers.items() if check.outcome == "holds" and record.value is not None
    )
    return Report(folder, tuple(checks), elsewhere, confirmed)


def _elsewhere(held: Mapping[str, Any], overlay: Store) -> dict[str, tuple[Any, Any]]:
    """Differences between the environment of the run and that of what was recomputed."""
    made = Store(overlay.root)
    used = manifest.threads_of(made, (entry.ref for entry in made.entries().entries))
    return environment.differences(held["environment"], environment.environment(used))


def _config(held: Mapping[str, Any], request: Request) -> RunConfig:
    then = manifest.config_of(held, request.allowed)
    if request.seeds is not None and (unknown := sorted(set(request.seeds) - set(then.seeds))):
        raise UsageError(f"the run has no seed {unknown[0]}: it was made with {', '.join(map(str, then.seeds))}.")
    if request.data or request.dataset:  # whichever of the two the run was made with
        then = replace(then, data=request.data, dataset=request.dataset)
    return replace(then, seeds=request.seeds or then.seeds)


def _check_files(folder: Path, held: Mapping[str, Any]) -> Iterator[Check]:
    """Tables and pictures may be missing; records and digests of patches may not."""
    for name, digest in held["files"].items():
        if name not in FILES:
            yield Check(name, "fails", f"is none of the files of a run: {', '.join(FILES)}")
        elif (folder / name).is_file():
            same = digest_of(folder / name) == digest
            yield Check(name, "holds" if same else "fails", f"{'has' if same else 'does not have'} the digest of the manifest")
        elif name in (RECORDS, PATCHES):
            yield Check(name, "fails", "is missing")


def _check_listing(held: Mapping[str, Any], samples: list[SampleDigests]) -> Iterator[Check]:
    for entry, recorded in zip(held["samples"], samples, strict=True):
        if recorded.digest != entry["digest"]:
            yield Check(_label(recorded), "fails", f"the rows of {PATCHES} do not have the digest of the manifest")


def _check_weights(case: Case, name: str, weights: Weights) -> Check:
    """Trains weights that are neither shipped nor in the store, and compares the digest."""
    if name not in case.held["weights"]:
        return Check(name, "not-done", "the run generated nothing with it")
    then = case.held["weights"][name].get("digest")
    if weights.job is not None:
        outcome = case.context.execute([weights.job])[weights.job.ref]
        if isinstance(outcome, Failed):
            return Check(f"weights {name}", "fails", f"could not be trained: {outcome.error.type}: {outcome.error.message}")
    try:
        weights.ref.path(case.context.store)
    except DamagedEntry as error:
        return Check(f"weights {name}", "fails", str(error))
    found = weights.digest(case.context.store)
    if weights.origin == "none":
        origin = "it has none"
    else:
        is_known = weights.ref.entry in case.known_weights
        origin = "shipped" if weights.origin == "shipped" else "from the store" if is_known else "trained again now"
    if then == found:
        return Check(f"weights {name}", "holds", origin)
    return Check(f"weights {name}", "fails", f"{origin}; recorded {then}, found {found}")


def _check_segmenters(case: Case) -> Iterator[Check]:
    """Compares the reference segmenters that were used for the recomputed numbers."""
    found = manifest.describe_weights(case.prepared, case.context.store)
    for name in found.keys() - {name for name, _, _ in case.prepared.plan.weights}:
        if then := case.held["weights"].get(name):
            same = then["files"] == found[name]["files"]
            text = "the reference segmenter is as recorded" if same else "its files do not have the digests of the manifest"
            yield Check(f"weights {name}", "holds" if same else "fails", text)


def _check_samples(case: Case, made: Generated) -> Iterator[Check]:
    """Checks the patches that are still in the store, and some patches generated again."""
    if case.request.everything:
        return
    for entry, generated, conditions in case.recorded(made):
        kept = matching.kept(case.base, entry)
        if kept:
            known = _known(case, entry, kept.recorded)
            yield matching.kept_patches(f"kept {_label(entry)}", entry, kept, known, case.is_elsewhere)
        if case.request.sample:
            yield _check_sample(case, entry, generated, conditions, made, kept)


def _is_kept(case: Case, made: Generated) -> bool:
    """Whether the store holds all test patches of a generator and seed."""
    return made.test is not None and case.base.has(made.test.job.ref) and all(map(case.base.has, made.test.ref.shards))


def _check_sample(
    case: Case, entry: SampleDigests, generated: GeneratedSet, conditions: Patches, made: Generated, kept: KeptPatches
) -> Check:
    """Checks some conditions of one set, generated again."""
    count = min(case.request.sample, len(generated))
    rows = np.sort(np.random.default_rng(case.request.seed).choice(len(generated), count, replace=False))
    again = generate(made.trained, conditions.rows(rows), entry.seed)
    outcome = case.context.execute([again.job])[again.job.ref]
    if isinstance(outcome, Failed):
        if outcome.error.code in ("usage", "missing", "gated") and outcome.cause != made.trained.weights.ref.entry:
            raise_failure({again.job.ref: outcome})  # an error of the user is no result of the check
        return Check(_label(entry), "fails", f"could not generate: {outcome.error.type}: {outcome.error.message}")
    images = again.ref.load(case.context.store)
    known = _known(case, entry, kept.recorded)
    return matching.patches(_label(entry), entry, images, known, case.is_elsewhere, {**kept.recorded, **kept.changed})


def _known(case: Case, entry: SampleDigests, known: dict[str, Images]) -> dict[str, Images]:
    if case.request.samples is None:
        return known
    label = next((name for name, _, key in list_sample_sets(case.records) if key == entry.key), entry.generator)
    return {**matching.exported(case.request.samples, label, entry), **known}


def _measure(case: Case, chosen: list[Generated], everything: bool) -> dict[Identity, ResultRecord]:
    """The records of some generators and seeds: with `everything`, all of them from patches generated again; otherwise those
    whose test patches are kept, without downstream scores."""
    prepared, context = case.prepared, case.context
    if not everything:
        taken = frozenset(
            ref for made in chosen if made.test is not None for ref in (*made.test.ref.shards, made.test.job.ref)
        )
        assert isinstance(context.store, Overlay)
        context = replace(context, store=replace(context.store, taken=taken))
    wanted = {_who(made) for made in chosen}
    pairs = [
        (measurement, job)
        for measurement, job in zip(prepared.plan.measurements, prepared.jobs, strict=True)
        if everything
        or not isinstance(measurement, DownstreamMeasurement | ArmDifference)
        and all(_is_of(record, wanted) for record in measurement.planned())
    ]
    part = replace(
        prepared,
        plan=replace(prepared.plan, measurements=tuple(measurement for measurement, _ in pairs)),
        jobs=tuple(job for _, job in pairs),
    )
    records = collect_records(
        part, context.execute(part.targets if everything else part.jobs), replace(context, log=lambda text: None)
    )
    return {matching.identity(record): record for record in records}


def _is_of(record: ResultRecord, wanted: set[tuple[str, int, str]]) -> bool:
    """Whether the number is of one of these generators, seeds and fits; one in which no fit has a part is of any."""
    own, fit = (record.generator.partition(" + ")[0], record.seed), record.fit.get("seed", "")
    return any(own == (name, seed) and fit in ("", theirs) for name, seed, theirs in wanted)


def _check_generated(case: Case, made: Generated) -> Iterator[Check]:
    """Compares all patches generated again with the recorded ones."""
    for entry, generated, _ in case.recorded(made):
        if not case.context.store.has(generated.job.ref):
            yield Check(_label(entry), "fails", "could not be generated again")
            continue
        images = generated.ref.load(case.context.store)
        known = _known(case, entry, matching.kept(case.base, entry).recorded)
        yield matching.patches(_label(entry), entry, images, known, case.is_elsewhere, stored={})


def _check_number(case: Case, record: ResultRecord, again: Mapping[Identity, ResultRecord]) -> Check:
    made = again.get(matching.identity(record))
    name = matching.name_of(record)
    if made is not None:
        return matching.number(record, made, case.is_elsewhere)
    if record.seed not in case.prepared.config.seeds:
        return Check(name, "not-done", "numbers of other seeds")
    if case.request.everything:
        return Check(name, "fails", "is no number of this run")
    if record.mix:
        return Check(name, "not-done", "numbers of downstream models: --all trains them again")
    own = matching.made_by(record)
    if any(matching.made_by(found) == own for found in again.values() if found.encoder):
        return Check(name, "fails", "is no number of this run")
    return Check(name, "not-done", "numbers whose patches are not in this store as recorded: --all generates them")


def _summarise(
    case: Case, numbers: Mapping[Identity, tuple[ResultRecord, Check]], again: Mapping[Identity, ResultRecord]
) -> Iterator[Check]:
    """One check for all numbers that hold, one for each reason why others were not made, one for each that fails."""
    checks = [check for _, check in numbers.values()]
    source = "patches generated again" if case.request.everything else "kept patches"
    words: dict[Outcome, str] = {"holds": "bit-equal", "near": f"within {matching.NUMBERS:g}, interval included"}
    for outcome, text in words.items():
        found = [record.value is not None for record, check in numbers.values() if check.outcome == outcome]
        without = f", {found.count(False)} without a value, as recorded" if False in found else ""
        if found:
            yield Check("numbers", outcome, f"{found.count(True)} made again from {source}, {text}{without}")
    for reason in dict.fromkeys(check.message for check in checks if check.outcome == "not-done"):
        yield Check("numbers", "not-done", f"{sum(check.message == reason for check in checks)} {reason}")
    yield from (check for check in checks if check.outcome == "fails")
    for key, record in again.items():
        if key not in numbers and record.seed in case.prepared.config.seeds:
            yield Check(matching.name_of(record), "fails", f"is a number of this run, but missing in {RECORDS}")


def _numbers_of(made: Generated, numbers: Mapping[Identity, tuple[ResultRecord, Check]]) -> Iterator[Check]:
    """The checks of the numbers that are measured from patches of a generator, seed and fit."""
    return (check for record, check in numbers.values() if _is_of(record, {_who(made)}) and not record.mix)


def _who(made: Generated) -> tuple[str, int, str]:
    return made.trained.plugin.label, made.seed, made.fit.described().get("seed", "")


def _label(entry: SampleDigests) -> str:
    return f"patches {entry.generator} seed {entry.seed}" + ("" if entry.part == "test" else f" ({entry.part})")

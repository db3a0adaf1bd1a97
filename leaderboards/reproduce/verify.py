"""Makes part of a run again, or all of it, and says of each thing whether it is what the manifest recorded.

files     the files of the run have the digests of the manifest
data      the splits and the test set are the ones of the run; where not, nothing else can be compared
plug-ins  name, version and options are those of the run, and so is what they are made of
weights   what ships, is in the cache, or was fitted again now has the recorded digest
patches   N conditions of each generated set, drawn at random, generated again without the cache of samples
kept      every generated patch that the cache still holds has the recorded digest
numbers   encoded and measured again from kept patches, nothing but weights and data taken from the cache; scores of
          downstream models are left out

With `everything` all patches are generated again, all numbers are measured from these, and downstream models are trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import config, generation, layouts, run, steps
from bench.cache import Cache, digest_of, key_of
from bench.errors import BenchError, MissingError, UsageError
from bench.layouts import FittedLayoutGenerator
from bench.measuring import Desk, Log
from bench.pipeline.data import set_up
from bench.provenance import environment, manifest
from bench.provenance.manifest import LINES, PATCHES, RunLog, SampleDigests
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.steps import Fitted
from bench.types import Generator, Images, ImageSet, Progress
from leaderboards.reproduce import matching
from leaderboards.reproduce.matching import EXITS, Check, Identity, Outcome

WEIGHTS = frozenset(("weights", "segmenters"))
GIVEN = WEIGHTS | {"data", "prompts", "layouts"}


@dataclass(frozen=True)
class Request:
    """What is to be made again."""

    sample: int = 20
    """Patches of each generated set."""
    seed: int = 0
    """Of the draw of the sample."""
    seeds: tuple[int, ...] | None = None
    """Of the run, those looked at; None for all."""
    everything: bool = False
    data: str = ""
    """Where the data are here; empty for where they were then."""
    samples: Path | None = None
    """Recorded patches as `bench export samples` wrote them, to say how far others are from them."""


@dataclass(frozen=True)
class Report:
    """What was looked at, and what came of it."""

    folder: Path
    checks: tuple[Check, ...]
    elsewhere: Mapping[str, tuple[Any, Any]]
    """What of versions and machine is not as it was: name -> then and now."""
    confirmed: frozenset[Identity]
    """The lines whose numbers were made again, bit-equal."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of a check."""
        return max((check.outcome for check in self.checks), key=list(EXITS).index, default="not-done")


@dataclass(frozen=True)
class Aside(Cache):
    """The cache for what is taken as it is, a folder to be thrown away for all that is made again."""

    work: Path
    kinds: frozenset[str]
    keys: frozenset[str] = frozenset()
    """Of entries of other kinds that are taken as well."""

    def entry(self, kind: str, spec: Any, make: Callable[[Path], None]) -> Path:
        taken = kind in self.kinds or key_of(spec) in self.keys
        return super().entry(kind, spec, make) if taken else Cache(self.work).entry(kind, spec, make)

    def has(self, kind: str, spec: Any) -> bool:
        taken = kind in self.kinds or key_of(spec) in self.keys
        return super().has(kind, spec) if taken else Cache(self.work).has(kind, spec)


@dataclass(frozen=True)
class Case:
    """A run as it was recorded, and the desk at which it is made again."""

    asked: Request
    held: dict[str, Any]
    lines: list[ResultRecord]
    samples: list[SampleDigests]
    elsewhere: dict[str, tuple[Any, Any]]
    desk: Desk
    cache: Cache

    def recorded(self, name: str) -> list[SampleDigests]:
        return [p for p in self.samples if p.generator == name and p.seed in self.desk.components.config.seeds]


def verify(folder: Path, asked: Request, cache: Cache, progress: Progress, log: Log) -> Report:
    """Looks at the run in `folder`. Neither the folder nor what the cache holds of the run is changed."""
    held = manifest.read(folder)
    if not (folder / LINES).is_file():
        raise MissingError(f"no {LINES} in {folder}: there is nothing to hold a number against.")
    samples, lines = manifest.read_samples(folder, held), list(schema.read([folder / LINES]))
    elsewhere = environment.differences(held["environment"], environment.environment())
    checks = [*_files(folder, held), *_listed(held, samples)]
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as work:
        shop = Aside(cache.root, Path(work), WEIGHTS if asked.everything else GIVEN)
        components = config.components(_plan(held, asked))
        desk = Desk(components, set_up(components, shop, progress), shop, progress, log, schema.stamp())
        case = Case(asked, held, lines, samples, elsewhere, desk, cache)
        checks.append(matching.data(held["data"], manifest.data(desk)))
        checks += matching.plugins(held["described"], manifest.described(desk))
        if any(check.outcome == "not-comparable" for check in checks):
            return Report(folder, tuple(checks), elsewhere, frozenset())
        made: dict[Identity, ResultRecord] = {}
        for name, generator in zip(components.names, components.generators, strict=True):
            checks += _again(case, name, generator, made)
        numbers = {matching.identity(line): (line, _number(case, line, made)) for line in lines}
        checks += _describe(case, numbers, made)
    confirmed = frozenset(key for key, (line, check) in numbers.items() if check.outcome == "holds" and line.value is not None)
    return Report(folder, tuple(checks), elsewhere, confirmed)


def _plan(held: Mapping[str, Any], asked: Request) -> config.RunConfig:
    then = manifest.planned(held)
    if asked.seeds is not None and (unknown := sorted(set(asked.seeds) - set(then.seeds))):
        raise UsageError(f"the run has no seed {unknown[0]}: it was made with {', '.join(map(str, then.seeds))}.")
    mixes = then.mixes and (asked.everything or bool(then.experiment))
    return replace(then, workers=1, data=asked.data or then.data, seeds=asked.seeds or then.seeds, mixes=mixes)


def _files(folder: Path, held: Mapping[str, Any]) -> Iterator[Check]:
    """Tables and pictures may be left behind; lines and digests of patches may not."""
    for name, digest in held["files"].items():
        if (folder / name).is_file():
            same = digest_of(folder / name) == digest
            yield Check(name, "holds" if same else "fails", f"{'has' if same else 'has not'} the digest of the manifest")
        elif name in (LINES, PATCHES):
            yield Check(name, "fails", "is not there")


def _listed(held: Mapping[str, Any], samples: list[SampleDigests]) -> Iterator[Check]:
    for entry, recorded in zip(held["samples"], samples, strict=True):
        if recorded.digest != entry["digest"]:
            yield Check(_label(recorded), "fails", f"the rows of {PATCHES} have not the digest of the manifest")


def _again(case: Case, name: str, generator: Generator, made: dict[Identity, ResultRecord]) -> Iterator[Check]:
    """Everything about one generator; the lines that were measured again go into `made`."""
    recorded = case.recorded(name)
    if not recorded:
        yield Check(name, "not-done", "it generated nothing then")
        return
    before = {entry.name for entry in (case.cache.root / "weights").glob("*")}
    fitted = generation.fit(case.desk, name, generator)
    yield (weights := _weights(case, name, fitted, before))
    good: list[int] = []
    if not case.asked.everything:
        layout_generator = _layout_generator(case, name)
        for entry in recorded:
            known, changed = matching.kept(case.cache, entry)
            if known or changed:
                message = f"{len(changed)} changed: {', '.join(changed[:3])}" if changed else f"all {len(known)} as recorded"
                yield Check(f"kept {_label(entry)}", "fails" if changed else "holds", f"in the cache, {message}")
            if known and not changed and entry.part == "test":
                good.append(entry.seed)
            if case.asked.sample:
                yield _sampled(case, entry, fitted, layout_generator, known)
        if weights.outcome != "holds" or case.desk.components.experiment:
            return
    run_log = RunLog()
    lines = _measured(case, name, generator, good, run_log)
    made.update({matching.identity(line): line for line in lines})
    if case.asked.everything:
        yield from _generated(case, recorded, run_log)


def _weights(case: Case, name: str, fitted: Fitted, before: set[str]) -> Check:
    then = case.held["weights"].get(name, {}).get("digest")
    if fitted.origin == "none":
        message = "it has none"
    else:
        known = fitted.weights is not None and fitted.weights.name in before
        message = "shipped" if fitted.origin == "shipped" else "from the cache" if known else "fitted again now"
    if then == fitted.digest:
        return Check(f"weights {name}", "holds", message)
    return Check(f"weights {name}", "fails", f"{message}; recorded {then}, found {fitted.digest}")


def _layout_generator(case: Case, name: str) -> FittedLayoutGenerator | None:
    components = case.desk.components
    return (
        layouts.fitted(case.desk, components.layouts) if components.layouts and name == components.config.generator else None
    )


def _sampled(
    case: Case, entry: SampleDigests, fitted: Fitted, layout_generator: FittedLayoutGenerator | None, known: dict[str, Images]
) -> Check:
    """Some conditions of one generated set, generated again into a folder of their own."""
    desk = case.desk
    conditions = desk.splits.prompted["test"] if entry.part == "test" else desk.splits.mix
    if layout_generator is not None:
        conditions = layout_generator.replaced(desk, conditions, entry.seed)
    count = min(case.asked.sample, len(conditions))
    rows = np.sort(np.random.default_rng(case.asked.seed).choice(len(conditions), count, replace=False))
    try:
        generated = steps.sample(fitted, conditions[rows], entry.seed, 1, desk.cache, desk.progress).patches
    except BenchError:
        raise
    except Exception as error:  # a generator is a plug-in
        return Check(_label(entry), "fails", f"could not generate: {type(error).__name__}: {error}")
    return matching.patches(_label(entry), entry, generated, _known(case, entry, known), bool(case.elsewhere))


def _known(case: Case, entry: SampleDigests, known: dict[str, Images]) -> dict[str, Images]:
    if case.asked.samples is None:
        return known
    label = next((line.generator for line in case.lines if line.keys.get("samples") == entry.key), entry.generator)
    return {**matching.exported(case.asked.samples, label, entry), **known}


def _measured(case: Case, name: str, generator: Generator, good: list[int], run_log: RunLog) -> list[ResultRecord]:
    """The lines of one generator: everything, or those of the seeds whose patches are in the cache as they were recorded."""
    desk = replace(case.desk, log=lambda text: None)  # it has been said when the sample was generated
    if not case.asked.everything:
        if not good:
            return []
        assert isinstance(desk.cache, Aside)
        components = replace(desk.components, config=replace(desk.components.config, seeds=tuple(good)))
        keys = frozenset(p.key for p in case.recorded(name) if p.seed in good)
        desk = replace(desk, components=components, cache=replace(desk.cache, keys=keys))
    shown: dict[str, ImageSet] = {}
    return run.measured(desk, name, generator, shown, run_log)


def _generated(case: Case, recorded: list[SampleDigests], run_log: RunLog) -> Iterator[Check]:
    """All patches generated again against what was recorded."""
    made = {(entry.seed, entry.part): patches for entry, patches in run_log.samples}
    for entry in recorded:
        if (entry.seed, entry.part) not in made:
            yield Check(_label(entry), "fails", "could not be generated again")
            continue
        known = _known(case, entry, matching.kept(case.cache, entry)[0])
        yield matching.patches(_label(entry), entry, made[entry.seed, entry.part], known, bool(case.elsewhere))


def _number(case: Case, line: ResultRecord, made: Mapping[Identity, ResultRecord]) -> Check:
    again = made.get(matching.identity(line))
    if again is not None:
        return matching.number(line, again, bool(case.elsewhere))
    if line.seed not in case.desk.components.config.seeds:
        return Check(matching.called(line), "not-done", "numbers of other seeds")
    if case.asked.everything:
        return Check(matching.called(line), "fails", "is no number that this run makes")
    if line.mix:
        return Check(matching.called(line), "not-done", "numbers of downstream models: --all trains them again")
    if any(seed == line.seed and generator == line.generator for generator, seed in _remeasured(made)):
        return Check(matching.called(line), "fails", "is no number that this run makes")
    return Check(
        matching.called(line), "not-done", "numbers whose patches are not in this cache as recorded: --all generates them"
    )


def _remeasured(made: Mapping[Identity, ResultRecord]) -> set[tuple[str, int]]:
    return {(line.generator, line.seed) for line in made.values() if line.encoder}


def _describe(
    case: Case, numbers: Mapping[Identity, tuple[ResultRecord, Check]], made: Mapping[Identity, ResultRecord]
) -> Iterator[Check]:
    """One check for all numbers that hold, one for each reason why others were not made, one for each that fails."""
    checks = [check for _, check in numbers.values()]
    source = "patches generated again" if case.asked.everything else "kept patches"
    words: dict[Outcome, str] = {"holds": "bit-equal", "near": f"within {matching.NUMBERS:g}, interval included"}
    for outcome, message in words.items():
        found = [line.value is not None for line, check in numbers.values() if check.outcome == outcome]
        without = f", {found.count(False)} without a value, as recorded" if False in found else ""
        if found:
            yield Check("numbers", outcome, f"{found.count(True)} made again from {source}, {message}{without}")
    for reason in dict.fromkeys(check.message for check in checks if check.outcome == "not-done"):
        yield Check("numbers", "not-done", f"{sum(check.message == reason for check in checks)} {reason}")
    yield from (check for check in checks if check.outcome == "fails")
    for key, line in made.items():
        if key not in numbers and line.seed in case.desk.components.config.seeds:
            yield Check(matching.called(line), "fails", f"is made by this run and not in {LINES}")


def _label(entry: SampleDigests) -> str:
    return f"patches {entry.generator} seed {entry.seed}" + ("" if entry.part == "test" else f" ({entry.part})")

"""Result records from files, as every command reads them: typed, checked, and withdrawn if they are known to be wrong.

A line that is not a result record is an error with file and line number. A record that cannot be true is kept without its
number: it becomes `not-comparable`, its reason begins with `invalid` and names the rule and the place, and the other numbers
of the file are used. The same holds for records that `invalidated.toml` lists by measure and version of histobench, with the
reason given there (`invalidated`).

    range       least <= value <= most as the record states them, and within `LEAST` and `MOST` in any case
    interval    low <= value <= high
    n           one generated patch for each real one; as many patches and slides in all records of one test set
    Dice        dice:c = 2 iou:c / (1 + iou:c), and likewise dice-binary: both of the same pooled pixels
    quality     pq-pooled = dq-pooled sq-pooled

Each number is given once, and contradictions are an error: see `leaderboards.tables.duplicates`.

Numbers that were reported in papers are read separately: see `reported`.
"""

from __future__ import annotations

import gc
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from bench.errors import UsageError
from bench.files import typed_toml
from bench.results import schema
from bench.results.identity import fit_name, variants_of
from bench.results.schema import ResultRecord
from bench.results.terms import Reason, State, Status
from leaderboards.tables.duplicates import Found, each_once, place_of

VERIFIED = schema.VERIFIED
PUBLISHED = Path(__file__).parents[1] / "published"
INVALIDATIONS = Path(__file__).parents[1] / "invalidated.toml"
SHARES = ("precision", "recall", "coverage", "iou", "dice", "miou", "aji", "pq", "dq", "sq")
LEAST = {name: 0.0 for name in (*SHARES, "fd", "fd-lower-reference", "density", "vendi", "stain")}
MOST = {name: 1.0 for name in SHARES}
"""Measure (of one class or all) -> smallest possible value."""
TOLERANCE = 1e-6
RELATED = ("pq-pooled", "dq-pooled", "sq-pooled")
LARGEST = 1e100
"""Largest absolute value of a number or a bound: squares of larger ones have no finite sum."""


def read_records(places: Iterable[Path], invalidated: Path = INVALIDATIONS) -> list[ResultRecord]:
    """Every number of the .jsonl files, and of those below the folders, once, without reported numbers; wrong ones are
    withdrawn. Raises NotComparableError if two records of one number contradict each other."""
    with without_collection():
        found = [entry for entry in schema.read_numbered(schema.files(places)) if entry[2].state != State.REPORTED]
        return [record for *_, record in each_once(checked(found, invalidated)).records]


@contextmanager
def without_collection() -> Iterator[None]:
    """Inside, no cycles of objects are looked for: records are in none, and looking takes a third of the time of reading a
    hundred thousand of them. What is there on leaving is not looked at afterwards either: commands read once, and work with
    the records until they end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def reported(places: Iterable[Path] = (PUBLISHED,)) -> list[ResultRecord]:
    """The records of papers, which never enter ranks, consensus, comparisons or gates."""
    found = [entry for entry in schema.read_numbered(schema.files(places)) if entry[2].state == State.REPORTED]
    return [record for *_, record in each_once(_withdraw_impossible(found)).records]


def checked(found: list[Found], invalidated: Path = INVALIDATIONS) -> list[Found]:
    """The records in the same order, those that cannot be true or are known to be wrong without their numbers."""
    return _withdraw_impossible(_known_wrong(found, invalidations(invalidated)))


@dataclass(frozen=True)
class Invalidation:
    """Versions of histobench whose numbers of a measure are wrong, and why."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    measure: str
    """Name of the measure in records; it includes those of single classes."""
    versions: str
    """A range as in requirements, e.g. `<0.2` or `>=0.1,<0.1.4`."""
    reason: str


def invalidations(invalidated: Path = INVALIDATIONS) -> list[Invalidation]:
    """The entries of the list of withdrawn numbers; raises UsageError on one that cannot be read."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from pydantic import TypeAdapter, ValidationError

    try:
        held = typed_toml.load(invalidated, "list of withdrawn numbers")
        found = TypeAdapter(list[Invalidation]).validate_python(held.pop("invalidated", []))
        for entry in found:
            SpecifierSet(entry.versions)
    except (ValidationError, InvalidSpecifier) as error:
        raise UsageError(f"{invalidated} is not a list of [[invalidated]] measure, versions and reason: {error}.") from error
    if held:
        raise UsageError(f"{invalidated} holds [[invalidated]] and nothing else, found {', '.join(held)}.")
    return found


def _known_wrong(found: list[Found], entries: list[Invalidation]) -> list[Found]:
    known = {entry.measure.partition(":")[0] for entry in entries}
    asked = {measure for measure in {record.measure for *_, record in found} if measure.partition(":")[0] in known}
    if not asked:
        return found
    return [
        (file, line, _withdraw_known(record, entries) if record.measure in asked else record) for file, line, record in found
    ]


def _withdraw_known(record: ResultRecord, entries: list[Invalidation]) -> ResultRecord:
    """An unknown version matches every range."""
    if record.value is None:
        return record
    measure = record.measure.partition(":")[0]
    for entry in entries:
        if measure != entry.measure.partition(":")[0] or (":" in entry.measure and record.measure != entry.measure):
            continue
        stamped = record.stamp.get("histobench", "unknown")
        if _is_within(stamped, entry.versions):
            return _without(record, f"{Reason.INVALIDATED}: histobench {stamped} is within {entry.versions}: {entry.reason}")
    return record


@lru_cache(maxsize=1024)
def _is_within(version: str, versions: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(versions).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _withdraw_impossible(found: list[Found]) -> list[Found]:
    """The records with those that break a rule withdrawn."""
    broken: dict[int, str] = {}
    records = [record for *_, record in found]
    for rule in (_check_single, _check_counts, _check_relations):
        for index, what in rule(records):
            broken.setdefault(index, what)
    if not broken:
        return found
    return [
        (*entry[:2], _without(entry[2], f"{Reason.INVALID}: {broken[i]} ({place_of(entry)})")) if i in broken else entry
        for i, entry in enumerate(found)
    ]


def _without(record: ResultRecord, reason: str) -> ResultRecord:
    return replace(record, status=Status.NOT_COMPARABLE, reason=reason, value=None, low=None, high=None, replicates=())


def _check_single(found: list[ResultRecord]) -> Iterator[tuple[int, str]]:
    """Records that contradict themselves, with the reason."""
    for i, record in enumerate(found):
        if record.value is not None and (what := _impossible(record, record.value)):
            yield i, what


@lru_cache(maxsize=1024)
def _bounds_of(measure: str) -> tuple[float, float]:
    """The smallest and the largest possible value."""
    name = measure.partition(":")[0]
    for kind in ("-present", "-pooled", "-binary", "-patch"):
        name = name.removesuffix(kind)
    return LEAST.get(name, -math.inf), MOST.get(name, math.inf)


def _impossible(record: ResultRecord, value: float) -> str:
    least, most = _bounds_of(record.measure)
    if record.least is not None and record.least > least:
        least = record.least
    if record.most is not None and record.most < most:
        most = record.most
    found = (value, record.low or 0.0, record.high or 0.0, *record.replicates)
    if max(found) > LARGEST or min(found) < -LARGEST:  # all are finite
        return f"{record.measure}, its interval or its replicates lie beyond {LARGEST:g}"
    if not least - TOLERANCE <= value <= most + TOLERANCE:
        return f"{record.measure} = {value:g} lies outside [{least:g}, {most:g}]"
    low, high = (value if bound is None else bound for bound in (record.low, record.high))
    slack = TOLERANCE * (1 + abs(value))
    if not low - slack <= value <= high + slack:
        return f"{record.measure} = {value:g} lies outside its interval [{low:g}, {high:g}]"
    if record.n_real and record.n != record.n_real:
        return f"{record.n} patches where {record.n_real} were planned"
    return ""


def _check_counts(found: list[ResultRecord]) -> Iterator[tuple[int, str]]:
    """Records of one test set whose numbers of patches and slides differ from the majority, with the reason."""
    sets: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, record in enumerate(found):
        if record.value is not None and record.n and "test" in record.keys:
            sets[record.dataset, record.keys["test"]].append(i)
    for rows in sets.values():
        sizes = Counter((found[i].n, found[i].groups) for i in rows)
        planned = max(sizes, key=lambda size: (sizes[size], size))
        for i in rows:
            if (size := (found[i].n, found[i].groups)) != planned:
                yield i, "{} patches of {} slides, the same test set elsewhere has {} of {}".format(*size, *planned)


def _check_relations(found: list[ResultRecord]) -> Iterator[tuple[int, str]]:
    """Records of one model on one test set that contradict each other, with the reason."""
    related = {name for names, _ in _relations({record.measure for record in found}) for name in names}
    # papers round
    chosen = [
        i
        for i, record in enumerate(found)
        if record.measure in related and record.value is not None and record.state != State.REPORTED
    ]
    together: dict[tuple[Any, ...], dict[str, int]] = defaultdict(dict)
    variants = variants_of([found[i] for i in chosen])
    for i, which in zip(chosen, variants, strict=True):
        record = found[i]
        made = (record.stamp.get("made"), tuple(sorted(record.keys.items())), which)
        who = (
            record.generator,
            record.dataset,
            record.prompt_source,
            record.task,
            record.encoder,
            record.mix,
            record.seed,
            fit_name(record),
            record.protocol,
        )
        together[(*who, *made)][record.measure] = i
    for rows in together.values():
        for names, expected in _relations(rows):
            values = [found[rows[name]].value for name in names]
            if not math.isclose(values[0] or 0.0, expected(*values[1:]), rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                message = ", ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))
                for name in names:
                    yield rows[name], f"{message} contradict each other"


def _relations(names: Iterable[str]) -> Iterator[tuple[tuple[str, ...], Callable[..., float]]]:
    """((measure, measures that it is a function of), function), for those that are all present."""
    known = set(names)
    pairs = [(name, name.replace("dice", "iou", 1)) for name in known if name.startswith(("dice:", "dice-binary"))]
    asked: list[tuple[tuple[str, ...], Callable[..., float]]] = [(pair, lambda iou: 2 * iou / (1 + iou)) for pair in pairs]
    asked.append((RELATED, lambda dq, sq: dq * sq))
    return (relation for relation in asked if known.issuperset(relation[0]))

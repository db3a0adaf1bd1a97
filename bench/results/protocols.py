"""Which records may share a table: the protocol sets of records of one task and dataset, and how two sets differ.

A protocol key belongs to one column (measure with encoder or training mix), so that it cannot show whether two numbers of one
row were made under one protocol. A set therefore also has what its records share in all columns: test patches, training
patches of downstream models, and each task, encoder and metric with its options.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.results.identity import OWN, column
from bench.results.schema import ResultRecord

SHOWN = 3
"""Differences between two sets that are printed."""

Facts = dict[str, str]
"""Conditions of a record: name of the fact -> its value. Records with different values of one fact share no table."""


def split_by_protocol(records: Iterable[ResultRecord]) -> list[list[ResultRecord]]:
    """The records of one task and data set as protocol sets: each record once, the set of most numbers first.

    Records of one generator that were made at one time belong together. A set grows by such groups as long as no fact
    differs; of each column the protocol of most generators comes first, and of equally many always the same one. Records
    without a number go where their facts fit, or else to the first set of the same test patches. The order of the records
    changes neither the sets nor their order.
    """
    asked = list(records)
    facts = _list_facts(asked)
    sets = _sets([(record, known) for record, known in zip(asked, facts, strict=True) if record.value is not None])
    parts: list[list[ResultRecord]] = [[] for _ in sets.facts]
    places: dict[tuple[int, bool], int] = {}
    for record, known in zip(asked, facts, strict=True):
        which = id(known), record.value is not None
        if which not in places:  # sets are only added, behind the others: the first that fits stays the first
            place = places[which] = _place(record, known, sets)
            if place == len(sets.facts):
                sets.add(known if record.value is not None else _test(record))
                parts.append([])
        parts[places[which]].append(record)
    return [part for part in parts if part]


def _list_facts(records: list[ResultRecord]) -> list[Facts]:
    """The facts of each record; records with equal facts share one object."""
    made: dict[tuple[object, ...], Facts] = {}
    shared: dict[str, Facts] = {}
    listed = []
    for record in records:
        keys = record.keys
        # `described` is one object for hundreds of records, and these have it as long as this runs
        key = (record.measure, record.encoder, record.mix, record.protocol, keys.get("test"), keys.get("train"))
        own = made.get((*key, id(record.described)))
        if own is None:
            own = _facts(record)
            own = made[(*key, id(record.described))] = shared.setdefault(repr(sorted(own.items())), own)
        listed.append(own)
    return listed


class _Sets:
    """Facts of some sets in an order, of which the first that fits is found without a look at each."""

    def __init__(self) -> None:
        self.facts: list[Facts] = []
        self._with_fact: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._with_name: dict[str, set[int]] = defaultdict(set)

    def add(self, facts: Facts) -> None:
        self.facts.append({})
        self._extend(len(self.facts) - 1, facts)

    def join(self, facts: Facts) -> None:
        """Adds to the first set that the facts do not contradict, or as a set of their own."""
        home = self.find_agreeing(facts)
        if home is None:
            self.add(facts)
        else:
            self._extend(home, facts)

    def find_agreeing(self, facts: Facts) -> int | None:
        """Index of the first set that none of the facts contradicts."""

        def count(fact: tuple[str, str]) -> int:
            return len(self._with_fact.get(fact, ())) + len(self.facts) - len(self._with_name.get(fact[0], ()))

        if not facts:
            return 0 if self.facts else None
        fact = min(facts.items(), key=count)  # sets that do not name it agree too
        found = set(self._with_fact.get(fact, ()))
        if len(named := self._with_name.get(fact[0], set())) < len(self.facts):
            found |= set(range(len(self.facts))) - named
        return next((i for i in sorted(found) if _agree(self.facts[i], facts)), None)

    def find_containing(self, facts: Facts) -> int | None:
        """Index of the first set that has all of the facts."""
        found = min((self._with_fact.get(fact, set()) for fact in facts.items()), key=len)
        return next((i for i in sorted(found) if facts.items() <= self.facts[i].items()), None)

    def _extend(self, index: int, facts: Facts) -> None:
        self.facts[index].update(facts)
        for fact in facts.items():
            self._with_fact[fact].add(index)
            self._with_name[fact[0]].add(index)


def _sets(valued: list[tuple[ResultRecord, Facts]]) -> _Sets:
    groups = _groups(valued)
    together: dict[int, tuple[Facts, set[str]]] = {}
    for record, known in valued:
        together.setdefault(id(known), (known, set()))[1].add(record.generator)
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for known, generators in together.values():
        for fact in known.items():
            holders[fact] |= generators
    most: Counter[str] = Counter()
    for (name, _), generators in holders.items():
        most[name] = max(most[name], len(generators))

    def rank(group: Facts) -> tuple[int, int, str]:
        rarer = sum(most[name] - len(holders[name, value]) for name, value in group.items())
        return rarer, -len(group), repr(sorted(group.items()))

    sets = _Sets()
    for group in sorted(groups, key=rank):
        sets.join(group)
    return sets


def _groups(valued: list[tuple[ResultRecord, Facts]]) -> list[Facts]:
    """Facts of the records of one generator and time; separate groups if they contradict each other."""
    together: dict[tuple[str, str], _Sets] = defaultdict(_Sets)
    order = {id(facts): facts for _, facts in valued}
    rank = {which: repr(sorted(facts.items())) for which, facts in order.items()}
    once = {(record.generator, record.stamp.get("made", ""), id(facts)): facts for record, facts in valued}
    for (generator, made, _), facts in sorted(once.items(), key=lambda item: rank[item[0][2]]):
        together[generator, made].join(facts)
    return [group for known in together.values() for group in known.facts]


def _facts(record: ResultRecord) -> Facts:
    facts = {f"column {column(record)}": record.protocol, **_test(record)}
    if record.mix and record.keys.get("train"):
        facts["training patches"] = record.keys["train"]
    for kind in ("task", "encoder", "metric"):
        held = record.described.get(kind)
        if isinstance(held, Mapping):
            facts[f"{kind} {held.get('name', '')}"] = json.dumps(held, sort_keys=True)
    return facts


def _test(record: ResultRecord) -> Facts:
    return {"test patches": record.keys["test"]} if record.keys.get("test") else {}


def _agree(one: Facts, other: Facts) -> bool:
    return all(one.get(name, value) == value for name, value in other.items())


def _place(record: ResultRecord, facts: Facts, sets: _Sets) -> int:
    """Index of the set that the record belongs to; the number of sets if it fits none."""
    found = sets.find_containing(facts)
    if found is None and record.value is None:
        found = sets.find_agreeing(_test(record))
    return len(sets.facts) if found is None else found


def difference_between(records: Sequence[ResultRecord], others: Sequence[ResultRecord]) -> str:
    """How two protocol sets differ, as far as their records show; at most `SHOWN` differences."""
    theirs = {column(record): record for record in others}
    shared = [(record, theirs[column(record)]) for record in records if column(record) in theirs]
    text = [difference(one, other) for one, other in shared if one.protocol != other.protocol]
    if not text:
        one, other = records[0], others[0]
        kinds = [kind for kind in ("dataset", "task") if kind in one.described and kind in other.described]
        keys = {"test patches": "test", "training patches": "train"}
        text = entries(one.described, other.described, kinds) or [
            f"{name}: {one.keys.get(key)} and {other.keys.get(key)}"
            for name, key in keys.items()
            if one.keys.get(key) != other.keys.get(key)
        ]
    found = sorted(dict.fromkeys(text)) or ["records made together that share no other protocol"]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def difference(first: ResultRecord, second: ResultRecord) -> str:
    """How two records of one measure differ in protocol, as far as they show."""
    kinds = sorted({*first.described, *second.described} - set(OWN))
    if found := entries(first.described, second.described, kinds):
        return "; ".join(found)
    sizes = {"n": (first.n, second.n), "n_real": (first.n_real, second.n_real), "slides": (first.groups, second.groups)}
    sizes = {name: pair for name, pair in sizes.items() if pair[0] != pair[1]}
    if found := [f"{name}: {ours} and {theirs}" for name, (ours, theirs) in sizes.items()]:
        return "; ".join(found)
    for name, ours, theirs in (
        ("test patches", first.keys.get("test"), second.keys.get("test")),
        ("histobench", first.stamp.get("histobench"), second.stamp.get("histobench")),
    ):
        if ours != theirs:
            return f"{name}: {ours} and {theirs}"
    return f"protocol {first.protocol} and {second.protocol}, with nothing else in the records that tells them apart"


def entries(first: Mapping[str, Any], second: Mapping[str, Any], kinds: Iterable[str]) -> list[str]:
    """Entries of two descriptions that differ, e.g. `dataset.options.size: 64 and 128`."""
    ours, theirs = ({k: v for kind in kinds for k, v in _flat(kind, side.get(kind, {}))} for side in (first, second))
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    return [f"{name}: {ours.get(name, 'none')} and {theirs.get(name, 'none')}" for name in names]


def _flat(name: str, held: Any) -> list[tuple[str, Any]]:
    if not isinstance(held, Mapping):
        return [(name, held)]
    return [pair for key, value in held.items() for pair in _flat(f"{name}.{key}", value)]

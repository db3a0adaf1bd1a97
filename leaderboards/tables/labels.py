"""Labels in place of the names of generators, as `bench run --label` gave them, in tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench.results.identity import label_of, variants_of
from bench.results.schema import ResultRecord


def name_rows(records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """The records with labels in place of names, for tables that are made of all of them.

    Of several labels of one variant of a generator the last is shown, in the order of stamps. A label that several generators
    would have, or that is the name of another one, is followed by the name: `ours (ldm-prompt)`. Variants of one generator
    with one label are distinguished by `build.variants`, as those without a label.
    """
    found = list(zip(records, variants_of(records), strict=True))
    labels: dict[tuple[str, str], str] = {}
    for record, which in sorted(found, key=lambda pair: pair[0].stamp.get("made", "")):
        if label := label_of(record):
            labels[record.generator, which] = label
    owners: dict[str, set[str]] = defaultdict(set)
    for record, which in found:
        owners[labels.get((record.generator, which), record.generator)].add(record.generator)

    def name(record: ResultRecord, which: str) -> str:
        label = labels.get((record.generator, which), record.generator)
        return label if len(owners[label]) == 1 or label == record.generator else f"{label} ({record.generator})"

    return [replace(record, generator=name(record, which)) for record, which in found]

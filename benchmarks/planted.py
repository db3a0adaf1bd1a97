"""Makes a copy of a baseline in which one number is worse, which `bench gate` must call a regression.

python -m benchmarks.planted leaderboards/baselines/quick.jsonl planted.jsonl
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.results import schema
from bench.results.identity import column
from bench.results.schema import ResultRecord

SIZE = 1.0
"""By how much the number becomes worse, as a share of its value: far beyond every margin of the shipped policy."""


def plant(records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """The records with the first Fréchet distance of the first generator doubled in all seeds, with its interval and its
    jackknife replicates. Raises ValueError where no distance has two seeds and values without each block of slides."""
    found: dict[tuple[str, str, str], list[ResultRecord]] = defaultdict(list)
    for record in records:
        if record.measure == "fd" and record.value and record.replicates:
            found[record.generator, record.dataset, column(record)].append(record)
    target = next((key for key, held in found.items() if len(held) > 1), None)
    if target is None:
        raise ValueError("no Fréchet distance with two seeds and jackknife replicates to make worse")
    chosen = found[target]
    return [_worse(record) if record in chosen else record for record in records]


def _worse(record: ResultRecord) -> ResultRecord:
    """Each number of the record moved by the same amount, so that its interval keeps its width."""
    assert record.value is not None
    by = SIZE * abs(record.value)
    low, high = (None if bound is None else bound + by for bound in (record.low, record.high))
    replicates = tuple(replicate + by for replicate in record.replicates)
    return replace(record, value=record.value + by, low=low, high=high, replicates=replicates)


if __name__ == "__main__":
    given, out = map(Path, sys.argv[1:])
    schema.write(plant(list(schema.read([given]))), out)

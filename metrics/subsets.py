"""The jackknife of statistics that are cheaper for all of its subsets of slides together than for one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.statistics import Estimate
from bench.types import Strings

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]
Subset = tuple[Mask, Mask]
"""The real and the generated rows to use, bool (n,) and bool (m,)."""
Answers = Callable[[Sequence[Subset]], Sequence[float]]
"""From subsets to the value of a statistic on each."""


def jackknife_together(answers: Answers, groups_real: Strings, groups_fake: Strings) -> Estimate:
    """`bench.statistics.group_jackknife` of a statistic that is asked for all subsets at once, the whole first."""
    asked: dict[bytes, Subset] = {}

    def ask(real: Mask, fake: Mask) -> float:
        asked.setdefault(_key(real, fake), (real.copy(), fake.copy()))
        return 0.0

    statistics.group_jackknife(ask, groups_real, groups_fake)
    known = dict(zip(asked, answers(list(asked.values())), strict=True))

    def look_up(real: Mask, fake: Mask) -> float:
        key = _key(real, fake)
        return known[key] if key in known else answers([(real, fake)])[0]

    return statistics.group_jackknife(look_up, groups_real, groups_fake)


def _key(real: Mask, fake: Mask) -> bytes:
    return np.packbits(real).tobytes() + b"/" + np.packbits(fake).tobytes()


@dataclass(frozen=True)
class Sections:
    """Parts of the rows of both sides that every subset keeps or leaves out as one."""

    real: Labels
    """int64 (n,): section of each real row."""
    fake: Labels
    """int64 (m,): section of each generated row."""
    kept: Mask
    """bool (subsets, sections): which sections each subset keeps."""

    @property
    def count(self) -> int:
        return self.kept.shape[1]

    @staticmethod
    def of(subsets: Sequence[Subset]) -> Sections:
        """The fewest sections from which all subsets can be put together."""
        patterns = np.concatenate([np.stack([subset[side] for subset in subsets], axis=1) for side in (0, 1)])
        _, first, section = np.unique(np.packbits(patterns, axis=1), axis=0, return_index=True, return_inverse=True)
        n = len(subsets[0][0])
        labels = section.reshape(-1).astype(np.int64)
        return Sections(labels[:n], labels[n:], np.ascontiguousarray(patterns[first].T))


def with_error(found: Estimate, error: float) -> Estimate:
    """The same estimate with another standard error: interval and replicates keep their middle and change their spread."""
    if found.low is None or found.high is None or not found.error:
        return found
    factor = error / found.error
    middle = float(np.mean(found.replicates)) if found.replicates else 0.0
    return replace(
        found,
        low=found.value - factor * (found.value - found.low),
        high=found.value + factor * (found.high - found.value),
        error=error,
        replicates=tuple(middle + factor * (value - middle) for value in found.replicates),
    )

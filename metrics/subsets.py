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


def part_error(
    statistic: statistics.Statistic, groups_real: Strings, groups_fake: Strings, least: int, seed: int = 0
) -> float | None:
    """Standard error of a local statistic from its spread over disjoint parts of the slides; None where there are too few.

    A jackknife counts what depends on k patches together k times (Efron and Stein 1981, The jackknife estimate of variance),
    and a nearest neighbour depends on many: its error is up to twice too large. The values of disjoint parts are independent,
    and the variance of a mean of local terms falls as one over the number of slides, so that the variance over parts, divided
    by their number, is that of the whole (random groups; Politis and Romano 1994 for why parts may not be too large a share).
    Slides are dealt to parts the largest first, those of both sides apart from those of one, several times. Parts have at
    least `least` rows a side.
    """
    real, fake = (dict(zip(*np.unique(side, return_counts=True), strict=True)) for side in (groups_real, groups_fake))
    names = np.array(sorted({*real, *fake}))
    kinds = np.array([(name in real) + 2 * (name in fake) for name in names])
    sizes = np.array([real.get(name, 0) + fake.get(name, 0) for name in names])
    count = _parts(min(len(real), len(fake)))
    if not count:
        return None
    rng, found = np.random.default_rng(seed), []
    for _ in range(-(-_FREEDOM // (count - 1))):
        order = np.lexsort((rng.random(len(names)), -sizes, kinds))
        part_of = np.empty(len(names), np.int64)
        part_of[order] = np.concatenate([rng.permutation(count) for _ in range(-(-len(names) // count))])[: len(names)]
        owners = [part_of[np.searchsorted(names, side)] for side in (groups_real, groups_fake)]
        subsets = [(owners[0] == part, owners[1] == part) for part in range(count)]
        if min(int(rows.sum()) for subset in subsets for rows in subset) < least:
            return None
        values = np.array([statistic(x, y) for x, y in subsets])
        weights = np.array([x.sum() + y.sum() for x, y in subsets]) / (len(groups_real) + len(groups_fake))
        found.append(float(count / (count - 1) * (weights**2 * (values - weights @ values) ** 2).sum()))
    return float(np.sqrt(np.mean(found)))


_SLIDES = 20
"""Slides of a part. With 5 to 10 of them, the error of density was a fifth too small where patches of a slide resemble each
other."""
_MOST = 10
"""Parts."""
_FREEDOM = 14
"""Degrees of freedom that all deals of slides to parts have together."""


def _parts(slides: int) -> int:
    """Of how many parts the spread is measured."""
    return 0 if slides < statistics.MINIMUM_GROUPS else min(max(slides // _SLIDES, 2), _MOST)


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

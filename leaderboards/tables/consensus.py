"""What independent encoders agree on: mean rank over encoders with its interval, and the pairs that they order differently.

The interval of a mean rank comes from differences that are shown, after Mogstad, Romano, Shaikh and Wilhelm ("Inference for
Ranks", Review of Economic Studies 91, 2024). In each encoder a generator's rank is at least 1 + the number of generators that
are shown to be better, and at most their number less those that are shown to be worse; the bounds of the mean rank are the
means of these over encoders. Shown means by the paired difference over slides, fits and seeds, at a level at which all
differences of one generator in all encoders hold together in 95 of 100 repetitions. That level comes from joint draws: one
draw of weights of the blocks of slides moves all generators and encoders at once, through the values without each block that
records keep, so that encoders that see the same slides count for as much as they tell. The estimated rank is always inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.results.schema import ResultRecord
from bench.results.tables import Cell
from bench.results.terms import Flag
from leaderboards.comparison.pairs import Difference, paired_each

Rows = Mapping[str, Mapping[str, Cell]]
"""generator -> column -> cell."""
Behind = Mapping[tuple[str, str], Sequence[ResultRecord]]
"""(generator, column) -> the records behind the cell."""
DRAWS = 4000
STEP = 128
"""Draws at a time: their products fit into the cache of a processor."""
LEVEL = 0.95


@dataclass(frozen=True)
class Place:
    """Where one generator stands."""

    generator: str
    rank: float
    """Mean over encoders; 1 is best."""
    low: float | None
    high: float | None
    """95 % interval over slides, fits and seeds; None where one of the distances has no interval."""


@dataclass(frozen=True)
class Disagreement:
    """Two generators that encoders order differently."""

    first: str
    second: str
    before: tuple[str, ...]
    """Encoders by which `first` is better."""
    after: tuple[str, ...]
    """Encoders by which `second` is better."""


@dataclass(frozen=True)
class Consensus:
    places: tuple[Place, ...]
    """Best first: the generators that every encoder has a number for."""
    encoders: tuple[str, ...]
    left_out: tuple[str, ...]
    """Columns of encoders that some generator here was conditioned by, or that shaped the data."""
    disagreements: tuple[Disagreement, ...]


def consensus(rows: Rows, columns: tuple[str, ...], behind: Behind | None = None, measure: str = "fd") -> Consensus | None:
    """Ranks over the columns of a distance (`fd ENCODER`); None with fewer than two encoders or two generators.

    An encoder that knew one of the generators is left out for all, or ranks would rest on different panels. Where the records
    of two generators cannot be paired, their intervals are taken for independent, which widens the ranks'.
    """
    asked = tuple(column for column in columns if column.startswith(f"{measure} "))
    left_out = tuple(column for column in asked if conflicted(rows, column))
    encoders = tuple(column for column in asked if column not in left_out)
    names = [name for name, found in rows.items() if all(_known(found.get(encoder)) for encoder in encoders)]
    if len(encoders) < 2 or len(names) < 2:
        return None
    cells = [[rows[name][encoder] for encoder in encoders] for name in names]
    values = np.array([[_value(cell) for cell in row] for row in cells])
    ranks = _mean_ranks(values)
    records = [[(behind or {}).get((name, encoder), ()) for encoder in encoders] for name in names]
    bounds = _rank_bounds(cells, records)
    places = [
        Place(name, float(rank), *((None, None) if bounds is None else bounds[i]))
        for i, (name, rank) in enumerate(zip(names, ranks, strict=True))
    ]
    ordered = tuple(sorted(places, key=lambda place: (place.rank, place.generator)))
    shown = tuple(encoder.partition(" ")[2] for encoder in encoders)
    return Consensus(ordered, shown, tuple(c.partition(" ")[2] for c in left_out), _disagreements(ordered, rows, encoders))


def conflicted(rows: Rows, column: str) -> bool:
    """Whether the encoder of this column shaped one of the generators, or their data."""
    return any(Flag.ENCODER_CONFLICT in found[column].flags for found in rows.values() if column in found)


def sentences(found: Consensus) -> list[str]:
    """The consensus as notes below a table."""
    places = "; ".join(
        f"{place.generator} {place.rank:.2g}" + ("" if place.low is None else f" [{place.low:.2g}, {place.high:.2g}]")
        for place in found.places
    )
    without = f", without {', '.join(found.left_out)}, which shaped a generator or the data" if found.left_out else ""
    text = [f"Mean rank over {', '.join(found.encoders)}{without}: {places}."]
    for pair in found.disagreements:
        before, after = ", ".join(pair.before), ", ".join(pair.after)
        text.append(f"Encoders disagree: {pair.first} before {pair.second} by {before}; after it by {after}.")
    return text


def _disagreements(places: tuple[Place, ...], rows: Rows, encoders: tuple[str, ...]) -> tuple[Disagreement, ...]:
    found = []
    for first, second in combinations((place.generator for place in places), 2):
        gaps = {
            encoder.partition(" ")[2]: _value(rows[first][encoder]) - _value(rows[second][encoder]) for encoder in encoders
        }
        before = tuple(encoder for encoder, gap in gaps.items() if gap < 0)
        after = tuple(encoder for encoder, gap in gaps.items() if gap > 0)
        if before and after:
            found.append(Disagreement(first, second, before, after))
    return tuple(found)


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over encoders of the ranks of generators, 1 for the smallest; equal values share the mean of their places.

    (generators, encoders) -> (generators,).
    """
    ordered = np.sort(values, axis=0)
    ranks = np.empty(values.shape)
    for column in range(values.shape[1]):
        below, until = (np.searchsorted(ordered[:, column], values[:, column], side=side) for side in ("left", "right"))
        ranks[:, column] = (below + until + 1) / 2
    return np.asarray(ranks.mean(axis=-1))


def _rank_bounds(cells: list[list[Cell]], records: list[list[Sequence[ResultRecord]]]) -> list[tuple[float, float]] | None:
    """Least and greatest mean rank of each generator; None where a distance has no interval."""
    if any(cell.low is None or cell.high is None for row in cells for cell in row):
        return None
    count, encoders = len(cells), len(cells[0])
    places = [(e, i, j) for e in range(encoders) for i, j in combinations(range(count), 2)]
    found = paired_each([(records[i][e], records[j][e]) for e, i, j in places])
    gaps = [_gap(cells[i][e], cells[j][e], pair) for (e, i, j), pair in zip(places, found, strict=True)]
    which = {place: row for row, place in enumerate(places)}
    values, errors, freedoms = (np.array([getattr(gap, name) for gap in gaps]) for name in ("value", "error", "freedom"))
    lengths = np.array([len(gap.without) for gap in gaps])
    without = np.zeros((len(gaps), int(lengths.max(initial=0))))
    for row, gap in enumerate(gaps):
        without[row, : lengths[row]] = gap.without
    bounds = []
    for i in range(count):
        others = [(e, j) for e in range(encoders) for j in range(count) if j != i]
        rows = np.array([which[e, min(i, j), max(i, j)] for e, j in others])
        signs = np.array([1.0 if i < j else -1.0 for _, j in others])
        sizes = set(lengths[rows].tolist()) - {0}
        blocks = sizes.pop() if len(sizes) == 1 else 0  # of other blocks nothing is shared
        shared = np.where(lengths[rows, None] == blocks, signs[:, None] * without[rows, :blocks], 0.0)
        level = _joint_level(errors[rows], shared)
        reaches = _quantiles(freedoms[rows], 1 - level / 2) * errors[rows]
        own = signs * values[rows]
        better, worse = int((own - reaches > 0).sum()), int((own + reaches < 0).sum())
        bounds.append((1 + better / encoders, count - worse / encoders))
    return bounds


def _gap(mine: Cell, theirs: Cell, found: Difference | str) -> Difference:
    """The difference by pairs where that can be, else that of independent intervals."""
    if isinstance(found, Difference) and found.seeds == min(mine.seeds, theirs.seeds):
        return found
    halves = [(cell.high - cell.low) / 2 for cell in (mine, theirs) if cell.high is not None and cell.low is not None]
    error = math.hypot(*halves) / NormalDist().inv_cdf((1 + LEVEL) / 2)
    return Difference(_value(mine) - _value(theirs), error, math.inf, mine.seeds, mine.groups)


def _joint_level(errors: NDArray[np.float64], without: NDArray[np.float64]) -> float:
    """The two-sided level of each difference at which all of them hold together with `LEVEL`.

    `without` (gaps, blocks): the differences without each block, 0 where they are not known. Drawn as normal: what slides
    contribute to all differences by one set of weights of their blocks, the rest of each error independently, which rather
    widens.
    """
    blocks = without.shape[1]
    shares = np.zeros(without.shape)
    rows = np.flatnonzero((errors != 0) & without.any(axis=1))
    if len(rows):
        apart = without[rows] - without[rows].mean(axis=1)[:, None]
        apart *= math.sqrt((blocks - 1) / blocks) / errors[rows, None]
        shares[rows] = apart / np.maximum(1.0, np.linalg.norm(apart, axis=1))[:, None]
    rest = np.sqrt(np.clip(1 - (shares**2).sum(axis=1), 0, None)).astype(np.float32)[:, None]
    shares = shares.astype(np.float32)
    common, own = _draws(blocks, len(errors))
    largest = np.empty(DRAWS)
    for first in range(0, DRAWS, STEP):
        some = slice(first, first + STEP)
        drawn = shares @ common[:, some]
        drawn += rest * own[:, some]
        largest[some] = np.abs(drawn, out=drawn).max(axis=0)
    reach = float(np.quantile(largest, LEVEL))
    return 2 * (1 - NormalDist().cdf(reach))


@lru_cache(maxsize=1)
def _draws(blocks: int, gaps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(blocks, DRAWS) and (gaps, DRAWS) of a standard normal, always the same: the same table always says the same.

    Single precision: the level rests on 4000 draws and is not known to seven digits.
    """
    rng = np.random.default_rng(0)
    return rng.standard_normal((blocks, DRAWS), np.float32), rng.standard_normal((gaps, DRAWS), np.float32)


def _quantiles(freedoms: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Student's, for each of the degrees of freedom."""
    from scipy.special import stdtrit  # not at the top: `bench --help` should not wait for it

    return np.where(np.isfinite(freedoms), stdtrit(freedoms, share), NormalDist().inv_cdf(share))


def _known(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None


def _value(cell: Cell) -> float:
    assert cell.value is not None
    return cell.value

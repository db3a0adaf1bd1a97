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
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.results.schema import ResultRecord
from bench.results.tables import Cell
from bench.results.terms import Flag
from leaderboards.comparison.pairs import Difference, paired

Rows = Mapping[str, Mapping[str, Cell]]
"""generator -> column -> cell."""
Behind = Mapping[tuple[str, str], Sequence[ResultRecord]]
"""(generator, column) -> the records behind the cell."""
DRAWS = 4000
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

    (..., generators, encoders) -> (..., generators).
    """
    from scipy.stats import rankdata  # not at the top: it takes half a second

    return np.asarray(rankdata(values, axis=-2).mean(axis=-1))


def _rank_bounds(cells: list[list[Cell]], records: list[list[Sequence[ResultRecord]]]) -> list[tuple[float, float]] | None:
    """Least and greatest mean rank of each generator; None where a distance has no interval."""
    if any(cell.low is None or cell.high is None for row in cells for cell in row):
        return None
    count, encoders = len(cells), len(cells[0])
    bounds = []
    for i in range(count):
        others = [j for j in range(count) if j != i]
        gaps = [[_gap(cells[i][e], cells[j][e], records[i][e], records[j][e]) for j in others] for e in range(encoders)]
        level = _joint_level([gap for row in gaps for gap in row])
        better = worse = 0
        for gap in (gap for row in gaps for gap in row):
            reach = _quantile(gap.freedom, 1 - level / 2) * gap.error
            better += gap.value - reach > 0
            worse += gap.value + reach < 0
        bounds.append((1 + better / encoders, count - worse / encoders))
    return bounds


def _gap(mine: Cell, theirs: Cell, ours: Sequence[ResultRecord], others: Sequence[ResultRecord]) -> Difference:
    """How much farther the first generator is from real patches than the second, by pairs where that can be."""
    found = paired(ours, others) if ours and others else ""
    if isinstance(found, Difference) and found.seeds == min(mine.seeds, theirs.seeds):
        return found
    halves = [(cell.high - cell.low) / 2 for cell in (mine, theirs) if cell.high is not None and cell.low is not None]
    error = math.hypot(*halves) / NormalDist().inv_cdf((1 + LEVEL) / 2)
    return Difference(_value(mine) - _value(theirs), error, math.inf, mine.seeds, mine.groups)


def _joint_level(gaps: Sequence[Difference]) -> float:
    """The two-sided level of each difference at which all of them hold together with `LEVEL`.

    Drawn as normal: what slides contribute to all differences by one set of weights of their blocks, the rest of each error
    independently, which rather widens.
    """
    sizes = {len(gap.without) for gap in gaps if gap.without}
    blocks = sizes.pop() if len(sizes) == 1 else 0  # of other blocks nothing is shared
    shares = np.zeros((len(gaps), blocks))
    for row, gap in zip(shares, gaps, strict=True):
        if blocks and gap.without and gap.error:
            apart = np.subtract(gap.without, np.mean(gap.without)) * math.sqrt((blocks - 1) / blocks) / gap.error
            row[:] = apart / max(1.0, float(np.linalg.norm(apart)))
    rest = np.sqrt(np.clip(1 - (shares**2).sum(axis=1), 0, None))
    rng = np.random.default_rng(0)  # the same table always says the same
    drawn = rng.standard_normal((DRAWS, blocks)) @ shares.T + rest * rng.standard_normal((DRAWS, len(gaps)))
    reach = float(np.quantile(np.abs(drawn).max(axis=1), LEVEL))
    return 2 * (1 - NormalDist().cdf(reach))


def _quantile(freedom: float, share: float) -> float:
    """Student's."""
    from scipy.special import stdtrit  # not at the top: `bench --help` should not wait for it

    return float(stdtrit(freedom, share)) if math.isfinite(freedom) else NormalDist().inv_cdf(share)


def _known(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None


def _value(cell: Cell) -> float:
    assert cell.value is not None
    return cell.value

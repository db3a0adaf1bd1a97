"""What independent encoders agree on: mean rank over encoders with its interval, and the pairs that they order differently."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.results.tables import Cell
from bench.results.terms import Flag

Rows = Mapping[str, Mapping[str, Cell]]
"""generator -> column -> cell."""
DRAWS = 2000
REACH = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Place:
    """Where one generator stands."""

    generator: str
    rank: float
    """Mean over encoders; 1 is best."""
    low: float | None
    high: float | None
    """95 % interval over slides and seeds; None where one of the distances has no interval."""


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


def consensus(rows: Rows, columns: tuple[str, ...], measure: str = "fd") -> Consensus | None:
    """Ranks over the columns of a distance (`fd ENCODER`); None with fewer than two encoders or two generators.

    An encoder that knew one of the generators is left out for all, or ranks would rest on different panels. Intervals of mean
    ranks come from drawing each distance from the normal distribution that its interval describes, independently: test
    slides are common to all generators, so that the true intervals are rather narrower.
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
    bounds = _rank_bounds(cells, values)
    places = [
        Place(name, float(rank), *(None, None) if bounds is None else (float(bounds[0][i]), float(bounds[1][i])))
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


def _rank_bounds(cells: list[list[Cell]], values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if any(cell.low is None or cell.high is None for row in cells for cell in row):
        return None
    errors = np.array([[(cell.high - cell.low) / (2 * REACH) for cell in row] for row in cells])  # type: ignore[operator]
    # seeded by what is shown, so that the same table always says the same
    rng = np.random.default_rng(zlib.crc32(np.round(values, 9).tobytes()))
    drawn = _mean_ranks(values + errors * rng.standard_normal((DRAWS, *values.shape)))
    return np.asarray(np.quantile(drawn, [0.025, 0.975], axis=0))


def _known(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None


def _value(cell: Cell) -> float:
    assert cell.value is not None
    return cell.value

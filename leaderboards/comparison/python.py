"""`bench.compare`: what `bench compare` does, from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.results import Results
from bench.errors import MissingError
from leaderboards.comparison import compare as pairs
from leaderboards.comparison.sides import distinguish, side_of

if TYPE_CHECKING:
    import pandas

Place = Results | str | PathLike[str]


class Comparison:
    """Two generators, measure by measure; `str` gives the text of `bench compare`."""

    def __init__(self, found: pairs.Comparisons) -> None:
        self.found = found

    def frame(self) -> pandas.DataFrame:
        """A row for each measure that both have: the difference (first minus second) with its 95 % interval, the p-value
        adjusted for the number of measures, the verdict, and a sentence."""
        import pandas

        return pandas.DataFrame(pairs.as_rows(self.found))

    def __str__(self) -> str:
        return pairs.text(self.found)

    def __repr__(self) -> str:
        made = len(self.found.made)
        return (
            f"<Comparison of {self.found.first} and {self.found.second}: {made} measures, {len(self.found.refused)} refused>"
        )


def compare(first: Place, second: Place, measures: tuple[str, ...] = ()) -> Comparison:
    """Differences are paired by test slide and seed. `measures`: patterns, e.g. `("fd *",)`; all but single classes if empty.

    Raises MissingError where the two share no measure.
    """
    sides = distinguish(*(side_of(_place(one), ()) for one in (first, second)))
    found = pairs.compared(*sides, measures)
    if not found.made and not found.refused:
        raise MissingError(f"{sides[0].name} and {sides[1].name} share no measure. See: bench.load_results(...).")
    return Comparison(found)


def _place(one: Place) -> str:
    return str(one.folder if isinstance(one, Results) else Path(one))

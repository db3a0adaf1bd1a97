"""Do controls stand where they must? Where a measure puts them in another order, it does not see what it is there for.

In every distance real patches of other slides are nearest, then the very targets out of focus (`blur`), then `noise`. Training
patches (`copy-train`) are `memorized`, real ones of other slides are not; a pasted prompt (`crop-paste`) is `copied-fraction`;
real patches under the maps of others (`shuffle`) have less `map-iou` than patches with their own.

Only what is certain counts: intervals that exclude the right order. Numbers without an interval are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.results.tables import Cell

DISTANCES = ("fd", "fd-pca16", "fd-inf", "mind", "kid", "cmmd")
NEAREST_FIRST = ("real", "blur", "noise")
REGIONS = "region-fd"
FOLLOWING_FIRST = ("blur", "noise")
"""The same for distances of regions, in which real patches that follow no map have no place."""
LEAST = {("copy-train", "memorized"): 0.5, ("crop-paste", "copied-fraction"): 0.5}
"""(control, measure) -> a value that its interval must not lie below."""
MOST = {("real", "memorized-over-real"): 0.0, ("shuffle", "map-iou-of-real"): 1.0}
"""(control, measure) -> a value that its interval must not lie above."""
SHOWN = 3


def disorder(found: Iterable[Cell]) -> list[str]:
    """Each column of a table in which controls are surely out of order, with what it does, e.g. `fd conv (blur before
    real)`."""
    columns: dict[str, dict[str, Cell]] = defaultdict(dict)
    for cell in found:
        if cell.low is not None and cell.high is not None:
            columns[cell.measure][cell.generator] = cell
    return [f"{column} ({fault})" for column, row in columns.items() for fault in _faults(column, row)]


def title_with_disorder(title: str, found: Iterable[Cell]) -> str:
    """The title of a table, with the columns in which controls are out of order."""
    faults = disorder(found)
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"{title}; CONTROLS OUT OF ORDER in {', '.join(faults[:SHOWN])}{more}" if faults else title


def _faults(column: str, row: Mapping[str, Cell]) -> Iterator[str]:
    measure = column.partition(" ")[0]
    if measure in DISTANCES or measure.startswith(REGIONS):
        order = NEAREST_FIRST if measure in DISTANCES else FOLLOWING_FIRST
        for near, far in combinations([name for name in order if name in row], 2):
            if _low(row[near]) > _high(row[far]):
                yield f"{far} before {near}"
    for (control, named), least in LEAST.items():
        if named == measure and control in row and _high(row[control]) < least:
            yield f"{control} below {least:g}"
    for (control, named), most in MOST.items():
        if named == measure and control in row and _low(row[control]) > most:
            yield f"{control} above {most:g}"


def _low(cell: Cell) -> float:
    assert cell.low is not None
    return cell.low


def _high(cell: Cell) -> float:
    assert cell.high is not None
    return cell.high

"""Outlines from files become valid polygons; what cannot is counted with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import shapely

POINTS_FEW = "fewer than three different points"
NO_AREA = "no area"
CROSSING = "crosses itself"
MOST_CROSSINGS = 2000
"""The time of a repair grows faster than the number of crossings: seconds for ten thousand, and it cannot be interrupted."""
TANGLED = f"crosses itself over {MOST_CROSSINGS} times"
FARTHEST = 10_000_000
"""Pixels of level 0 beyond which no slide reaches; the products of larger numbers are no numbers."""
FAR = f"more than {FARTHEST} pixels away"
_EDGES_AT_ONCE = 16


@dataclass(frozen=True)
class Region:
    """One annotated area. `polygon` is valid, with holes where the file has them, in pixels of level 0."""

    label: str
    polygon: shapely.Polygon


@dataclass
class Collected:
    """What was found in a file, in its order."""

    regions: list[Region] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)
    """Fault -> outlines that were repaired."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> outlines that have no area to annotate."""

    def add(
        self,
        label: str,
        shell: NDArray[np.float64],
        holes: Sequence[NDArray[np.float64]] = (),
        cut: shapely.Geometry | None = None,
    ) -> None:
        """Adds the area within `shell`, float64 (n, 2) as x, y, without that within the holes and that of `cut`.

        Open outlines are closed. An outline that crosses itself is repaired by `shapely.make_valid`: what it encloses an odd
        number of times is inside, as ASAP fills it. A repair that has several parts gives several regions.
        """
        import shapely

        if any(np.abs(ring).max(initial=0) > FARTHEST for ring in (shell, *holes)):
            self.dropped[FAR] += 1
            return
        if len(shell) >= 3 and not holes and cut is None and (simple := shapely.Polygon(shell)).is_valid:
            self.regions.append(Region(label, simple))  # nearly all outlines, and files have tens of thousands
            return
        if len(np.unique(shell, axis=0)) < 3:
            self.dropped[POINTS_FEW] += 1
            return
        rings = [hole for hole in holes if len(np.unique(hole, axis=0)) >= 3]
        self.dropped[f"hole with {POINTS_FEW}"] += len(holes) - len(rings)
        polygon = shapely.Polygon(shell, rings)
        if not polygon.is_valid and crosses_often(polygon):
            self.dropped[TANGLED] += 1
            return
        valid = shapely.make_valid(polygon)
        parts = polygonal_parts(valid if cut is None else shapely.difference(valid, cut))
        if not parts:
            self.dropped[NO_AREA] += 1
        elif not polygon.is_valid:
            self.repaired[describe_invalid(polygon)] += 1
        self.regions.extend(Region(label, part) for part in parts)


def crosses_often(polygon: shapely.Polygon) -> bool:
    """Whether edges of the polygon cross more than `MOST_CROSSINGS` times."""
    import shapely

    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]
    edges = shapely.linestrings(np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings]))
    tree, found = shapely.STRtree(edges), 0
    for first in range(0, len(edges), _EDGES_AT_ONCE):
        found += tree.query(edges[first : first + _EDGES_AT_ONCE], predicate="crosses").shape[1]
        if found > 2 * MOST_CROSSINGS:  # each is found from both edges
            return True
    return False


def describe_invalid(polygon: shapely.Polygon) -> str:
    """The fault without its position, in lower case: `crosses itself`, or what GEOS calls it."""
    import shapely

    reason = str(shapely.is_valid_reason(polygon)).partition("[")[0].strip().lower()
    return CROSSING if "self-intersection" in reason else reason


def polygonal_parts(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons that have an area in a geometry of any kind."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometry)).tolist()
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]

"""What is measured on nuclei and regions, in microns, and its histogram in fixed bins, which add up over patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_ANNOTATED = 0.05
"""Share of a patch that must be annotated for its density to count."""
LEAST_REGION = 0.01
"""Share of a patch below which a connected region is a speck, and not measured."""


@dataclass(frozen=True)
class Quantity:
    """One quantity with its unit, and the bins in which its values are counted."""

    name: str
    unit: str
    most: float
    """Values from here on are counted in the last bin."""
    bins: int
    power: float = 1.0
    """Edges are `most` times the powers of equal steps from 0 to 1: above 1 the bins of small values are narrower."""

    @cached_property
    def edges(self) -> Floats:
        """float64 (bins + 1,), ascending from 0."""
        return np.asarray(self.most * np.linspace(0, 1, self.bins + 1) ** self.power)

    def count(self, values: Floats) -> Floats:
        """float64 (bins,): how many of the values, (m,) and at least 0, are in each bin."""
        return np.histogram(np.minimum(values, self.most), self.edges)[0].astype(np.float64)


NUCLEI = (
    Quantity("area", "µm²", 400.0, 60, power=1.5),
    Quantity("eccentricity", "", 1.0, 50),
    Quantity("density", "nuclei per mm²", 20_000.0, 80),
    Quantity("distance", "µm", 60.0, 60, power=1.5),
)
REGIONS = (Quantity("diameter", "µm", 500.0, 80, power=1.5), Quantity("compactness", "", 1.0, 50))


def measure_nuclei(instances: NDArray[np.integer], annotated: NDArray[np.bool_], mpp: float) -> Mapping[str, Floats]:
    """Values of each of `NUCLEI` on one patch: instances (h, w) with 0 for none, annotated pixels bool (h, w).

    A nucleus of which less than half is annotated is left out. Area and eccentricity are those of nuclei that the edge of the
    patch does not cut. The density is that of nuclei that cut neither the lower nor the right edge (an unbiased frame:
    Gundersen 1977), one value for each patch. The distance is that from the centre of a nucleus to the nearest other centre,
    where it is no farther than the edge of the patch, beyond which a nearer one may lie.
    """
    from scipy.spatial import cKDTree
    from skimage.measure import regionprops_table

    height, width = instances.shape
    columns = ("area", "eccentricity", "centroid", "bbox", "intensity_mean")
    found = regionprops_table(instances.astype(np.int32), annotated.astype(np.float64), properties=columns)
    table = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    table = {name: values[table["intensity_mean"] >= 0.5] for name, values in table.items()}
    centres = np.stack([table["centroid-0"], table["centroid-1"]], axis=1) + 0.5
    cuts_first = (table["bbox-0"] == 0) | (table["bbox-1"] == 0)
    cuts_last = (table["bbox-2"] == height) | (table["bbox-3"] == width)
    whole = ~(cuts_first | cuts_last)
    nearest = np.zeros(0)
    if len(centres) > 1:
        gaps = cKDTree(centres).query(centres, k=2)[0][:, 1]
        edge = np.minimum(centres, [height, width] - centres).min(axis=1)
        nearest = gaps[gaps <= edge] * mpp
    share = float(annotated.mean())
    area = height * width * share * (mpp / 1000) ** 2
    return {
        "area": table["area"][whole] * mpp**2,
        "eccentricity": table["eccentricity"][whole],
        "density": np.array([(~cuts_last).sum() / area] if share >= LEAST_ANNOTATED else []),
        "distance": nearest,
    }


def measure_regions(classes: NDArray[np.uint8], mpp: float) -> Mapping[str, Floats]:
    """Values of each of `REGIONS` on one class map (h, w): the diameter of a disc of the same area, and the compactness
    4 pi area / perimeter^2, 1 for a disc, of each connected region as the patch cuts it."""
    from skimage.measure import label, regionprops_table

    found = regionprops_table(label(classes, background=-1, connectivity=1), properties=("area", "perimeter"))
    area, perimeter = (np.asarray(found[name], dtype=np.float64) for name in ("area", "perimeter"))
    large = (area >= LEAST_REGION * classes.size) & (perimeter > 0)
    area, perimeter = area[large], perimeter[large]
    compactness = np.minimum(4 * np.pi * area / perimeter**2, 1.0)
    return {"diameter": 2 * np.sqrt(area / np.pi) * mpp, "compactness": compactness}


def wasserstein(first: Floats, second: Floats, edges: Floats) -> float:
    """1-Wasserstein distance of two histograms (bins,) with these edges (bins + 1,), in the unit of the edges: the area
    between their cumulative distributions, within bins as if values were spread evenly. NaN where one is empty."""
    gap = np.abs(_cumulative(first) - _cumulative(second))
    return float(np.sum(np.diff(edges) * (gap[1:] + gap[:-1]) / 2))


def cliffs_delta(first: Floats, second: Floats) -> float:
    """Probability that a value of the first histogram (bins,) is larger than one of the second, minus that of the opposite: -1
    to 1 (Cliff 1993). Values of one bin count as equal. NaN where one is empty."""
    a, b = (side / side.sum() if side.sum() else np.full(len(side), np.nan) for side in (first, second))
    return float(np.clip(a @ (np.cumsum(b) - b) - b @ (np.cumsum(a) - a), -1, 1))  # beyond by rounding alone


def _cumulative(counts: Floats) -> Floats:
    total = counts.sum()
    return np.concatenate([[0.0], np.cumsum(counts) / total]) if total else np.full(len(counts) + 1, np.nan)

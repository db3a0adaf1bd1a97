"""Metrics that look at conditions: whether generated patches kept theirs, and whether sampled layouts are like real ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.types import Card, Conditions, Direction, ImageSet, Index, Progress, Tally


@runtime_checkable
class ConditionMetric(Protocol):
    """Asks generated patches whether they kept their conditions, by a reference segmenter that learned from real slides alone.

    The harness trains the reference segmenter once, asks it about generated and about real test patches, and reports every measure and
    its ratio to what real patches get.
    """

    card: Card
    directions: Mapping[str, Direction]
    """Measure -> which way is better, for each measure of the tally."""

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenter and writes it into the folder."""
        ...

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """Counts of each patch against its own condition."""
        ...

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The tally that `agree` gave, rebuilt from its stored counts."""
        ...


class Sliceable(Protocol):
    """Something with a row for each patch."""

    def __getitem__(self, index: Index, /) -> Any: ...


@runtime_checkable
class LayoutMetric(Protocol):
    """One number from real and sampled layouts, patch by patch in the same order; images play no part."""

    card: Card
    direction: Direction

    def measured(self, conditions: Conditions) -> Sliceable:
        """What it needs to know of each patch."""
        ...

    def compare_layouts(self, real: Any, sampled: Any) -> float:
        """The value of rows of what `measured` gave."""
        ...

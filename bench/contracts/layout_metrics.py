"""The checks of layout metrics, on the nuclei of the mock and on worse ones: types exchanged and half of them removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np

from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, builds, run_checks
from bench.contracts.layouts import layouts
from bench.contracts.mock import partly_annotated
from bench.types import NOT_ANNOTATED, Conditions, Direction, HasBounds, LayoutMetric

TOLERANCE = 1e-9
"""Largest change of a value where nothing but the order of rows changes."""


def check_layout_metric(make: Callable[..., LayoutMetric], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds the metric, `name` is its registered name."""
    return run_checks(_Case(make, name, size), CHECKS, essential=(builds, measures))


@dataclass
class _Case(PluginCase):
    """A layout metric under test, real layouts and worse ones."""

    @cached_property
    def layouts(self) -> Conditions:
        return layouts(self.size).conditions

    @cached_property
    def worse(self) -> Conditions:
        """The lower half of each patch emptied, the two types exchanged."""
        assert self.layouts.masks is not None and self.layouts.instances is not None
        kept = np.arange(self.size)[:, None] < self.size // 2
        masks = np.where((self.layouts.masks > 0) & kept, 3 - self.layouts.masks, 0).astype(np.uint8)
        instances = np.where(masks > 0, self.layouts.instances, 0).astype(np.int32)
        return replace(self.layouts, masks=masks, types=masks, instances=instances)

    def value(self, real: Conditions, sampled: Conditions) -> Any:
        return self.plugin.compare_layouts(self.plugin.measured(real), self.plugin.measured(sampled))


def measures(case: _Case) -> None:
    """A finite float, within the bounds that it declares."""
    value = case.value(case.layouts, case.worse)
    if not isinstance(value, float) or not np.isfinite(value):
        raise Broken(f"compare_layouts gives {value!r}, not a finite float")
    low, high = case.plugin.bounds if isinstance(case.plugin, HasBounds) else (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        raise Broken(f"compare_layouts gives {value:.4g}, outside its bounds {low} and {high}")


def direction_valid(case: _Case) -> None:
    """It declares which direction is better."""
    if case.plugin.direction not in get_args(Direction):
        raise Broken(f"direction is {case.plugin.direction!r}, not one of {', '.join(get_args(Direction))}")


def identity(case: _Case) -> None:
    """Real layouts against themselves score better than against the worse ones."""
    itself, worse = case.value(case.layouts, case.layouts), case.value(case.layouts, case.worse)
    if itself >= worse if case.plugin.direction == "lower" else itself <= worse:
        raise Broken(f"real layouts against themselves give {itself:.4g}, against worse ones {worse:.4g}")


def order_independent(case: _Case) -> None:
    """The order of patches does not change the value."""
    backwards = case.value(case.layouts[::-1], case.worse[::-1])
    if abs(backwards - case.value(case.layouts, case.worse)) > TOLERANCE:
        raise Broken("another order of patches changes the value")


def rows_sliceable(case: _Case) -> None:
    """Slicing the measured rows equals measuring the slice: intervals leave out slides in this way."""
    real, sampled = case.plugin.measured(case.layouts), case.plugin.measured(case.worse)
    rows = np.arange(1, len(case.layouts))
    sliced = case.plugin.compare_layouts(real[rows], sampled[rows])
    if abs(sliced - case.value(case.layouts[rows], case.worse[rows])) > TOLERANCE:
        raise Broken("a slice of the measured rows gives another value than measuring the slice")


def accepts_not_annotated(case: _Case) -> None:
    """Real layouts with 255 (not annotated) are accepted, and 255 is no type: the value is the same without those pixels."""
    patches = partly_annotated(layouts(case.size)).conditions
    assert patches.masks is not None
    emptied = np.where(patches.masks == NOT_ANNOTATED, 0, patches.masks).astype(np.uint8)
    empty = replace(patches, masks=emptied, types=emptied)
    value = case.value(patches, case.worse)
    if not np.isfinite(value):
        raise Broken(f"of real layouts with 255 compare_layouts gives {value!r}")
    if abs(value - case.value(empty, case.worse)) > TOLERANCE:
        raise Broken("pixels of 255, not annotated, count as nuclei")


CHECKS: tuple[Check[_Case], ...] = (
    *COMMON,
    measures,
    direction_valid,
    identity,
    order_independent,
    rows_sliceable,
    accepts_not_annotated,
)

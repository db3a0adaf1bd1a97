"""A table ready to be written in any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from bench.results.tables import Table


class Mark(Enum):
    """How a number stands to the others of its column, for formats that mark it."""

    BEST = "best"
    TIED = "tied"
    """The difference from the best may be 0."""


@dataclass(frozen=True)
class Sheet(Table):
    """One table, ready to be written."""

    records: list[dict[str, Any]]
    """The same numbers for machines, one record each."""
    marks: Mapping[tuple[int, int], Mark] = field(default_factory=dict)
    """(row, column) of `rows` -> its mark."""

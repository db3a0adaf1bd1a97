"""What `import bench` offers to Python: evaluate a generator, compare results, measure arrays.

Nothing that a command cannot do. What is not part of the harness is found by the entry-point group `bench.api`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def load(name: str) -> Callable[..., Any]:
    """A function of the entry-point group `bench.api`: `compare` or `report`."""
    from importlib.metadata import entry_points

    found: Callable[..., Any] = entry_points(group="bench.api")[name].load()
    return found

"""The harness: data types, registry, jobs, measurements, statistics, result records. No torch at import, no plug-in by name.

For notebooks: `bench.load_results("results")` gives the records of all runs below a folder as a pandas frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__all__ = ["load_results"]


def load_results(places: str | PathLike[str] | Iterable[str | PathLike[str]]) -> pandas.DataFrame:
    """A row for each result record of .jsonl files or folders: see `bench.results.frames.load_results`."""
    from bench.results import frames  # pandas takes half a second: only who asks for a frame waits for it

    return frames.load_results(places)

"""The harness: data types, registry, jobs, measurements, statistics, result records. No torch at import, no plug-in by name.

From Python, what the command does:

    bench.evaluate(generator, task=..., data=...)    a run; a `Results`
    bench.compare(first, second)                     two results, paired by slide and seed
    bench.load_results("results")                    the records of all runs below a folder as a pandas frame
    bench.metrics.frechet(real, generated, groups)   a metric on arrays of features
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from bench.api import arrays as metrics
    from bench.api.evaluation import evaluate
    from bench.api.results import Results

__all__ = ["Results", "compare", "evaluate", "load_results", "metrics"]


def load_results(places: str | PathLike[str] | Iterable[str | PathLike[str]]) -> pandas.DataFrame:
    """A row for each result record of .jsonl files or folders: see `bench.results.frames.load_results`."""
    from bench.results import frames  # pandas takes half a second: only who asks for a frame waits for it

    return frames.load_results(places)


def compare(first: Results | str | PathLike[str], second: Results | str | PathLike[str], measures: Iterable[str] = ()) -> Any:
    """A paired comparison of two results, run folders or .jsonl files, as `bench compare` makes it: see
    `leaderboards.comparison.python.compare`."""
    from bench import api

    return api.load("compare")(first, second, tuple(measures))


def __getattr__(name: str) -> Any:
    """What takes time to import is imported when it is asked for."""
    if name == "evaluate":
        from bench.api.evaluation import evaluate

        return evaluate
    if name == "metrics":
        from bench.api import arrays

        return arrays
    if name == "Results":
        from bench.api.results import Results

        return Results
    raise AttributeError(f"module 'bench' has no attribute {name!r}")

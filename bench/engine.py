"""Maps a function over pieces of work, shards of row numbers mostly: in this process, or in worker processes.

A shard depends on its rows alone, so neither the number of workers nor their order changes a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Shard = tuple[int, int]
"""First row, and the row after the last."""
Piece = TypeVar("Piece")


def shards(n: int, size: int) -> list[Shard]:
    """[0, n) in pieces of at most `size` rows."""
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def run(work: Callable[[Piece], None], pieces: list[Piece], workers: int = 1) -> Iterator[Piece]:
    """Does every piece and yields it when it is finished, in any order. `work` must be picklable for more than one worker.

    The first failure stops the rest and is raised.
    """
    if workers <= 1 or len(pieces) <= 1:
        for piece in pieces:
            work(piece)
            yield piece
        return
    # spawned, because a forked process inherits locks of torch's thread pools
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(work, piece): piece for piece in pieces}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    """Several processes that each take every core run many times slower than one."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

"""The rows of a batch that one of several training processes works on."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError


@dataclass(frozen=True)
class BatchShare:
    """What one of `ranks` processes takes of every batch.

    Each process draws the whole batch, its noise and its time steps, and keeps its own rows of them: the batch does not depend
    on the number of processes. All shares have one size, so that the mean of the processes' mean losses, and with it the
    mean of their gradients, is that of the batch.
    """

    rank: int = 0
    ranks: int = 1

    def rows(self, batch: int) -> slice:
        """The rows of a batch of this size. UsageError where it cannot be split evenly."""
        check_batches(self.ranks, batch=batch)
        size = batch // self.ranks
        return slice(self.rank * size, (self.rank + 1) * size)


ALONE = BatchShare()
"""All rows, in the one process that there is."""


def check_batches(devices: int, **batches: int) -> None:
    """Raises UsageError where a batch, by the name of its option, cannot be split evenly over so many devices."""
    for name, batch in batches.items():
        if batch % devices:
            raise UsageError(
                f"a {name} of {batch} cannot be split evenly over {devices} processes. Launch a number of processes that "
                f"divides {batch}, or choose another batch with -o {name}=…, which gives other weights."
            )

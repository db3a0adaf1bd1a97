"""How many processes a launcher (`accelerate launch`, `torchrun`) started for this command, and which of them this one is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import UsageError


@dataclass(frozen=True)
class Launch:
    """One process of a command that runs in `ranks` processes at once."""

    rank: int = 0
    """From 0; process 0 is the driver."""
    ranks: int = 1

    def __str__(self) -> str:
        return f"process {self.rank} of {self.ranks}"


def read_launch(environment: Mapping[str, str] | None = None) -> Launch:
    """What `WORLD_SIZE` and `RANK` of the environment say; one process where the launcher set neither. Read in the command
    only. Raises UsageError where they contradict each other."""
    given = os.environ if environment is None else environment
    ranks, rank = given.get("WORLD_SIZE", "1"), given.get("RANK", "0")
    if ranks == "1":
        return Launch()
    if not (ranks.isdecimal() and rank.isdecimal() and "RANK" in given and int(rank) < int(ranks)):
        raise UsageError(
            f"the environment says WORLD_SIZE={ranks} and RANK={given.get('RANK', '(nothing)')}, which is no place in a group "
            "of processes. Start the command with accelerate launch or torchrun, or unset both."
        )
    return Launch(int(rank), int(ranks))

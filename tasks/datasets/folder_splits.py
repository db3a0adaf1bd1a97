"""Which split each patch of a folder belongs to: as its index says, or by the hash of its source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from bench.errors import MissingError
from bench.types import Strings
from tasks.datasets.index import SOURCE_COLUMNS

SPLITS = ("train", "validation", "test", "holdout")


def follow(groups: list[str], given: Mapping[str, str], seed: int, folder: Path) -> Strings:
    """str (n,): the split of each patch, as the index gives it by source. If the index names no validation split, it is made
    of a quarter of the training sources, at least one, in the order of sha256("seed/source")."""
    homes = {source: given[source] for source in set(groups)}
    if "validation" not in given.values():
        train = by_hash((source for source, home in homes.items() if home == "train"), seed)
        if len(train) < 2:
            raise MissingError(
                f"{folder}/index.csv names no validation split, and {len(train)} source{'s' * (len(train) != 1)} of train "
                "with patches cannot give one. Add images to train, or name some validation."
            )
        homes.update(dict.fromkeys(train[: max(1, round(len(train) / 4))], "validation"))
    if empty := [name for name in SPLITS[:3] if name not in homes.values()]:
        raise MissingError(
            f"no patch of {folder} is left in {' and '.join(empty)}, by the column of splits in index.csv. Give more "
            "images, or change size, stride, smallest or largest."
        )
    return np.array([homes[group] for group in groups])


def by_hash(sources: Iterable[str], seed: int) -> list[str]:
    """Each source once, in the order of sha256("seed/source")."""
    return sorted(set(sources), key=lambda source: hashlib.sha256(f"{seed}/{source}".encode()).digest())


def assign(groups: list[str], seed: int, folder: Path) -> Strings:
    """str (n,): the split of each patch, whole sources at a time."""
    sources = by_hash(groups, seed)
    if len(sources) < 3:
        raise MissingError(
            f"{folder} has patches of {len(sources)} source{'s' * (len(sources) > 1)} ({', '.join(sources)}): train, "
            "validation and test need one of their own each, or a slide would be on both sides. Add images of other "
            f"slides, or a column {', '.join(SOURCE_COLUMNS)} to index.csv if these are several."
        )
    fifth = round(len(sources) / 5)
    homes = {source: "validation" if i < fifth else "test" for i, source in enumerate(sources[: 2 * fifth])}
    return np.array([homes.get(group, "train") for group in groups])

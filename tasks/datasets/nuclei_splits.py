"""Which images of a nuclei dataset each split shows.

`train`, `validation` and `test` are disjoint, and so is the pool `R2`; the pool `R1` is a part of `train`. Downstream models
are trained on the pools, generators on `train`: what is generated for R1 was seen by the generator, for R2 it was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import MissingError, UsageError
from tasks.datasets.index import some

SPLITS = ("train", "validation", "test", "holdout", "R1", "R2")
SHARES = {"test": 0.20, "validation": 0.15, "R2": 0.25}
"""Shares of all sources; the rest is `train`."""

PAPER_IMAGES = 238
PAPER_COUNTS = {"test": 12, "R2": 36, "validation": 19}
"""Images that NASDM++ does not train on (test, R2). The validation images are ours, taken out of its 190 for training."""
PAPER_R1 = (
    *(f"consep_{i}" for i in (4, 5, 6)),
    *(f"crag_{i}" for i in (5, 55, 56, *range(58, 64))),
    *(f"dpath_{i}" for i in (5, *range(52, 61))),
    *(f"glas_{i}" for i in (4, *range(49, 57))),
    *(f"pannuke_{i}" for i in (2, 3, 26, 27, 28)),
)
"""The published list of R1: 36 images."""


@dataclass(frozen=True)
class Division:
    """Sources of each split, in the order in which they were drawn."""

    homes: Mapping[str, tuple[str, ...]]

    def of(self, name: str) -> tuple[str, ...]:
        """Sources of one split; `holdout` has those of `validation` and R2, which generators are not trained on either."""
        if name not in SPLITS:
            raise UsageError(f"a nuclei dataset has the splits {', '.join(SPLITS)}; asked for {name!r}.")
        if name == "holdout":
            return (*self.homes["validation"], *self.homes["R2"])
        return self.homes[name]

    def manifest(self, images: Mapping[str, str]) -> dict[str, list[str]]:
        """Image -> the splits that show it, for images given with their sources; JSON-able, in the order given."""
        shown: dict[str, list[str]] = {source: [] for sources in self.homes.values() for source in sources}
        for name, sources in self.homes.items():
            for source in sources:
                shown[source].append(name)
        return {image: shown.get(source, []) for image, source in images.items()}


def by_source(tiles: Mapping[str, int], seed: int, where: str) -> Division:
    """Whole sources, given with their numbers of tiles, in the order of sha256("seed/source"): see `SHARES`.

    Every split has at least one source, so fewer than four are refused. R1 takes sources of `train` in order until it is
    as near to the number of tiles of R2 as it gets.
    """
    if len(tiles) < 4:
        raise MissingError(
            f"{where} has tiles of {len(tiles)} source{'s' * (len(tiles) != 1)} ({some(sorted(tiles)) or 'none'}): train, "
            "validation, test and the pool R2 need one of their own each, or a slide would be on two sides. Add images of "
            "other slides."
        )
    rest = _order(tiles, str(seed))
    homes: dict[str, tuple[str, ...]] = {}
    for name, share in SHARES.items():
        count = max(1, round(share * len(tiles)))
        homes[name], rest = tuple(rest[:count]), rest[count:]
    homes["train"] = tuple(rest)
    homes["R1"] = _about(homes["train"], tiles, sum(tiles[source] for source in homes["R2"]))
    return Division(homes)


def by_column(tiles: Mapping[str, int], given: Mapping[str, str], seed: int, where: str) -> Division:
    """Whole sources, given with their numbers of tiles, in the splits that the index names for them.

    `R1` trains too. Where validation or R2 is not named, it takes its part of the sources of train, at least one, in the
    order of sha256("seed/source"): 15 of 55 in a hundred of `SHARES` for validation, 25 of 65 for R2, and 15 and 25 of 80
    where both lack. R1, where it is not named, is the beginning of train as in `by_source`.
    """
    homes = {
        name: tuple(s for s in _order(tiles, str(seed)) if given[s] == name) for name in ("test", "validation", "R2", "R1")
    }
    rest = [source for source in _order(tiles, str(seed)) if given[source] == "train"]
    absent = [name for name in ("validation", "R2") if name not in given.values()]
    kept = 1 - sum(SHARES.values())
    parts = kept + sum(SHARES[name] for name in absent)
    counts = {name: max(1, round(SHARES[name] / parts * len(rest))) for name in absent}
    needed = sum(counts.values()) + (not homes["R1"])  # train keeps a source of its own
    if absent and needed > len(rest):
        raise MissingError(
            f"{where}: index.csv names no {' and no '.join(absent)}, and {len(rest)} source"
            f"{'s' * (len(rest) != 1)} of train with tiles are too few for them. Add images to train, or name the splits."
        )
    for name, count in counts.items():
        homes[name], rest = tuple(rest[:count]), rest[count:]
    homes["train"] = (*homes["R1"], *rest)
    homes["R1"] = homes["R1"] or _about(homes["train"], tiles, sum(tiles[source] for source in homes["R2"]))
    if empty := [name for name, sources in homes.items() if not sources]:
        raise MissingError(f"{where}: no tile is left in {' and '.join(empty)}, by the column of splits in index.csv.")
    return Division(homes)


def published_division(images: Mapping[str, int], where: str) -> Division:
    """The split of NASDM++ over the 238 images of Lizard, as far as it is known.

    R1 is the published list. The 12 test images and the 36 images of R2 were not published: they are drawn here from the other
    202 in the order of sha256("paper/image"), and 19 of the rest are the validation split, which the paper does not have.
    """
    absent = sorted(set(PAPER_R1) - set(images))
    if absent or len(images) != PAPER_IMAGES:
        raise MissingError(
            f"splits=paper is a split of the {PAPER_IMAGES} images of the Lizard release; {where} has {len(images)}"
            + (f" and lacks {some(absent)} of R1" if absent else "")
            + ". Complete it, or take splits=slides."
        )
    rest = _order(set(images) - set(PAPER_R1), "paper")
    homes: dict[str, tuple[str, ...]] = {}
    for name, count in PAPER_COUNTS.items():
        homes[name], rest = tuple(rest[:count]), rest[count:]
    homes["train"] = (*PAPER_R1, *rest)
    homes["R1"] = PAPER_R1
    return Division(homes)


def _order(sources: Mapping[str, int] | set[str], salt: str) -> list[str]:
    return sorted(sources, key=lambda source: hashlib.sha256(f"{salt}/{source}".encode()).digest())


def _about(sources: tuple[str, ...], tiles: Mapping[str, int], wanted: int) -> tuple[str, ...]:
    """The first sources, at least one, whose tiles add up to the number nearest to the wanted one."""
    total, best, taken = 0, float("inf"), 1
    for count, source in enumerate(sources, start=1):
        total += tiles[source]
        if abs(total - wanted) < best:
            best, taken = abs(total - wanted), count
    return sources[:taken]

"""CoNIC: the patches of the Colon Nuclei Identification and Counting Challenge 2022, cut from Lizard.

    images.npy       uint8 (n, 256, 256, 3), RGB, 20x
    labels.npy       whole numbers (n, 256, 256, 2): nucleus and type 1 to 6 of each pixel, 0 = none
    patch_info.csv   the name of each patch: `consep_1-0000` is patch 0 of the Lizard image consep_1

counts.csv is not read: its numbers are those of the central 224 px.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError, UsageError
from bench.files.array_files import open_npy
from bench.files.regular import check_regular, describe_fault, is_there
from bench.histology.sampling import Sampling
from bench.types import Card, ImageSet
from tasks.datasets import nuclei_tiles as tiles
from tasks.datasets.folder import corners
from tasks.datasets.index import files_digest, read_table, some
from tasks.datasets.instance_maps import STRAY, check_depth
from tasks.datasets.nuclei_splits import SPLITS, Division, by_source

FILES = ("images.npy", "labels.npy", "patch_info.csv")
LAYOUT = f"CoNIC has {', '.join(FILES)}, the last with one column of names such as consep_1-0000."
MPP = 0.5


class Conic:
    """Patches of `size` px: each of the release is cut into as many as it holds, from its upper left corner.

    Splits go by the Lizard image that a patch was cut from, in the shares and by the hash of `lizard`, with `seed`. Arrays
    are memory-mapped.
    """

    card = Card(
        "conic",
        "1",
        "CoNIC: 4,981 patches of Lizard, nuclei of six types.",
        licence="CC BY-NC-SA 4.0",
        source="Graham et al. 2024, CoNIC Challenge",
        notes="The same tissue as Lizard: never a test for what was fitted on it. The holdout split is validation and R2. "
        "Images of one slide or patient may be on both sides. Patches of one image overlap at unknown places: none gives "
        "another a visual prompt, so that prompts come from other images (cohort) or from the target (self).",
    )
    provides = frozenset({"masks", "instances", "types"})
    pools: tuple[str, ...] = ("R1", "R2")

    def __init__(self, folder: Path, size: int = 128, seed: int = 0) -> None:
        self.folder = Path(folder).expanduser()
        self.size, self.seed = size, seed
        if size < 1:
            raise UsageError(f"a patch is at least 1 px wide, not {size}.")
        if absent := [name for name in FILES if not is_there(self.folder / name)]:
            raise MissingError(f"{self.folder} has no {', '.join(absent)}. {LAYOUT}")
        for name in FILES:
            check_regular(self.folder / name)

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether the folder holds the three files of the release."""
        return not any(describe_fault(folder / name) for name in FILES)

    def split(self, name: str) -> ImageSet:
        """Patches of one split or pool, in the order of the release."""
        sources = set(self._division.of(name))
        _ = self.tile_summary  # refuses a release without any nucleus
        content = [self.digest, self.card.version, name, self.size, self.seed]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        pieces = [self._piece(row) for row, source in enumerate(self._sources) if source in sources]
        return tiles.gather(pieces, self.size, 0, 0, key, tiles.CLASSES, MPP)

    def manifest(self) -> dict[str, list[str]]:
        """Lizard image -> the splits that show it. JSON-able."""
        return self._division.manifest({source: source for source in self._sources})

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the three files."""
        return files_digest(self.folder / name for name in FILES)

    @property
    def sampling(self) -> Sampling:
        """The sampling unit and the origin of the splits."""
        basis = "images of Lizard by patch_info.csv, which does not tell which of them are of one slide or patient"
        return Sampling("source images", basis, f"by hash, seed {self.seed}")

    @cached_property
    def tile_summary(self) -> dict[str, int]:
        """Numbers of patches of the release, in all and of each split, and of nuclei of each type, 0 for none.

        A nucleus that several patches show counts in each.
        """
        counts: Counter[int] = Counter()
        for row in range(len(self._sources)):
            counts += tiles.nuclei_of(*self._maps(row))
        homes = {name: set(self._division.of(name)) for name in SPLITS if name != "holdout"}
        shown = {name: sum(source in home for source in self._sources) for name, home in homes.items()}
        return {"patches": len(self._sources), **shown, **tiles.tile_summary(counts, tiles.CLASSES, str(self.folder))}

    @cached_property
    def _names(self) -> list[str]:
        path = self.folder / "patch_info.csv"
        names = [record.get("patch_info", next(iter(record.values()))) for record in read_table(path, (), LAYOUT)]
        if strange := [name for name in names if not all(name.rpartition("-"))]:
            raise DamagedError(f"{path}: {some(strange)} names no image. {LAYOUT}")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DamagedError(f"{path} has {some(twice)} more than once. {LAYOUT}")
        n = len(self._images)
        if len(names) != n or self._labels.shape[0] != n:
            raise DamagedError(f"{self.folder}: {n} images, {self._labels.shape[0]} labels, {len(names)} names. {LAYOUT}")
        return names

    @cached_property
    def _sources(self) -> list[str]:
        return [name.rpartition("-")[0] for name in self._names]

    @cached_property
    def _division(self) -> Division:
        each = len(self._corners)
        counts = {source: each * patches for source, patches in Counter(self._sources).items() if each}
        return by_source(counts, self.seed, str(self.folder))

    @cached_property
    def _corners(self) -> tuple[tuple[int, int], ...]:
        return tuple(corners(self._images.shape[1:3], self.size, self.size))

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        found = open_npy(self.folder / "images.npy")
        if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] != 3:
            raise DamagedError(f"{self.folder}/images.npy is {found.dtype} {found.shape}, not uint8 (n, height, width, 3).")
        return found

    @cached_property
    def _labels(self) -> NDArray[Any]:
        found = open_npy(self.folder / "labels.npy")
        if found.dtype.kind not in "iu" or found.ndim != 4 or found.shape[3] != 2:
            raise DamagedError(f"{self.folder}/labels.npy is {found.dtype} {found.shape}, not int (n, height, width, 2).")
        tiles.same_size({f"{self.folder}/images.npy": self._images.shape[1:], f"{self.folder}/labels.npy": found.shape[1:]})
        return found

    def _maps(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Nuclei and types of one patch, checked."""
        label = self._labels[row]
        where = f"{self.folder}/labels.npy, {self._names[row]}"
        if label[..., 1].min() < 0 or label[..., 1].max() >= len(tiles.CLASSES):
            raise DamagedError(f"{where}: holds type {label[..., 1].max()}; known are 1 to {len(tiles.CLASSES) - 1}.")
        if label[..., 0].min() < 0 or label[..., 0].max() > np.iinfo(np.int32).max:
            raise DamagedError(f"{where}: nuclei are numbered {label[..., 0].min()} to {label[..., 0].max()}, not as int32.")
        instances, types = label[..., 0].astype(np.int32), label[..., 1].astype(np.uint8)
        check_depth(instances, 8 * self._labels.dtype.itemsize, where)
        tiles.check(instances, types, where, STRAY)
        return instances, types

    def _piece(self, row: int) -> tiles.Piece:
        def read() -> tiles.Annotated:
            instances, types = self._maps(row)
            return tiles.Annotated(self._images[row], instances, types, np.ones(types.shape, np.bool_))

        return tiles.Piece(self._names[row], self._sources[row], self._corners, read, self._sources[row])

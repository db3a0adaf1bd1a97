"""Your own nuclei: a folder of images with instance maps and type maps, cut into patches and split by source.

    images/<id>.png   or .jpg, .jpeg, .webp, .tif, .tiff: 8-bit colour, any size
    inst/<id>.png     16-bit: the nucleus of each pixel, 0 = none
    type/<id>.png     8-bit: the type of the nucleus at each pixel, 0 = none; 255 = not annotated
    index.csv         id; patient, case, source, slide or source_image: the sampling unit, the first of them that is there;
                      split: train, validation, test, R1, R2; cluster, laboratory, lab, centre, center, site or hospital:
                      what intervals range over; mpp (may be empty)

Names of columns are read in any case, with or without blanks, underscores, hyphens and a last "id". Without a column of the
sampling unit each image is its own source, and no number gets an interval. The index names the files of the set; other files
and columns are not read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import DamagedError, MissingError, UsageError
from bench.files.regular import check_regular, describe_fault, is_folder, is_there
from bench.histology.sampling import Sampling
from bench.types import Card, ImageSet
from tasks.datasets import nuclei_tiles as tiles
from tasks.datasets.folder import ENLARGE, class_lookup, corners
from tasks.datasets.index import (
    SPLIT_NAMES,
    SUFFIXES,
    Index,
    Record,
    SamplingUnit,
    check_mpp,
    files_digest,
    find_files,
    index_digest,
    read_records,
    read_table,
    some,
)
from tasks.datasets.nuclei_splits import SPLITS, Division, by_column, by_source
from tasks.datasets.pixels import IGNORE, picture_size, read_classes, read_image, read_instances, resample

LAYOUT = "A nuclei folder holds images/, inst/, type/ and index.csv with a column id."
FOLDERS = ("images", "inst", "type")
MOST_EMPTY = 0.5
DIGITS = 10
"""Of a place or a size in a list of patches, and more than any image has."""


@dataclass(frozen=True, kw_only=True)
class _Row(Record):
    image: Path
    inst: Path
    type: Path


class NucleiFolder:
    """Patches of `size` px of a folder, at `mpp` microns per pixel if given, else as they are.

    `patches` is a file in the folder that lists them: source (the id of an image), x, y, and size if it has the column;
    "auto" takes `patches<size>.csv` where there is one and `mpp` is not given, "" none. Without a list images are cut into
    tiles at a `stride` (default: `size`). A patch is dropped where more than half is not annotated or fewer than `nuclei`
    nuclei show.

    `types` names the types 1, 2, ...: "neutrophil,epithelial"; without it they are type-1, type-2, up to the highest that
    occurs. `class_map` renumbers and merges the types of the files, "1=1,2=1,3=2,4=0,5=ignore"; 0 makes a type background.

    An mpp outside 0.1 to 4, in the index or asked for, is refused unless `confirm_mpp` says that it is meant.

    With a column of laboratories or centres (`index.CLUSTERS`) intervals resample its values; splits and prompts keep to
    sources. With `sampling_unit="slide"` intervals resample sources all the same.

    A column `split` of the index is used as it is. If it does not name validation, R2 or R1, these are made from its
    training sources: see `nuclei_splits.by_column`. Without it, 20 % of the sources are test, 15 % validation and
    25 % the pool R2, in the order of sha256("seed/source"). The rest trains, and R1 is its beginning, about as many patches
    as R2.
    """

    card = Card(
        "nuclei-folder",
        "1",
        "Your own images with maps of nuclei and their types, from a folder, split by source.",
        licence="that of the data",
        notes="The holdout split is validation and R2. Where the index has no source, images of one slide may be on both "
        "sides.",
    )
    provides = frozenset({"masks", "instances", "types"})
    pools: tuple[str, ...] = ("R1", "R2")

    def __init__(
        self,
        folder: Path,
        size: int = 128,
        mpp: float | None = None,
        types: str = "",
        class_map: str = "",
        stride: int | None = None,
        patches: str = "auto",
        nuclei: int = 0,
        seed: int = 0,
        confirm_mpp: bool = False,
        sampling_unit: SamplingUnit = "auto",
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.size, self.mpp, self.stride, self.seed = size, mpp, stride, seed
        self.types, self.class_map, self.patches, self.nuclei = types, class_map, patches, nuclei
        self.confirm_mpp, self.sampling_unit = confirm_mpp, sampling_unit
        full_map, named = f"0=0,{class_map}" if class_map else "", f"background,{types}" if types else ""
        self._lookup, self._named = class_lookup(full_map, named)
        if size < 1 or (stride is not None and stride < 1) or nuclei < 0:
            raise UsageError(f"size {size}, stride {stride}, nuclei {nuclei}: the first two are at least 1 px, the last 0.")
        if mpp is not None and not 0 < mpp < math.inf:
            raise UsageError(f"mpp is a positive number of microns per pixel, not {mpp}.")
        self.card = replace(type(self).card, name=f"nuclei-{self.folder.resolve().name}")
        if not is_folder(self.folder):
            raise MissingError(f"no folder {self.folder} that can be read. {LAYOUT}")
        if absent := [name for name in (*FOLDERS, "index.csv") if not is_there(self.folder / name)]:
            raise MissingError(f"{self.folder} has no {', '.join(absent)}. {LAYOUT}")
        check_regular(self.folder / "index.csv", "table")

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether the folder has an index, images, instances and types."""
        return not describe_fault(folder / "index.csv") and all(is_folder(folder / name) for name in FOLDERS)

    def split(self, name: str) -> ImageSet:
        """Patches of one split or pool, in the order of the index; reads the images of this one only."""
        sources = set(self._division.of(name))
        content = [
            self.digest,
            type(self).card.version,
            name,
            self.size,
            self.mpp,
        ]
        content += [self.types, self.class_map, self.stride, self.patches, self.nuclei, self.seed]
        content += [self.sampling_unit] if self._index.cluster else []
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        pieces = [self._piece(row) for row in self._rows if row.source in sources]
        made = tiles.gather(pieces, self.size, MOST_EMPTY, self.nuclei, key, self._classes, self._mpp)
        if not self._index.cluster or self.sampling_unit != "auto":
            return made
        cluster_of = {row.source: row.cluster for row in self._rows}
        clusters = np.array([cluster_of[source] for source in made.conditions.groups.tolist()])
        return replace(made, conditions=replace(made.conditions, clusters=clusters))

    def manifest(self) -> dict[str, list[str]]:
        """Id of image -> the splits that show it, none for an image without a tile. JSON-able."""
        return self._division.manifest({row.id: row.source for row in self._rows})

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over index.csv, the list of patches if any, and every file that they name."""
        tables = [self.folder / "index.csv", *([self._list] if self._list else [])]
        files = files_digest((*tables, *(path for row in self._rows for path in (row.image, row.inst, row.type))))
        return index_digest(files, self._index)

    @cached_property
    def sampling(self) -> Sampling:
        """The sampling unit and the origin of the splits, from index.csv."""
        made = [name for name in ("validation", "R2") if name not in self._index.splits.values()]
        shares = "test 20, validation 15, R2 25 and train 40 in a hundred by hash"
        return self._index.sampling(f"{shares}, seed {self.seed}", made, self.sampling_unit)

    @cached_property
    def tile_summary(self) -> dict[str, int]:
        """Numbers of images, in all and of each split, and of nuclei of each type, 0 for a named one that never occurs."""
        shown = Counter(name for names in self.manifest().values() for name in names)
        images = {name: shown[name] for name in SPLITS if name != "holdout"}
        return {"images": len(self._rows), **images, **tiles.tile_summary(self._counts, self._classes, str(self.folder))}

    @cached_property
    def _index(self) -> Index:
        found = read_records(self.folder, LAYOUT, {**SPLIT_NAMES, "r1": "R1", "r2": "R2"})
        if not self.confirm_mpp:
            check_mpp(found.records, self.mpp, f"{self.folder}/index.csv")
        return found

    @cached_property
    def _rows(self) -> list[_Row]:
        records = self._index.records
        ids = [record.id for record in records]
        images = find_files(self.folder / "images", SUFFIXES, ids)
        inst, types = (find_files(self.folder / name, frozenset({".png"}), ids) for name in FOLDERS[1:])
        return [_Row(**vars(r), image=images[r.id], inst=inst[r.id], type=types[r.id]) for r in records]

    @cached_property
    def _mpp(self) -> float:
        """Microns per pixel of every patch, NaN if unknown. Raises UsageError if the index cannot give the requested one."""
        if self.mpp is None:
            known = {str(row.mpp): row for row in reversed(self._rows)}
            if len(known) > 1:
                found = some(sorted(f"{row.id} has {mpp}" for mpp, row in known.items()))
                raise UsageError(f"the images of {self.folder} differ in mpp: {found}. Set one with -o mpp=VALUE.")
            return self._rows[0].mpp
        if unfit := [row.id for row in self._rows if not row.mpp <= ENLARGE * self.mpp]:
            raise UsageError(
                f"mpp={self.mpp} was asked for, and {self.folder}/index.csv has none, or a coarser one, for {some(unfit)}. "
                "Fill in the column mpp, ask for a larger one, or leave the option out."
            )
        return self.mpp

    @cached_property
    def _list(self) -> Path | None:
        if self.patches not in ("", "auto"):
            if self.mpp is not None:
                raise UsageError(
                    "a list of patches counts the pixels of the files: leave out mpp, or the list with patches=''."
                )
            return self.folder / self.patches
        path = self.folder / f"patches{self.size}.csv"
        return path if self.patches == "auto" and self.mpp is None and is_there(path) else None

    @cached_property
    def _corners(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Id of image -> corners of its tiles at the wanted resolution, from the headers of the files."""
        shapes = {row.id: self._shape(row) for row in self._rows}
        if self._list is None:
            step = self.size if self.stride is None else self.stride
            return {name: tuple(corners(shape, self.size, step)) for name, shape in shapes.items()}
        return listed_corners(self._list, shapes, self.size)

    def _shape(self, row: _Row) -> tuple[int, int]:
        height, width = picture_size(row.image)
        scale = 1.0 if self.mpp is None else row.mpp / self._mpp
        return max(1, round(height * scale)), max(1, round(width * scale))

    @cached_property
    def _division(self) -> Division:
        _ = self._mpp, self._classes  # errors are raised before any patch is cut
        counts: Counter[str] = Counter()
        for row in self._rows:
            counts[row.source] += len(self._corners[row.id])
        shown = {name: count for name, count in counts.items() if count}
        if given := self._index.splits:
            return by_column(shown, given, self.seed, str(self.folder))
        return by_source(shown, self.seed, str(self.folder))

    @cached_property
    def _counts(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for row in self._rows:
            counts += tiles.nuclei_of(*self._maps(row))
        return counts

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        if not self._counts:
            raise MissingError(f"{self.folder} has no nucleus of any type. Give annotated data, or change class_map.")
        if self.types:
            return self._named
        highest = len(self._named) - 1 if self.class_map else max(self._counts)
        return ("background", *(f"type-{i}" for i in range(1, highest + 1)))

    def _maps(self, row: _Row) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Nuclei and renumbered types of an image as its files have them, checked."""
        instances, found = read_instances(row.inst), read_classes(row.type)
        tiles.same_size({str(row.inst): instances.shape, str(row.type): found.shape})
        tiles.check(instances, found, f"{row.inst} and {row.type}")
        types = self._lookup[found]
        if strange := np.unique(found[types < 0]).tolist():
            known = ", ".join(str(t) for t in np.flatnonzero(self._lookup[:IGNORE] >= 0)[1:])
            raise UsageError(
                f"{row.type} holds type {some([str(t) for t in strange])}; known are {known}. Name every type with "
                "-o types=NAME,NAME or map it with -o class_map=TYPE=TYPE: 0 makes it background."
            )
        return instances, types.astype(np.uint8)

    def _piece(self, row: _Row) -> tiles.Piece:
        return tiles.Piece(row.id, row.source, self._corners[row.id], lambda: self._read(row))

    def _read(self, row: _Row) -> tiles.Annotated:
        image = read_image(row.image)
        instances, types = self._maps(row)
        tiles.same_size({str(row.image): image.shape, str(row.inst): instances.shape})
        if self.mpp is not None:
            image, types = resample(image, types, row.mpp / self.mpp)
            nearest = Image.fromarray(instances).resize(types.shape[::-1], Image.Resampling.NEAREST)
            instances = np.asarray(nearest)
        return tiles.Annotated(image, instances, types, types != IGNORE)


def listed_corners(path: Path, shapes: dict[str, tuple[int, int]], size: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Id of image -> corners x, y that a list of patches names. Raises UsageError if one does not lie in its image."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in shapes}
    if not is_there(path):
        raise MissingError(f"no list of patches {path}. Give the name of a file beside index.csv, or patches=''.")
    for number, record in enumerate(read_table(path, ("source", "x", "y"), LAYOUT), start=1):
        name, words = record["source"], (record["x"], record["y"], record.get("size") or str(size))
        where = f"{path}, row {number}: {name} {' '.join(words)}"
        if name not in shapes or not all(word.isdecimal() and len(word) < DIGITS for word in words):
            raise DamagedError(f"{where}: expected are the id of an image in index.csv and whole numbers x, y and size.")
        x, y, side = map(int, words)
        if side != size:
            raise UsageError(f"{where}: this list is of patches of {side} px. Set -o size={side}, or patches=''.")
        if x + size > shapes[name][1] or y + size > shapes[name][0] or (x, y) in found[name]:
            raise DamagedError(
                f"{where}: does not lie in the image of {shapes[name][1]} x {shapes[name][0]} px, or occurs twice."
            )
        found[name].append((x, y))
    return {name: tuple(corners) for name, corners in found.items()}

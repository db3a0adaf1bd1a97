"""Your own data: a folder of images with class maps, cut into square patches and split by source.

    images/<id>.png   or .jpg, .jpeg, .webp, .tif, .tiff: 8-bit colour, any size
    region/<id>.png   or masks/<id>.png: the class of each pixel, of the same size; 255 = not annotated
    index.csv         id; patient, case, source, slide or source_image: the sampling unit, the first of them that is there;
                      split: train, validation, test; cluster, laboratory, lab, centre, center, site or hospital: what
                      intervals range over; mpp (may be empty)

Names of columns are read in any case, with or without blanks, underscores, hyphens and a last "id". Without a column of the
sampling unit each image is its own source, and no number gets an interval. The index says what belongs to the set: other
files and columns are not read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.files.regular import check_regular, describe_fault, is_folder, is_there, list_folder
from bench.histology.sampling import Sampling
from bench.types import Card, Conditions, ImageSet, Strings
from tasks.datasets.folder_splits import SPLITS, assign, follow
from tasks.datasets.index import (
    LAYOUT,
    MASK_FOLDERS,
    Index,
    Row,
    SamplingUnit,
    check_mpp,
    files_digest,
    find_rows,
    index_digest,
    read_records,
    some,
)
from tasks.datasets.pixels import IGNORE, read_classes, read_image, resample

DONORS, LEFT_OUT = "donors", "overlaps a donor"
"""Homes of patches beside the splits: reserved to cut prompts from, and in no split because they overlap a reserved one."""
ENLARGE = 1.1  # beyond this an enlarged image claims a resolution that it does not have
_UNKNOWN = -1  # in a lookup of classes: the file class has no meaning


@dataclass(frozen=True)
class _Loaded:
    patches: ImageSet
    homes: Strings
    """str (n,): the split that each patch belongs to, `DONORS` or `LEFT_OUT`."""
    tile_summary: Counter[str]


class Folder:
    """Patches of `size` px of a folder, at `mpp` microns per pixel if given, else as they are.

    A patch is kept where its most frequent class covers at most `largest` and its second at least `smallest` (more than
    nothing) of the annotated pixels, as in HeteroTissue-Diffuse; where more than half is not annotated it is dropped.
    `class_map` renumbers and merges file classes, "0=1,1=0,2=0,3=ignore"; `classes` names the results, "normal,tumour".
    Every class must occur in some patch. Pixels that are ignored keep the value 255 in `masks`. With a `stride` below
    `size` patches of one image overlap; `origins` and `corners` say where each lies. Images that show the same tissue, say
    files that were cut from one slide with an overlap, are not recognised as such.

    An mpp outside 0.1 to 4, in the index or asked for, is refused unless `confirm_mpp` says that it is meant.

    A column `split` of the index is kept to; where it names no validation, a quarter of the training sources validates, at
    least one. Without it sources go to train, validation and test as 60, 20 and 20 in a hundred, in the order of
    sha256("seed/source"); at least one each, so fewer than three sources are refused. Nothing is read before a split, the
    sampling or the digest is asked for.

    With a column of laboratories or centres (`index.CLUSTERS`) intervals range over its values; splits and prompts keep to
    sources. `sampling_unit="slide"` has intervals range over sources all the same: they then speak of other sources of the
    same laboratories, and not of other laboratories.

    `donors`, a share below 1, reserves the last patches of each test source, in the order of the index, to cut the prompts
    of its other patches from; patches that overlap a reserved one are in no split. Of one patch none is reserved.
    """

    card = Card(
        "folder",
        "1",
        "Your own images and class maps from a folder, cut into patches and split by source.",
        licence="that of the data",
        notes="The holdout split is the validation split: other slides than train and test. "
        "Where the index has no source, images of one slide may be on both sides.",
    )
    provides = frozenset({"masks"})

    def __init__(
        self,
        folder: Path,
        size: int = 64,
        mpp: float | None = None,
        class_map: str = "",
        classes: str = "",
        stride: int | None = None,
        smallest: float = 0.2,
        largest: float = 0.8,
        seed: int = 0,
        confirm_mpp: bool = False,
        donors: float = 0.0,
        sampling_unit: SamplingUnit = "auto",
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.size, self.mpp, self.stride, self.seed = size, mpp, stride, seed
        self.class_map, self.classes, self.confirm_mpp = class_map, classes, confirm_mpp
        self.donors, self.sampling_unit = donors, sampling_unit
        self.smallest, self.largest = smallest, largest
        self._lookup, self._names = class_lookup(class_map, classes)
        self._check_options()
        self.card = replace(type(self).card, name=f"folder-{self.folder.resolve().name}")
        if not is_folder(self.folder):
            raise MissingError(f"no folder {self.folder} that can be read. {LAYOUT}")
        if not is_there(self.folder / "index.csv"):
            found = "is empty" if not list_folder(self.folder) else "has no index.csv"
            raise MissingError(f"{self.folder} {found}. {LAYOUT}")
        check_regular(self.folder / "index.csv", "table")

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether the folder has an index and class maps."""
        return not describe_fault(folder / "index.csv") and any(is_folder(folder / name) for name in MASK_FOLDERS)

    def split(self, name: str) -> ImageSet:
        """Patches of one split, in the order of the index; `holdout` is `validation`."""
        if name not in SPLITS:
            raise UsageError(f"a dataset has the splits {', '.join(SPLITS)}; asked for {name!r}.")
        home = "validation" if name == "holdout" else name
        patches = self._loaded.patches
        rows = np.flatnonzero(self._loaded.homes == home)
        return ImageSet(self._key(home), patches.images[rows], patches.conditions[rows])

    @property
    def has_prompt_donors(self) -> bool:
        """Whether patches were asked to be reserved."""
        return self.donors > 0

    def prompt_donors(self) -> ImageSet:
        """The reserved patches of the test sources."""
        patches = self._loaded.patches
        rows = np.flatnonzero(self._loaded.homes == DONORS)
        if not len(rows):
            raise UsageError(
                f"donors={self.donors} reserves no patch of any test source of {self.folder}. Give a larger share, or 0."
            )
        return ImageSet(self._key(DONORS), patches.images[rows], patches.conditions[rows])

    def _key(self, home: str) -> str:
        content = [self.digest, type(self).card.version, home, self.size, self.mpp, self.class_map, self.classes]
        content += [self.stride, self.smallest, self.largest, self.seed]
        content += [self.donors] if self.donors and home in ("test", DONORS) else []  # other splits stay what they were
        content += [self.sampling_unit] if self._index.cluster else []
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over index.csv and every image and class map that it names."""
        files = files_digest((self.folder / "index.csv", *(path for row in self._rows for path in (row.image, row.mask))))
        return index_digest(files, self._index)

    @cached_property
    def sampling(self) -> Sampling:
        """The sampling unit and the origin of the splits, from index.csv."""
        made = [name for name in ("validation",) if name not in self._index.splits.values()]
        return self._index.sampling(f"60, 20 and 20 in a hundred by hash, seed {self.seed}", made, self.sampling_unit)

    @property
    def tile_summary(self) -> dict[str, int]:
        """Numbers of `images`, of `small` ones that hold no patch, of tiles `seen`, of those dropped for the `share` of
        their classes or as `ignored`, and of those `kept`; with `donors` of those `reserved`, and of those `left out` because
        they overlap a reserved one."""
        return dict(self._loaded.tile_summary)

    def _check_options(self) -> None:
        if self.size < 1 or self._step < 1:
            raise UsageError(f"size and stride are at least 1 px, not {self.size} and {self._step}.")
        if self.mpp is not None and not 0 < self.mpp < math.inf:
            raise UsageError(f"mpp is a positive number of microns per pixel, not {self.mpp}.")
        if not 0 <= self.smallest <= 0.5 or not self.smallest <= self.largest <= 1:
            raise UsageError(
                f"smallest={self.smallest} and largest={self.largest} bound the shares of the second and the first "
                "class of a patch: smallest lies in [0, 0.5], largest in [smallest, 1]."
            )
        if not 0 <= self.donors < 1:
            raise UsageError(
                f"donors is the share of each test source's patches to cut prompts from, in [0, 1), not {self.donors}."
            )
        if len(self._names) == 1:
            raise UsageError(f"a patch shows at least two classes, and {self._names[0]!r} is the only one.")

    @property
    def _step(self) -> int:
        return self.size if self.stride is None else self.stride

    @cached_property
    def _index(self) -> Index:
        found = read_records(self.folder, LAYOUT)
        if not self.confirm_mpp:
            check_mpp(found.records, self.mpp, f"{self.folder}/index.csv")
        return found

    @cached_property
    def _rows(self) -> list[Row]:
        return find_rows(self.folder, self._index)

    @cached_property
    def _loaded(self) -> _Loaded:
        mpp = self._resolution()
        tile_summary = Counter(images=len(self._rows), small=0, seen=0, share=0, ignored=0, kept=0)
        occurring: set[int] = set()
        ids, groups, images, masks, origins, places = [], [], [], [], [], []
        for row in self._rows:
            image, mask = self._read(row)
            occurring.update(np.unique(mask[mask != IGNORE]).tolist())
            tile_summary["small"] += min(mask.shape) < self.size
            for x, y in corners(mask.shape, self.size, self._step):
                tile = np.s_[y : y + self.size, x : x + self.size]
                fate = encoder(mask[tile], self.smallest, self.largest)
                tile_summary.update(("seen", fate))
                if fate == "kept":
                    ids.append(f"{row.id}/{x}_{y}")
                    groups.append(row.source)
                    origins.append(row.id)
                    places.append((y, x))
                    images.append(image[tile].copy())  # a view would keep the whole image in memory
                    masks.append(mask[tile].copy())
        if not ids:
            raise MissingError(self._nothing_kept(tile_summary))
        maps = np.stack(masks)
        names = self._class_names(maps, occurring)
        conditions = Conditions(
            np.array(ids),
            np.array(groups),
            names,
            self.size,
            mpp,
            maps,
            origins=np.array(origins),
            corners=np.array(places, dtype=np.int64),
        )
        if self._index.cluster and self.sampling_unit == "auto":
            cluster_of = self._index.clusters
            conditions = replace(conditions, clusters=np.array([cluster_of[name] for name in origins]))
        given = self._index.splits
        homes = follow(groups, given, self.seed, self.folder) if given else assign(groups, self.seed, self.folder)
        homes = reserve(conditions, homes, self.donors)
        if self.donors:
            tile_summary.update({"reserved": int((homes == DONORS).sum()), "left out": int((homes == LEFT_OUT).sum())})
        return _Loaded(ImageSet("", np.stack(images), conditions), homes, tile_summary)

    def _resolution(self) -> float:
        """Microns per pixel of every patch, NaN where unknown; refuses a wish that the index cannot answer."""
        if self.mpp is not None:
            if unknown := [row.id for row in self._rows if math.isnan(row.mpp)]:
                raise UsageError(
                    f"mpp={self.mpp} was asked for, but {self.folder}/index.csv has no mpp for {some(unknown)}. "
                    "Fill in the column mpp, or leave the option mpp out."
                )
            if coarse := [row.id for row in self._rows if row.mpp > ENLARGE * self.mpp]:
                raise UsageError(
                    f"mpp={self.mpp} was asked for, finer than the images are: {some(coarse)}. Ask for a larger mpp."
                )
            return self.mpp
        kinds: dict[str, str] = {}
        for row in self._rows:
            kinds.setdefault("none" if math.isnan(row.mpp) else str(row.mpp), row.id)
        if len(kinds) > 1:
            found = some([f"{name} has {mpp}" for mpp, name in kinds.items()])
            step = "Fill in the column mpp." if "none" in kinds else "Set one with -o mpp=VALUE."
            raise UsageError(f"the images of {self.folder} differ in mpp: {found}. {step}")
        return self._rows[0].mpp

    def _read(self, row: Row) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image and renumbered class map of a row at the wanted resolution."""
        image, mask = read_image(row.image), read_classes(row.mask)
        if image.shape[:2] != mask.shape:
            raise MissingError(
                f"{row.image} is {image.shape[1]} x {image.shape[0]} px, {row.mask} is {mask.shape[1]} x "
                f"{mask.shape[0]}. Give both in the same size."
            )
        renumbered = self._lookup[mask]
        if strange := np.unique(mask[renumbered == _UNKNOWN]).tolist():
            known = np.flatnonzero(self._lookup != _UNKNOWN).tolist()
            raise UsageError(
                f"{row.mask} holds class {', '.join(map(str, strange))}; known are {', '.join(map(str, known))}. "
                f"Name every class with -o class_map, for example {strange[0]}=0 or {strange[0]}=ignore."
            )
        mask = renumbered.astype(np.uint8)
        return (image, mask) if self.mpp is None else resample(image, mask, row.mpp / self.mpp)

    def _class_names(self, masks: NDArray[np.uint8], occurring: set[int]) -> tuple[str, ...]:
        names = self._names or tuple(f"class-{i}" for i in range(max(occurring) + 1))
        absent = sorted(set(range(len(names))) - set(np.unique(masks).tolist()))
        if absent:
            raise UsageError(
                f"no patch of {self.folder} shows {', '.join(f'{names[i]} ({i})' for i in absent)}. Merge or leave out "
                "classes with -o class_map=FILE_CLASS=CLASS,..., or change size, smallest and largest."
            )
        return names

    def _nothing_kept(self, tile_summary: Counter[str]) -> str:
        hint = " If 255 is a class of the files, say so: -o class_map=0=0,255=1." if tile_summary["ignored"] else ""
        return (
            f"no patch of {self.folder} passes: {tile_summary['images']} images, {tile_summary['small']} smaller than "
            f"{self.size} px; {tile_summary['seen']} tiles, {tile_summary['share']} dropped because their first class covers "
            f"more than {self.largest} or their second less than {self.smallest}, {tile_summary['ignored']} because more than "
            f"half is not annotated. Change size, stride, smallest or largest.{hint}"
        )


def class_lookup(class_map: str, classes: str) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """int16 (256,) from file class to class, and the names of the classes, () where only the files tell how many."""
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"classes={classes!r} has an empty or a double name. Write -o classes=normal,tumour.")
    if not class_map:
        lookup = np.arange(256, dtype=np.int16)
        lookup[len(names) or IGNORE : IGNORE] = _UNKNOWN
        return lookup, names
    lookup = np.full(256, _UNKNOWN, np.int16)
    lookup[IGNORE] = IGNORE
    pairs = _parse_map(class_map)
    lookup[list(pairs)] = list(pairs.values())
    targets = sorted(set(pairs.values()) - {IGNORE})
    if targets != list(range(len(targets))):
        raise UsageError(f"class_map={class_map!r} leads to {targets}. The results are numbered 0, 1, ... without a gap.")
    if names and len(names) != len(targets):
        raise UsageError(f"class_map={class_map!r} makes {len(targets)} classes, classes={classes!r} names {len(names)}.")
    return lookup, names or tuple(f"class-{i}" for i in targets)


def _parse_map(text: str) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for part in text.split(","):
        file_class, equals, target = (word.strip() for word in part.partition("="))
        number = str(IGNORE) if target == "ignore" else target
        if not (equals and _is_class(file_class) and _is_class(number)):
            raise UsageError(f"class_map has {part!r}. Write FILE_CLASS=CLASS or FILE_CLASS=ignore: 0=1,1=0,3=ignore.")
        if int(file_class) in pairs:
            raise UsageError(f"class_map={text!r} maps {file_class} twice.")
        pairs[int(file_class)] = int(number)
    return pairs


def _is_class(word: str) -> bool:
    return word.isdecimal() and len(word) <= len(str(IGNORE)) and int(word) <= IGNORE


def corners(shape: Sequence[int], size: int, step: int) -> Iterator[tuple[int, int]]:
    """x, y of every tile that lies wholly in an image of this height and width, row by row."""
    for y in range(0, shape[0] - size + 1, step):
        for x in range(0, shape[1] - size + 1, step):
            yield x, y


def encoder(mask: NDArray[np.uint8], smallest: float, largest: float) -> str:
    """What becomes of a tile: "kept", "ignored" or "share", by the rule of `Folder`."""
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    annotated = mask.size - int(counts[IGNORE])
    if 2 * annotated < mask.size:
        return "ignored"
    second, first = np.sort(counts[:IGNORE])[-2:] / annotated
    return "kept" if first <= largest and second >= smallest and second > 0 else "share"


def reserve(conditions: Conditions, homes: Strings, share: float) -> Strings:
    """str (n,): the homes, with the last patches of each source of `test`, as many as `share` says but not all, at `DONORS`,
    and those patches of `test` that overlap one of them at `LEFT_OUT`. Raises UsageError where a source would have no patch
    left in `test`."""
    made = homes.astype(np.result_type(homes, np.array([DONORS, LEFT_OUT])))
    for source in np.unique(conditions.groups[homes == "test"]) if share else ():
        rows = np.flatnonzero(conditions.groups == source)
        count = min(round(share * len(rows)), len(rows) - 1)
        reserved, rest = rows[len(rows) - count :], rows[: len(rows) - count]
        made[reserved] = DONORS
        tested = conditions[rest]
        hit = np.zeros(len(rest), dtype=bool)
        for row in reserved.tolist():
            hit |= conditions.overlaps(row, tested)
        if hit.all():
            raise UsageError(
                f"donors={share} reserves {count} of {len(rows)} patches of {source}, and each of the others overlaps one of "
                "them. Give a smaller share, or a larger stride."
            )
        made[rest[hit]] = LEFT_OUT
    return made

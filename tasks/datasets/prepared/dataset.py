"""Patches that `bench prepare` cut from whole slides, split by patient, case or slide."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import MissingError, UsageError
from bench.files.regular import is_folder, is_there
from bench.histology.sampling import Sampling, implausible_mpp, is_plausible_mpp
from bench.types import Card, Conditions, ImageSet, Strings
from tasks.datasets.folder import class_lookup, reserve
from tasks.datasets.folder_splits import SPLITS, assign, by_hash, follow
from tasks.datasets.index import UNITS, SamplingUnit, some
from tasks.datasets.pixels import IGNORE
from tasks.datasets.prepared.reading import Manifest, open_patches, read_index, read_manifest
from tasks.datasets.prepared.writer import INDEX, NAME, SHARE

if TYPE_CHECKING:
    import pandas

DONORS = "donors"
LARGEST_SEED = 2**32 - 1
_UNKNOWN = -1  # in a lookup of classes: the file class has no meaning


@dataclass(frozen=True)
class _Chosen:
    """The patches that the options leave, in the order of the index."""

    rows: NDArray[np.int64]
    conditions: Conditions
    homes: Strings
    """str (n,): the split of each patch, `DONORS`, or none of them where it overlaps a donor."""
    summary: Counter[str]


class Prepared:
    """Patches of whole slides from a folder that `bench prepare` or `bench pseudo-maps` wrote, in its size and resolution.

    Images and maps are read when they are needed, a few patches at a time. `centre` keeps the patches of one centre. A patch
    is kept where its most frequent class covers at most `largest` and its second at least `smallest` of its annotated pixels;
    the folder itself was already cut by such a rule. `most` keeps so many patches of a slide, by hash. `class_map`, `classes`,
    `donors`, `sampling_unit`, `seed` and `confirm_mpp` are those of the dataset `folder`.

    The sampling unit is the patient where the index names patients, else the case, else the slide; a unit is in one split.
    Where the index has no splits, 60, 20 and 20 in a hundred of the units train, validate and test, by hash.
    """

    card = Card(
        "prepared",
        "1",
        "Patches with maps, cut from whole slides by bench prepare.",
        licence="that of the data",
        notes="The holdout split is the validation split: other slides than train and test.",
    )
    provides = frozenset({"masks"})

    def __init__(
        self,
        folder: Path,
        class_map: str = "",
        classes: str = "",
        centre: str = "",
        smallest: float = 0.0,
        largest: float = 1.0,
        most: int = 0,
        seed: int = 0,
        confirm_mpp: bool = False,
        donors: float = 0.0,
        sampling_unit: SamplingUnit = "auto",
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.class_map, self.classes, self.centre = class_map, classes, centre
        self.smallest, self.largest, self.most, self.seed = smallest, largest, most, seed
        self.confirm_mpp, self.donors, self.sampling_unit = confirm_mpp, donors, sampling_unit
        self._lookup, self._names = class_lookup(class_map, classes)
        if not 0 <= smallest <= 0.5 or not smallest <= largest <= 1:
            raise UsageError(
                f"smallest={smallest} and largest={largest} bound the shares of the second and the first class of a patch: "
                "smallest lies in [0, 0.5], largest in [smallest, 1]."
            )
        if seed < 0 or seed > LARGEST_SEED:
            raise UsageError(f"seed is 0 to {LARGEST_SEED}, not {seed}.")
        if most < 0 or not 0 <= donors < 1:
            raise UsageError(
                f"most={most} is a number of patches of a slide, 0 for all; donors={donors} is a share in [0, 1)."
            )
        if not is_folder(self.folder):
            raise MissingError(f"no folder {self.folder} that can be read. bench prepare writes one.")
        self.card = replace(
            type(self).card, name=f"prepared-{self.folder.resolve().name}", conditioned_by=self._manifest.conditioned_by
        )

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether the folder has the files of a prepared one."""
        return is_there(folder / NAME) and is_there(folder / INDEX)

    def split(self, name: str) -> ImageSet:
        """Patches of one split, in the order of the index; `holdout` is `validation`."""
        if name not in SPLITS:
            raise UsageError(f"a dataset has the splits {', '.join(SPLITS)}; asked for {name!r}.")
        return self._part("validation" if name == "holdout" else name)

    @property
    def has_prompt_donors(self) -> bool:
        """Whether patches were asked to be reserved."""
        return self.donors > 0

    def prompt_donors(self) -> ImageSet:
        """The reserved patches of the test slides."""
        found = self._part(DONORS)
        if not len(found):
            raise UsageError(f"donors={self.donors} reserves no patch of any test slide. Give a larger share, or 0.")
        return found

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 of the manifest, which has the checksums of everything."""
        return self._read[1][:16]

    @cached_property
    def sampling(self) -> Sampling:
        """The sampling unit and the origin of the splits, from the index."""
        unit, frame = self._unit, self._index
        has_splits = bool(frame["split"].iloc[0])
        basis = f"column {unit} of {INDEX}" if unit != "slide" else f"{INDEX} names no patients and no cases"
        splits = f"column split of {INDEX}" if has_splits else f"60, 20 and 20 in a hundred by hash, seed {self.seed}"
        if has_splits and "validation" not in set(frame["split"]):
            splits += f", which names no validation: made from {UNITS[unit]} of train"
        if not self._has_centres:
            return Sampling(UNITS[unit], basis, splits)
        tested = frame.loc[frame["split"] == "test", "centre"].nunique() if has_splits else 0
        if self.sampling_unit == "slide":
            return Sampling(UNITS[unit], basis, splits, laboratories=tested)
        return Sampling(UNITS[unit], basis, splits, clusters="centres", cluster_basis=f"column centre of {INDEX}")

    @property
    def tile_summary(self) -> dict[str, int]:
        """Numbers of `slides`, of slides `excluded` when the folder was made, of its `patches`, and of those `kept`."""
        return dict(self._chosen.summary)

    def _part(self, home: str) -> ImageSet:
        chosen = self._chosen
        rows = np.flatnonzero(chosen.homes == home)
        images = open_patches(self.folder, self._manifest, "images").take(chosen.rows[rows])
        lookup = np.where(self._lookup == _UNKNOWN, IGNORE, self._lookup).astype(np.uint8).tobytes()
        masks: Any = open_patches(self.folder, self._manifest, "masks", lookup).take(chosen.rows[rows])
        return ImageSet(self._key(home), images, replace(chosen.conditions[rows], masks=masks))  # type: ignore[arg-type]

    def _key(self, home: str) -> str:
        content = [self.digest, type(self).card.version, home, self.class_map, self.classes, self.centre, self.smallest]
        content += [self.largest, self.most, self.seed, self.donors, self.sampling_unit]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @cached_property
    def _read(self) -> tuple[Manifest, str]:
        manifest, digest = read_manifest(self.folder)
        if not self.confirm_mpp and not is_plausible_mpp(manifest.mpp):
            raise UsageError(implausible_mpp(f"{self.folder / NAME}: mpp is {manifest.mpp:g}"))
        return manifest, digest

    @property
    def _manifest(self) -> Manifest:
        return self._read[0]

    @cached_property
    def _index(self) -> pandas.DataFrame:
        """The patches of the asked centre."""
        frame = read_index(self.folder, self._manifest)
        frame["row"] = np.arange(len(frame))
        if self.centre:
            known = sorted(set(frame["centre"]) - {""})
            frame = frame[frame["centre"] == self.centre]
            if not len(frame):
                found = f"the centres are {', '.join(known)}" if known else "the index names none"
                raise UsageError(f"centre={self.centre!r} has no patch in {self.folder}: {found}.")
        return frame

    @cached_property
    def _unit(self) -> str:
        """The first of patient, case and slide that every patch has."""
        return next(name for name in ("patient", "case", "slide") if (self._index[name] != "").all())

    @property
    def _has_centres(self) -> bool:
        """Whether intervals can range over centres: all patches name one, and not one centre was asked for."""
        return not self.centre and bool((self._index["centre"] != "").all())

    @cached_property
    def _chosen(self) -> _Chosen:
        frame = self._index
        names, shares = self._classes_and_shares(frame)
        frame = frame[self._is_kept(shares) & self._is_among_most(frame)]
        if not len(frame):
            raise MissingError(
                f"no patch of {self.folder} is left: {len(shares)} patches, none with a first class of at most {self.largest} "
                f"and a second of at least {self.smallest}. Change smallest and largest."
            )
        rows = frame["row"].to_numpy(np.int64)
        kept = shares[np.searchsorted(self._index["row"].to_numpy(), rows)]
        if absent := [f"{name} ({i})" for i, name in enumerate(names) if not kept[:, i].any()]:
            raise UsageError(
                f"no patch of {self.folder} shows {', '.join(absent)}. Merge or leave out classes with class_map."
            )
        groups = frame[self._unit].astype(str).tolist()
        conditions = Conditions(
            np.array(frame["id"].tolist()),
            np.array(groups),
            names,
            self._manifest.size,
            self._manifest.mpp,
            origins=np.array(frame["slide"].tolist()),
            corners=frame[["y", "x"]].to_numpy(np.int64),
        )
        if self._has_centres and self.sampling_unit == "auto":
            conditions = replace(conditions, clusters=np.array(frame["centre"].tolist()))
        homes = reserve(conditions, self._split_of(frame, groups), self.donors)
        summary = Counter(
            slides=len(self._manifest.slides),
            excluded=len(self._manifest.exclusions),
            patches=self._manifest.count,
            kept=len(frame),
        )
        return _Chosen(rows, conditions, homes, summary)

    def _classes_and_shares(self, frame: pandas.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of the classes, and float64 (n, classes): the share of each in each patch, after `class_map`."""
        given = self._manifest.classes
        targets = self._lookup[: len(given)]
        if strange := [f"{i} ({given[i]})" for i in np.flatnonzero(targets == _UNKNOWN).tolist()]:
            raise UsageError(
                f"{self.folder} has the classes {some(strange)}, which class_map and classes leave out. Name each."
            )
        count = int(targets[targets != IGNORE].max(initial=-1)) + 1
        shares = np.zeros((len(frame), count))
        for number, target in enumerate(targets.tolist()):
            if target != IGNORE:
                shares[:, target] += frame[f"{SHARE}{given[number]}"].to_numpy(np.float64)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        names = given if not (self.class_map or self.classes) else self._names
        if len(names) != count:
            raise UsageError(
                f"{self.folder} shows {count} classes ({', '.join(given)}), and {len(names)} are named: {', '.join(names)}."
            )
        if len(names) < 2:
            raise UsageError(f"a dataset shows at least two classes, and {self.folder} has {', '.join(names) or 'none'}.")
        return names, shares

    def _is_kept(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        ordered = np.sort(shares, axis=1)
        rounding = 1e-9
        return np.asarray((ordered[:, -1] <= self.largest + rounding) & (ordered[:, -2] >= self.smallest - rounding))

    def _is_among_most(self, frame: pandas.DataFrame) -> NDArray[np.bool_]:
        if not self.most:
            return np.ones(len(frame), dtype=bool)
        chosen: set[str] = set()
        for _, ids in frame.groupby("slide")["id"]:
            chosen.update(by_hash(ids.tolist(), self.seed)[: self.most])
        return np.asarray(frame["id"].isin(chosen))

    def _split_of(self, frame: pandas.DataFrame, groups: Sequence[str]) -> Strings:
        """str (n,): the split of each patch."""
        splits = self._index["split"]
        if not (splits != "").any():
            return assign(list(groups), self.seed, self.folder)
        if (splits == "").any():
            raise MissingError(f"{self.folder / INDEX} names a split for some patches and not for others.")
        pairs = set(zip(self._index[self._unit].astype(str), splits, strict=True))
        counts = Counter(unit for unit, _ in pairs)
        if torn := sorted(unit for unit, count in counts.items() if count > 1):
            raise MissingError(f"{self.folder / INDEX}: {UNITS[self._unit]} in two splits: {some(torn)}.")
        if strange := sorted(set(splits) - set(SPLITS[:3])):
            raise MissingError(f"{self.folder / INDEX} has the splits {some(strange)}; known are {', '.join(SPLITS[:3])}.")
        return follow(list(groups), dict(pairs), self.seed, self.folder)

"""`given:PATH`: features that were computed before, elsewhere or in another precision, found by the content of images.

PATH is a file that `bench features` wrote, or a folder of such files. One file:

    features   float32 (n, d), finite
    images     str (n,): sha256 of each image's bytes, uint8 (h, w, 3)
    ids        str (n,)
    groups     str (n,): slide of each image; empty where it is not known
    about      str: JSON with encoder, version, weights (a digest) and precision
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError, UsageError
from bench.files import json_files
from bench.files.regular import check_regular, is_folder, list_folder
from bench.provenance.digests import digest_of, digest_of_patch
from bench.types import Card, Features, Images, Strings

ARRAYS = ("features", "images", "ids", "groups", "about")
STATED = ("encoder", "version", "weights", "precision")


@dataclass(frozen=True)
class FeatureFile:
    """Features of some images, with what is stated of them."""

    features: Features
    images: Strings
    """sha256 of each image."""
    ids: Strings
    groups: Strings
    about: dict[str, str]
    """`STATED`."""

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {name: vars(self)[name] for name in ARRAYS if name != "about"}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            np.savez(out, about=np.array(json.dumps(self.about)), **arrays)


def read_features(path: Path) -> FeatureFile:
    """Raises MissingError where there is no file, and DamagedError where it is no file of features, its arrays do not fit each
    other, or features are not finite."""
    check_regular(path, "file of features")
    try:
        with np.load(path, allow_pickle=False) as opened:
            held: dict[str, NDArray[Any]] = {name: opened[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(
            f"{path} is no file of features: {' '.join(str(error).split())[:200]}. It is an .npz with {', '.join(ARRAYS)}, as "
            "bench features writes it."
        ) from error
    features, n = held["features"], len(held["images"])
    if features.ndim != 2 or features.dtype.kind != "f" or not features.size:
        raise DamagedError(f"{path}: features are {features.dtype} {features.shape}, not floats (n, d).")
    for name in ("features", "ids", "groups"):
        if len(held[name]) != n:
            raise DamagedError(f"{path}: {len(held[name])} {name} and {n} images; a row of each belongs to one image.")
    if wrong := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DamagedError(f"{path}: {wrong} of {n} rows of features have NaN or infinite values. Encode these images again.")
    about = json_files.parse(str(held["about"]).encode(), f"about in {path}")
    if not isinstance(about, dict) or not all(isinstance(about.get(name), str) for name in STATED):
        raise DamagedError(f"{path}: about states {', '.join(STATED)}, each a text; found {str(about)[:100]}.")
    texts = {name: held[name].astype(str) for name in ("images", "ids", "groups")}
    return FeatureFile(features.astype(np.float32), **texts, about={name: about[name] for name in STATED})


class Given:
    """Features from files. Their encoder and precision are part of the protocol, and the files of keys alone."""

    card = Card(
        "given",
        "1",
        "Features that were computed before: given:FILE.npz of bench features, or a folder of such files.",
        licence="that of the encoder",
        source="bench features",
        notes="Records name the encoder that the file states. Images are found by their content.",
    )

    def __init__(self, file: Path) -> None:
        self.file = Path(file)
        self.card = replace(type(self).card, name=self.stated["encoder"], version=self.stated["version"])

    @cached_property
    def stated(self) -> dict[str, str]:
        """encoder, version, weights and precision. UsageError where files state different ones."""
        first, *others = self._files
        for other in others:
            if wrong := [name for name in STATED if other.about[name] != first.about[name]]:
                found = " and ".join(repr(one.about[wrong[0]]) for one in (first, other))
                raise UsageError(f"files in {self.file} differ in {wrong[0]}: {found}. Features of one encoder are needed.")
        return first.about

    @cached_property
    def content(self) -> str:
        """Digest of the files."""
        return hashlib.sha256("".join(map(digest_of, self._paths())).encode()).hexdigest()

    @property
    def dim(self) -> int:
        return int(self._files[0].features.shape[1])

    def encode(self, images: Images) -> Features:
        """float32 (n, dim). MissingError with the number of images of which there are no features."""
        wanted = [digest_of_patch(image) for image in images]
        if absent := [digest for digest in wanted if digest not in self._rows]:
            raise MissingError(
                f"{self.file} has no features of {len(absent)} of {len(wanted)} images (it has those of {len(self._rows)} "
                "images): encode these too with bench features, real patches with --task, and put all files into one folder."
            )
        return np.stack([self._rows[digest] for digest in wanted])

    def _paths(self) -> list[Path]:
        if not is_folder(self.file):
            return [self.file]
        found = [path for path in list_folder(self.file) if path.suffix == ".npz"]
        if not found:
            raise MissingError(f"no .npz in {self.file}: bench features writes them.")
        return found

    @cached_property
    def _files(self) -> list[FeatureFile]:
        found = [read_features(path) for path in self._paths()]
        widths = sorted({one.features.shape[1] for one in found})
        if len(widths) > 1:
            raise DamagedError(f"files in {self.file} have features of {' and '.join(map(str, widths))} columns, not of one.")
        return found

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.float32]]:
        return {name: row for one in self._files for name, row in zip(one.images.tolist(), one.features, strict=True)}

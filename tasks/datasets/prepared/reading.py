"""Reads a prepared folder: its manifest, its index, and its patches by chunks that are checked when they are read."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import DamagedError, MissingError
from bench.files import json_files
from bench.files.regular import is_there, read_bytes
from bench.jobs.arrays import ArrayPart, StoredArray
from bench.jobs.entries import ARRAY_MANIFEST, DamagedEntry, EntryRef
from tasks.datasets.prepared.writer import ARRAYS, INDEX, NAME, PATCHES, ROWS_PER_CHUNK, SCHEMA, SHARE, TEXTS

if TYPE_CHECKING:
    import pandas

AGAIN = "Make the folder again: bench prepare."
WHAT = "list of prepared patches"


@dataclass(frozen=True)
class ListedSlide:
    """The patches of one slide, as `dataset.json` lists them."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    slide: str
    patches: int
    images: dict[str, str]
    masks: dict[str, str]


@dataclass(frozen=True)
class Excluded:
    """A slide that was left out."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    slide: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """`dataset.json`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    schema: int
    size: int
    mpp: float
    classes: tuple[str, ...]
    described: dict[str, Any]
    index: str
    slides: tuple[ListedSlide, ...]
    exclusions: tuple[Excluded, ...]

    @property
    def count(self) -> int:
        """Patches of all slides."""
        return sum(listed.patches for listed in self.slides)

    @property
    def conditioned_by(self) -> tuple[str, ...]:
        """Encoders that made the classes. Names of plug-in files are left out: what a file names is not imported."""
        held = self.described.get("conditioned_by", ())
        names = held if isinstance(held, list) else ()
        return tuple(name for name in names if isinstance(name, str) and not registry.is_file(name))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a folder, and the sha256 of its file. MissingError where there is none, DamagedError where it is not one
    of this version."""
    from pydantic import TypeAdapter, ValidationError

    path = folder / NAME
    if not is_there(path):
        raise MissingError(f"{folder} has no {NAME}: it is no folder that bench prepare wrote. bench data check {folder}")
    content = read_bytes(path, WHAT)
    held = json_files.parse(content, str(path))
    if not isinstance(held, dict) or held.get("schema") != SCHEMA:
        found = held.get("schema") if isinstance(held, dict) else type(held).__name__
        raise DamagedError(f"{path} is of schema {found!r}; this version reads {SCHEMA}. {AGAIN}")
    try:
        manifest = TypeAdapter(Manifest).validate_python(held)
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}. {AGAIN}") from error
    if manifest.size < 1 or not 0 < manifest.mpp < 100 or len(manifest.classes) < 1 or manifest.count < 1:
        raise DamagedError(f"{path} states a size, a resolution, classes or patches that cannot be. {AGAIN}")
    return manifest, hashlib.sha256(content).hexdigest()


def read_index(folder: Path, manifest: Manifest) -> pandas.DataFrame:
    """The rows of all patches. DamagedError where the file differs from its checksum, or is no index of these patches."""
    import pandas
    import pyarrow

    path = folder / INDEX
    content = read_bytes(path, "index of prepared patches")
    if hashlib.sha256(content).hexdigest() != manifest.index:
        raise DamagedError(f"{path} differs from its checksum in {NAME}. {AGAIN}")
    try:
        frame = pandas.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise DamagedError(f"{path} cannot be read ({error}). {AGAIN}") from error
    needed = {"id", *TEXTS, "x", "y", "mpp", "heterogeneity", *(f"{SHARE}{name}" for name in manifest.classes)}
    if absent := sorted(needed - set(frame.columns)):
        raise DamagedError(f"{path} has no column {', '.join(absent)}. {AGAIN}")
    expected = [listed.slide for listed in manifest.slides for _ in range(listed.patches)]
    if frame["slide"].tolist() != expected or frame["id"].duplicated().any():
        raise DamagedError(f"{path} does not list the patches of {NAME}. {AGAIN}")
    return frame


@dataclass(frozen=True)
class PreparedArray(ArrayPart):
    """The images or masks of one slide; a chunk is checked against `dataset.json` when it is read."""

    lookup: bytes | None = None
    """The value in place of each of 0 to 255, for masks whose classes are renumbered."""

    def load_chunk(self, number: int) -> NDArray[Any]:
        """Decoded rows. DamagedError where they are not those that were written."""
        try:
            rows = super().load_chunk(number)
        except DamagedEntry as error:
            raise DamagedError(f"{self.path}: {error.what}. {AGAIN}") from error
        return rows if self.lookup is None else np.frombuffer(self.lookup, np.uint8)[rows]


def open_patches(folder: Path, manifest: Manifest, name: str, lookup: bytes | None = None) -> StoredArray:
    """`images` or `masks` of all slides, one after the other; loads nothing. DamagedError where a description differs."""
    size = manifest.size
    side = (size, size, 3) if name == "images" else (size, size)
    parts = []
    for number, listed in enumerate(manifest.slides):
        path = folder / PATCHES / f"{number:05d}" / name
        sums = getattr(listed, name)
        found = hashlib.sha256(read_bytes(path / ARRAY_MANIFEST, "description of patches")).hexdigest()
        if found != sums.get("described"):
            raise DamagedError(f"{path / ARRAY_MANIFEST} differs from its checksum in {NAME}. {AGAIN}")
        ref = EntryRef("prepared", f"{number:05d}")
        shape = (listed.patches, *side)
        parts.append(PreparedArray(path, ref, shape, np.dtype(np.uint8), ROWS_PER_CHUNK, sums.get("chunks", ""), lookup))
    assert name in ARRAYS
    return StoredArray(tuple(parts), np.dtype(np.uint8))

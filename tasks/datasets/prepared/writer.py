"""Writes a prepared folder: patches of whole slides with their class maps.

    dataset.json          size, mpp, classes, how it was made, the checksum of everything else, excluded slides with reasons
    index.parquet         a row for each patch: id, slide, case, patient, centre, split, x, y, mpp, the share of each class of
                          the annotated pixels, their Shannon entropy in bits (`heterogeneity`)
    patches/00000/        images and masks of the first slide, in the order of the names of slides (zarr)

Slides are written one by one, each into a folder of its own, by any process and in any order; `assemble` joins them. The same
patches give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.files.paths import delete, digest_regular
from bench.files.text import write_text
from bench.jobs.arrays import write_array
from bench.jobs.entries import ARRAY_MANIFEST, chunk_checksum
from bench.types import NOT_ANNOTATED

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
NAME, INDEX, PATCHES = "dataset.json", "index.parquet", "patches"
ARRAYS = ("images", "masks")
SHARE = "share "
"""Begins the columns of the shares of classes: `share tumour`."""
TEXTS = ("slide", "case", "patient", "centre", "split")
ROWS_PER_CHUNK = 16
ROWS_HELD = 2**16
"""Rows of the index that are held in memory while it is written, and those of a row group."""


@dataclass(frozen=True)
class PreparedPart:
    """The patches of one slide. Texts are empty where nothing is known."""

    slide: str
    case: str
    patient: str
    centre: str
    split: str
    images: NDArray[np.uint8]
    """uint8 (n, size, size, 3), RGB."""
    masks: NDArray[np.uint8]
    """uint8 (n, size, size): class of each pixel, 255 where it is not annotated."""
    corners: NDArray[np.int64]
    """int64 (n, 2): y and x of each patch's upper left pixel in the slide, in pixels of the prepared resolution."""
    mpps: NDArray[np.float64] | None = None
    """float64 (n,): microns per pixel of each patch, where they differ; None for the prepared resolution."""


def write_part(folder: Path, part: PreparedPart, classes: Sequence[str], mpp: float) -> None:
    """Writes the patches of one slide into an existing folder. A slide without patches is one too."""
    if part.images.shape[:3] != part.masks.shape or len(part.corners) != len(part.images):
        raise ValueError(f"images {part.images.shape}, masks {part.masks.shape} and {len(part.corners)} corners differ")
    _index_of(part, classes, mpp).to_parquet(folder / INDEX, index=False)
    if len(part.images):
        for name in ARRAYS:
            write_array(folder, name, getattr(part, name), ROWS_PER_CHUNK)


def read_part_index(folder: Path) -> pandas.DataFrame:
    """The rows of one slide: see the top of this file."""
    import pandas

    return pandas.read_parquet(folder / INDEX)


def assemble(
    parts: Sequence[Path],
    out: Path,
    size: int,
    mpp: float,
    classes: Sequence[str],
    described: Mapping[str, Any],
    exclusions: Sequence[tuple[str, str]],
) -> None:
    """Joins slides that `write_part` wrote to the prepared folder `out`, which appears when it is complete.

    `described` says how it was made, as JSON; `exclusions` are slides that were left out, with the reasons. UsageError where
    `out` exists, two parts are of one slide, or no part has a patch.
    """
    if out.exists():
        raise UsageError(f"{out} exists. Give --out a folder that does not, or remove this one.")
    slides = sorted((slide, part) for part in parts if (slide := _slide_of(part)))
    if not slides:
        raise UsageError(f"none of the {len(parts)} slides has a patch. Change --size, --mpp, or the shares of classes.")
    if twice := next((slide for (slide, _), (other, _) in pairwise(slides) if slide == other), None):
        raise UsageError(f"the slide {twice} was prepared twice: two files have its name.")
    work = out.with_name(f".{out.name}.part")
    delete(work)
    (work / PATCHES).mkdir(parents=True)
    counts = _join_indexes([part for _, part in slides], work / INDEX)
    listed = []
    for number, (slide, part) in enumerate(slides):
        place = work / PATCHES / f"{number:05d}"
        place.mkdir()
        for name in ARRAYS:
            shutil.copytree(part / name, place / name)
        listed.append({"slide": slide, "patches": counts[number], **{name: _sums(place / name) for name in ARRAYS}})
    held = {
        "schema": SCHEMA,
        "size": size,
        "mpp": mpp,
        "classes": list(classes),
        "described": dict(described),
        "index": digest_regular(work / INDEX),
        "slides": listed,
        "exclusions": [{"slide": slide, "reason": reason} for slide, reason in sorted(exclusions)],
    }
    write_text(work / NAME, json.dumps(held, indent=1, sort_keys=True) + "\n")
    work.rename(out)


def _index_of(part: PreparedPart, classes: Sequence[str], mpp: float) -> pandas.DataFrame:
    import pandas

    n = len(part.corners)
    y, x = part.corners[:, 0].astype(np.int64), part.corners[:, 1].astype(np.int64)
    columns: dict[str, Any] = {"id": [f"{part.slide}/{a}_{b}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]}
    columns |= {name: [getattr(part, name)] * n for name in TEXTS}
    columns |= {"x": x, "y": y, "mpp": np.full(n, mpp) if part.mpps is None else part.mpps}
    shares = class_shares(part.masks, len(classes))
    columns |= {f"{SHARE}{name}": shares[:, i] for i, name in enumerate(classes)}
    columns["heterogeneity"] = entropy(shares)
    return pandas.DataFrame(columns).astype(dict.fromkeys(("id", *TEXTS), "string"))


def class_shares(masks: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """float64 (n, classes): the share of each class of the annotated pixels; zeros where none is annotated."""
    counts = np.array([np.bincount(mask.ravel(), minlength=NOT_ANNOTATED + 1)[:classes] for mask in masks], dtype=np.float64)
    counts = counts.reshape(len(masks), classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (n,): Shannon entropy of each row, in bits."""
    logarithms = np.log2(np.where(shares > 0, shares, 1.0))
    return np.asarray(np.abs((shares * logarithms).sum(axis=1)))


def _slide_of(part: Path) -> str:
    """The slide of a part; empty where it has no patch."""
    from pyarrow import parquet

    names = parquet.read_table(part / INDEX, columns=["slide"])["slide"]
    return str(names[0].as_py()) if len(names) else ""


def _join_indexes(parts: Sequence[Path], out: Path) -> list[int]:
    """Writes the rows of all parts to one file, `ROWS_HELD` rows or a little more in memory at a time; the rows of each."""
    import pyarrow
    from pyarrow import parquet

    counts: list[int] = []
    held: list[pyarrow.Table] = []
    with parquet.ParquetWriter(out, parquet.read_schema(parts[0] / INDEX)) as writer:
        for part in parts:
            held.append(parquet.read_table(part / INDEX))
            counts.append(len(held[-1]))
            if sum(map(len, held)) >= ROWS_HELD:
                writer.write_table(pyarrow.concat_tables(held), row_group_size=ROWS_HELD)
                held.clear()
        if held:
            writer.write_table(pyarrow.concat_tables(held), row_group_size=ROWS_HELD)
    return counts


def _sums(array: Path) -> dict[str, str]:
    """Checksums of an array: of its description, and of its chunks, one after the other."""
    chunks = sorted((path for path in (array / "c").iterdir()), key=lambda path: int(path.name))
    files = [next(path for path in sorted(chunk.rglob("*")) if path.is_file()) for chunk in chunks]
    described = hashlib.sha256((array / ARRAY_MANIFEST).read_bytes()).hexdigest()
    return {"described": described, "chunks": "".join(map(chunk_checksum, files))}

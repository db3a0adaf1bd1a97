"""Images that were generated elsewhere for exported conditions, matched by id: `folder:DIR`.

DIR holds samples/<id>.png or <id>.png ("/" in an id written "__"), or samples.csv with the columns id and file (relative to
DIR), which is used if several exist. A DIR with folders seed0, seed1, ... of that layout has one set of images for each of
these run seeds; without them it has one set, which counts as one seed. Images are 8-bit RGB PNG of the size of the conditions:
nothing is resized, converted or decoded from a lossy format, because that would change metrics.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, MissingError
from bench.files.csv_files import write_cell_text
from bench.files.image_files import check_opaque, check_upright, find_png_fault, open_image
from bench.files.names import file_stem, path_below
from bench.files.regular import describe_fault, is_folder, is_there, list_folder, read_bytes
from bench.messages import listed_names
from bench.types import Card, Conditions, Images, Strings

_SET = re.compile(r"seed(0|[1-9][0-9]*)")
_PNG = b"\x89PNG\r\n\x1a\n"
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class Folder:
    """One image for each condition and set, from a folder. Image seeds are ignored, since the images exist already."""

    card = Card(
        "folder",
        "1",
        "Images generated elsewhere for exported conditions, matched by id.",
        licence="Apache-2.0",
        source="a folder of samples, see `bench export`",
        notes="One set of images counts as one seed; seed0/, seed1/ are sets of those run seeds. What it was fitted on "
        "is not known here.",
    )
    deterministic = True
    follows_prompt_source = True  # the images may have been generated from the exported crops

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not is_folder(self.folder):
            raise MissingError(f"no folder {self.folder}: `bench export conditions` writes what is to be generated.")

    def set_seeds(self) -> tuple[int, ...]:
        """Run seeds that have a set of images of their own; empty where there is one set."""
        return tuple(self._sets)

    def of_seed(self, seed: int) -> Folder:
        """The set of one run seed."""
        return self._sets[seed]

    @cached_property
    def _sets(self) -> dict[int, Folder]:
        """Run seed -> its set. Raises MissingError if sets are mixed with other images, or two sets have the same images."""
        named = {
            int(match[1]): path for path in list_folder(self.folder) if (match := _SET.fullmatch(path.name)) and path.is_dir()
        }
        if named and any(is_there(self.folder / name) for name in ("samples", "samples.csv")):
            raise MissingError(
                f"{self.folder} has images of its own beside {', '.join(sorted(path.name for path in named.values()))}. "
                "Keep either one set, or one for each seed."
            )
        sets = {seed: Folder(path) for seed, path in sorted(named.items())}
        seen: dict[str, int] = {}
        for seed, one in sets.items():
            if (other := seen.setdefault(one.digest, seed)) != seed:
                raise MissingError(
                    f"{self.folder}/seed{other} and seed{seed} hold the same images: that is one set, and counts as one seed. "
                    f"Leave one out, or give its folder: folder:{self.folder}/seed{other}"
                )
        return sets

    @cached_property
    def digest(self) -> str:
        """sha256 of file names and content, part of every key; over all sets if there are several."""
        total = hashlib.sha256()
        for seed, one in self._sets.items():
            total.update(f"seed{seed}\0{one.digest}\n".encode())
        if self._sets:
            return total.hexdigest()
        for stem, file in sorted(self._files.items()):
            total.update(f"{stem}\0{hashlib.sha256(_content(file)).hexdigest()}\n".encode())
        return total.hexdigest()

    def check_conditions(self, ids: Strings) -> None:
        """Raises MissingError unless the images are exactly those of the ids; lists missing and extra ones."""
        for one in self._sets.values():
            one.check_conditions(ids)
        if self._sets:
            return
        expected = {self._stem(name): name for name in ids.tolist()}
        missing = [name for stem, name in expected.items() if stem not in self._files]
        extra = [file.name for stem, file in self._files.items() if stem not in expected]
        self._refuse(missing, extra)

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3), of the first set. Images of other conditions may lie in the folder too."""
        if self._sets:
            return next(iter(self._sets.values())).generate(conditions, seeds)
        stems = [self._stem(name) for name in conditions.ids.tolist()]
        found = zip(conditions.ids.tolist(), stems, strict=True)
        self._refuse([name for name, stem in found if stem not in self._files], [])
        images = np.empty((len(stems), conditions.size, conditions.size, 3), dtype=np.uint8)
        for i, stem in enumerate(stems):
            images[i] = _image(self._files[stem], conditions.size)
        return images

    @cached_property
    def _files(self) -> dict[str, Path]:
        """File stem of an id -> file, in the order of names."""
        table, samples = self.folder / "samples.csv", self.folder / "samples"
        if is_there(table):
            return _from_table(table)
        place = samples if samples.is_dir() else self.folder
        found = {file.stem: file for file in sorted(place.glob("*.png")) if not file.name.startswith(".")}
        if not found and place is self.folder:
            raise MissingError(f"{self.folder} has no PNG, no folder samples and no samples.csv (columns id, file).")
        return found

    def _stem(self, name: str) -> str:
        """What the image of an id is called: by the id, or by what conditions.csv has for it."""
        stem, written = file_stem(name), file_stem(write_cell_text(name))
        return written if stem not in self._files and written in self._files else stem

    def _refuse(self, missing: list[str], extra: list[str]) -> None:
        wrong = [f"no image for {len(missing)} conditions: {listed_names(missing)}"] if missing else []
        wrong += [f"{len(extra)} images of no condition: {listed_names(extra)}"] if extra else []
        if wrong:
            raise MissingError(
                f"{self.folder} has {'; and '.join(wrong)}. An image is found as samples/<id>.png, with the id as in "
                "conditions.csv and '/' written '__', or through samples.csv. A run with --no-downstream needs test patches "
                "alone: bench export conditions --splits test"
            )


def _from_table(table: Path) -> dict[str, Path]:
    content = read_bytes(table, "table")
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise MissingError(f"cannot read {table}: {error}.") from error
    if not {"id", "file"} <= set(columns):
        raise MissingError(f"{table} has the columns {', '.join(columns) or 'none'}, not id and file.")
    pairs = [(file_stem(row["id"] or "(none)"), _place(table, row["file"] or "")) for row in rows]
    if twice := [stem for stem, count in Counter(stem for stem, _ in pairs).items() if count > 1]:
        raise MissingError(f"{table} names these ids more than once: {listed_names(twice)}.")
    if absent := [file for _, file in pairs if describe_fault(file)]:
        raise MissingError(f"{table} names {len(absent)} files that cannot be read: {listed_names(absent)}.")
    return dict(sorted(pairs))


def _place(table: Path, name: str) -> Path:
    """The file of a row; without a name the folder, which is no file."""
    return path_below(table.parent, name, f"file of {table}") if name else table.parent


def _content(file: Path) -> bytes:
    return read_bytes(file, "image")


def _image(file: Path, size: int) -> Images:
    """uint8 (size, size, 3), or an error that names the file and what is wrong with it."""
    header = _content(file)[:26]
    if len(header) < 26 or not header.startswith(_PNG):
        raise MissingError(f"{file} is no PNG: write samples as 8-bit RGB PNG.")
    depth, colour = header[24], _COLOURS.get(header[25], "unknown")  # PIL would convert 16 bits to 8 without an error
    if (depth, colour) != (8, "RGB"):
        raise MissingError(f"{file} is {colour} of {depth} bits: write samples as 8-bit RGB PNG.")
    width, height = int.from_bytes(header[16:20]), int.from_bytes(header[20:24])
    if (width, height) != (size, size):
        raise MissingError(f"{file} is {width} x {height} px, its condition {size} x {size}.")
    try:
        if fault := find_png_fault(file):
            raise OSError(fault)
        with open_image(file) as picture:
            check_upright(file, picture)
            check_opaque(file, picture)
            return np.asarray(picture)
    except BenchError:
        raise
    except Exception as error:  # what the reader of a format raises on damaged data cannot be listed
        raise MissingError(f"{file} is damaged: {error}.") from error

"""Lizard: nuclei of six types in colon at 20x, 238 images of five sources (Graham et al. 2021), from the release's files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.errors import MissingError, UsageError
from bench.histology.sampling import Sampling
from bench.types import Card, ImageSet
from tasks.datasets import nuclei_tiles as tiles
from tasks.datasets.index import UNITS, files_digest, read_table, spelling
from tasks.datasets.lizard_files import LAYOUT, Entry, count_types, label_folder, read_labels, read_release, unit_column
from tasks.datasets.nuclei_splits import SPLITS, Division, by_source, published_division
from tasks.datasets.pixels import picture_size, read_image
from tasks.datasets.stain_norm import REFERENCE, Stains, brighten, normalise, stains

MPP = 0.5
FIXED = "reference"


class Lizard:
    """Patches of `size` px at a `stride`, the last row and column moved to the border, at 0.5 microns per pixel.

    A patch is kept if at least the share `tissue` of it is tissue and not glass, measured before stain normalisation.
    `border="published"` leaves out what the published notebook leaves out: the last row, except for its first patch.

    `splits="slides"` draws 20 in a hundred slides for test, 15 for validation and 25 for R2 by a hash with `seed`; names of
    images do not name slides, so each image counts as a slide unless info.csv has a column patient, case or slide.
    `splits="paper"` is the split of NASDM++: R1 as published; test and R2 of the published size, drawn here; the rest trains,
    except for a validation part, which the paper does not have. The paper reports 48,337 patches of 190 training images, 8,201
    of 36 in R1, 8,639 of 36 in R2 and 2,750 of 12 in test.

    `stain="vahadane"` gives all images the stains of the image `target`, or those of a fixed matrix with
    `target="reference"`; the paper's target is dpath_11.
    """

    card = Card(
        "lizard",
        "1",
        "Lizard: colon at 20x, nuclei of six types, from the files of the release.",
        licence="CC BY-NC-SA 4.0",
        source="Graham et al. 2021, Lizard",
        notes="The holdout split is validation and R2. Images of one slide or patient may be on both sides: neither the "
        "names nor info.csv tell which image is of which.",
    )
    provides = frozenset({"masks", "instances", "types"})
    pools: tuple[str, ...] = ("R1", "R2")

    def __init__(
        self,
        folder: Path,
        size: int = 128,
        stride: int = 64,
        splits: Literal["slides", "paper"] = "slides",
        stain: Literal["none", "vahadane"] = "none",
        target: str = "dpath_11",
        tissue: float = 0.5,
        border: Literal["fit", "published"] = "fit",
        seed: int = 0,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.size, self.stride, self.splits, self.seed = size, stride, splits, seed
        self.stain, self.target, self.tissue, self.border = stain, target, tissue, border
        if size < 1 or not 1 <= stride <= size or not 0 <= tissue <= 1:
            raise UsageError(
                f"size {size}, stride {stride} and tissue {tissue}: a stride is 1 to size px, a share of tissue 0 to 1."
            )
        if splits == "paper":
            self.card = replace(type(self).card, name="lizard-paper")
        if not self.recognises(self.folder):
            raise MissingError(f"{self.folder} is not the Lizard release. {LAYOUT}")

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Whether the folder holds the release, nested or flat."""
        return label_folder(folder) is not None

    def split(self, name: str) -> ImageSet:
        """Patches of one split or pool; reads the images of this one only."""
        slides = set(self._division.of(name))
        _ = self.tile_summary  # refuses a release without any nucleus
        content = [
            self.digest,
            self.card.name,
            self.card.version,
            name,
            self.size,
        ]
        content += [self.stride, self.stain, self.target, self.tissue, self.border, self.seed]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        pieces = [self._piece(entry) for entry in self._entries if self._source(entry) in slides]
        return tiles.gather(pieces, self.size, self.tissue, 0, key, tiles.CLASSES, MPP)

    def manifest(self) -> dict[str, list[str]]:
        """Image -> the splits that show it, none for an image too small for a patch. JSON-able."""
        return self._division.manifest({entry.name: self._source(entry) for entry in self._entries})

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over info.csv and every image and label file."""
        table = self._entries[0].labels.parent.parent / "info.csv"
        return files_digest((table, *(path for entry in self._entries for path in (entry.image, entry.labels))))

    @cached_property
    def sampling(self) -> Sampling:
        """The sampling unit and the origin of the splits, from info.csv."""
        table = self._entries[0].labels.parent.parent / "info.csv"
        unit = "" if self.splits == "paper" else unit_column(read_table(table, ("Filename",), LAYOUT), str(table))
        splits = "R1 as published, the rest drawn by hash" if self.splits == "paper" else f"by hash, seed {self.seed}"
        if unit:
            return Sampling(UNITS[spelling(unit)], f"column {unit} of info.csv", splits)
        return Sampling("source images", "the release does not tell which of its images are of one slide or patient", splits)

    @cached_property
    def tile_summary(self) -> dict[str, int]:
        """Numbers of images, in all and of each split, and of nuclei of each type in the label files, 0 for none."""
        counts: Counter[int] = sum((count_types(entry.labels) for entry in self._entries), Counter())
        shown = Counter(name for names in self.manifest().values() for name in names)
        images = {name: shown[name] for name in SPLITS if name != "holdout"}
        return {"images": len(self._entries), **images, **tiles.tile_summary(counts, tiles.CLASSES, str(self.folder))}

    @cached_property
    def _entries(self) -> list[Entry]:
        return read_release(self.folder)

    @cached_property
    def _division(self) -> Division:
        counts: Counter[str] = Counter()
        for entry in self._entries:
            counts[self._source(entry)] += len(self._corners[entry.name])
        if self.splits == "paper":
            return published_division(counts, str(self.folder))
        return by_source({name: count for name, count in counts.items() if count}, self.seed, str(self.folder))

    @cached_property
    def _corners(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Name of image -> corners of its tiles, from the headers of the files."""
        published = self.border == "published"
        return {
            entry.name: tuple(tiles.fitted_corners(picture_size(entry.image), self.size, self.stride, published))
            for entry in self._entries
        }

    def _source(self, entry: Entry) -> str:
        return entry.name if self.splits == "paper" else entry.slide

    def _piece(self, entry: Entry) -> tiles.Piece:
        return tiles.Piece(entry.name, self._source(entry), self._corners[entry.name], lambda: self._read(entry))

    def _read(self, entry: Entry) -> tiles.Annotated:
        image = read_image(entry.image)
        instances, types = read_labels(entry.labels)
        tiles.same_size({str(entry.image): image.shape, str(entry.labels): types.shape})
        shown = image if self._stains is None else normalise(image, self._stains)
        return tiles.Annotated(shown, instances, types, tiles.tissue(image))

    @cached_property
    def _stains(self) -> Stains | None:
        """The stains that every image is normalised to; None if images stay as they are."""
        if self.stain == "none":
            return None
        if self.target == FIXED:
            return REFERENCE
        home = next((entry for entry in self._entries if entry.name == self.target), None)
        if home is None:
            raise UsageError(f"target={self.target}: no such image in {self.folder}. Name one of info.csv, or {FIXED!r}.")
        found = stains(brighten(read_image(home.image)))
        if found is None:
            raise UsageError(f"target={self.target} shows too little tissue. Name another image, or {FIXED!r}.")
        return found

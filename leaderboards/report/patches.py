"""The patches behind the numbers: generated, real, map, prompt and nearest training patch, found in the cache by their keys.

Result lines hold keys, never pictures. A generated set is there where the cache of this machine still holds it; where it does
not, the report says so and nothing is generated again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import steps
from bench.jobs.entries import MANIFEST
from bench.results import pictures
from bench.results.schema import ResultRecord
from bench.store import load_set
from bench.types import Conditions, Encoder, Features, Images, ImageSet, Progress

SETS = ("data", "prompts", "layouts")
"""Kinds of cache entries that hold conditions."""
TO_REAL = "its real patch"
TO_TRAIN = "the nearest training patch"
"""What distances are to, as the page says them."""
CHUNK = 512


@dataclass(frozen=True)
class Wanted:
    """Generated sets that lines were measured on, by their keys."""

    generator: str
    dataset: str
    prompt_source: str
    samples: str
    train: str


@dataclass(frozen=True)
class Exhibit:
    """Generated patches with what belongs to each, row by row."""

    wanted: Wanted
    generated: Images
    conditions: Conditions
    real: Images | None
    """None where maps were drawn: no real patch has them."""
    train: ImageSet
    nearest: NDArray[np.int64]
    """Row of the nearest training patch."""
    measures: dict[str, NDArray[np.float64]]
    """Name -> float64 (n,); larger is farther."""


def wanted(lines: Iterable[ResultRecord]) -> list[Wanted]:
    """The first seed's generated sets of every generator, dataset and prompt source: of test conditions, else of training mixes."""
    ranked = sorted((line for line in lines if "samples" in line.keys), key=lambda line: (bool(line.mix), line.seed))
    found: dict[tuple[str, ...], Wanted] = {}
    for line in ranked:
        who = (line.generator, line.dataset, line.prompt_source, repr(line.described.get("generator")))
        one = Wanted(line.generator, line.dataset, line.prompt_source, line.keys["samples"], line.keys.get("train", ""))
        found.setdefault(who, one)
    return list(found.values())


def folder(cache: Cache) -> dict[str, Path]:
    """Key -> folder of every set of conditions in the cache."""
    held: dict[str, Path] = {}
    for kind in SETS:
        for file in sorted((cache.root / kind).glob("*/set.json")):
            if file.parent.suffix != ".part":
                held[json.loads(file.read_text())["key"]] = file.parent
    return held


def exhibit(asked: Wanted, shelved: dict[str, Path], encoder: Encoder, cache: Cache, progress: Progress) -> Exhibit | str:
    """The generated sets, or in a sentence why they cannot be shown."""
    gone = f"The generated sets of {asked.generator} on {asked.dataset} are not in the cache of this machine"
    again = "run it again here, or give BENCH_HOME the cache of the machine that made them."
    # a key from a line is text of somebody else's: it must not lead out of the cache
    spec = _spec(cache.root / "samples" / asked.samples) if asked.samples.isalnum() else None
    if spec is None or not cache.has("samples", spec):
        return f"{gone} (samples {asked.samples}): {again}"
    base = str(spec["conditions"]).partition("[")[0]
    if base not in shelved or asked.train not in shelved:
        return f"{gone} with the data they belong to: {again}"
    folder = cache.root / "samples" / asked.samples
    ids = np.load(folder / "ids.npy")
    images = np.load(folder / "images.npy", mmap_mode="r")
    held = load_set(shelved[base])
    conditions = held.conditions[_rows(held, ids)]
    real = _real(shelved[base], shelved, ids)
    train = load_set(shelved[asked.train])
    nearest, measures = _measured(ImageSet(asked.samples, images, conditions), real, train, encoder, cache, progress)
    return Exhibit(asked, images, conditions, None if real is None else real[0].images[real[1]], train, nearest, measures)


Rows = NDArray[np.int64]


def _measured(
    generated: ImageSet,
    real: tuple[ImageSet, Rows] | None,
    train: ImageSet,
    encoder: Encoder,
    cache: Cache,
    progress: Progress,
) -> tuple[Rows, dict[str, NDArray[np.float64]]]:
    """Nearest training patches and distances in the features of the encoder.

    The unit is the root mean square distance of two training patches: 1 is as far apart as two real patches usually are.
    """
    theirs, learned = (steps.features(encoder, part, cache, progress) for part in (generated, train))
    unit = np.sqrt(2 * learned.astype(np.float64).var(axis=0, ddof=1).sum()) or 1.0
    nearest, far = nearest_rows(theirs, learned)
    measures = {TO_TRAIN: far / unit}
    if real is not None:
        ours = steps.features(encoder, real[0], cache, progress)[real[1]]
        measures = {TO_REAL: np.linalg.norm(theirs.astype(np.float64) - ours, axis=1) / unit, **measures}
    return nearest, measures


def nearest_rows(asked: Features, among: Features) -> tuple[Rows, NDArray[np.float64]]:
    """int64 (n,) row of `among` that is nearest to each row of `asked`, and float64 (n,) how far it is; in pieces, so that
    memory grows with `among` alone."""
    there = among.astype(np.float64)
    lengths = (there**2).sum(axis=1)
    rows, squares = np.empty(len(asked), np.int64), np.empty(len(asked))
    for start in range(0, len(asked), CHUNK):
        here = asked[start : start + CHUNK].astype(np.float64)
        rows[start : start + CHUNK] = found = (lengths - 2 * here @ there.T).argmin(axis=1)
        squares[start : start + CHUNK] = ((here - there[found]) ** 2).sum(axis=1)
    return rows, np.sqrt(squares)


def chosen(shown: Exhibit, count: int) -> Rows:
    """Rows of patches spread over slides, and of the `count` at either end of each measure."""
    ends = [
        order[part]
        for values in shown.measures.values()
        for order in [np.argsort(values, kind="stable")]
        for part in (slice(count), slice(-count, None))
    ]
    return np.unique(np.concatenate([spread(shown, count), *ends])) if count else np.empty(0, np.int64)


def spread(shown: Exhibit, count: int) -> Rows:
    """Rows of `count` patches as they come, of different slides as far as there are enough: picked by no measure."""
    return pictures.chosen(shown.conditions, count)


def entries(shown: Exhibit, count: int, store: PatchStore) -> Iterator[dict[str, Any]]:
    """What the page knows of each patch it shows; pictures are put into the album."""
    usual = set(spread(shown, count).tolist())
    for row in chosen(shown, count).tolist():
        one = shown.conditions[[row]]
        near = int(shown.nearest[row])
        images = {
            "generated": shown.generated[row],
            "real": None if shown.real is None else shown.real[row],
            "map": None if one.masks is None else pictures.mapped(one)[0],
            "prompt": None if one.prompts is None else pictures.overlaid(one.prompts.canvases)[0],
            "nearest": shown.train.images[near],
        }
        yield {
            "id": str(one.ids[0]),
            "slide": str(one.groups[0]),
            "nearestId": str(shown.train.conditions.ids[near]),
            "spread": row in usual,
            "values": {name: round(float(values[row]), 4) for name, values in shown.measures.items()},
            "images": {name: store.put(np.asarray(image)) for name, image in images.items() if image is not None},
        }


@dataclass(frozen=True)
class PatchStore:
    """A folder of PNG files, named by their content: a picture that several patches share is written once."""

    folder: Path

    def put(self, image: NDArray[np.uint8]) -> str:
        """Name of the file, relative to the page."""
        from PIL import Image

        name = f"{hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:20]}.png"
        if not (self.folder / name).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(self.folder / name)
        return f"{self.folder.name}/{name}"


def _spec(folder: Path) -> dict[str, Any] | None:
    try:
        spec = json.loads((folder / MANIFEST).read_text())["spec"]
    except (OSError, ValueError, KeyError):
        return None
    return spec if isinstance(spec, dict) else None


def _real(folder: Path, shelved: dict[str, Path], ids: NDArray[Any]) -> tuple[ImageSet, Rows] | None:
    """The real patches of the same conditions and their rows, as the dataset gave them; None for sampled maps."""
    if folder.parent.name == "prompts":
        folder = shelved.get(str((_spec(folder) or {}).get("patches")), folder)
    if folder.parent.name != "data":
        return None
    held = load_set(folder)
    return held, _rows(held, ids)


def _rows(held: ImageSet, ids: NDArray[Any]) -> Rows:
    place = {name: row for row, name in enumerate(held.conditions.ids.tolist())}
    return np.array([place[name] for name in ids.tolist()], dtype=np.int64)

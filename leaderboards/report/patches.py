"""The patches behind the numbers: generated, real, map, prompt and nearest training patch, found in the store by their keys.

Result records have keys, not pictures. If the store of this machine no longer has a generated set, the report says so; nothing
is generated again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.histology import pictures
from bench.jobs.arrays import open_array, write_array
from bench.jobs.store import DamagedEntry, EntryRef, Store, key_of
from bench.pipeline.encoding import describe_encoder
from bench.pipeline.exporting import find_samples
from bench.pipeline.generation import generated_ref
from bench.pipeline.sets import load_set
from bench.results.schema import ResultRecord
from bench.types import Conditions, Encoder, Features, Images, ImageSet
from leaderboards.report.inventory import PICTURES, Inventory

SETS = ("data", "prompts")
"""Kinds of entries that hold sets of real patches."""
FEATURES = "report-features"
"""Kind of the entries with features that reports compute."""
ENCODED_AT_ONCE = 64
TO_REAL = "its real patch"
TO_TRAIN = "the nearest training patch"
"""Names of the two distances on the page."""
CHUNK = 512


@dataclass(frozen=True)
class Wanted:
    """Generated sets that records were measured on, by their keys."""

    generator: str
    dataset: str
    prompt_source: str
    samples: str
    train: str


@dataclass(frozen=True)
class Exhibit:
    """Generated patches with real patch, map, prompt and nearest training patch, row by row."""

    wanted: Wanted
    generated: Images
    conditions: Conditions
    real: Images | None
    """None where layouts were sampled: no real patch has them."""
    train: ImageSet
    nearest: NDArray[np.int64]
    """Row of the nearest training patch."""
    measures: dict[str, NDArray[np.float64]]
    """Name -> float64 (n,); larger is farther."""


def list_wanted(records: Iterable[ResultRecord]) -> list[Wanted]:
    """The generated sets of the first seed, for every generator, dataset and prompt source: those of test conditions, or if
    there are none, those of downstream models."""
    ranked = sorted(
        (record for record in records if "samples" in record.keys), key=lambda record: (bool(record.mix), record.seed)
    )
    found: dict[tuple[str, ...], Wanted] = {}
    for record in ranked:
        who = (record.generator, record.dataset, record.prompt_source, repr(record.described.get("generator")))
        one = Wanted(
            record.generator, record.dataset, record.prompt_source, record.keys["samples"], record.keys.get("train", "")
        )
        found.setdefault(who, one)
    return list(found.values())


def find_sets(store: Store) -> dict[str, EntryRef]:
    """Key -> entry of every set of real patches in the store."""
    found: dict[str, EntryRef] = {}
    for kind in SETS:
        for file in sorted((store.root / kind).glob("*/set.json")):
            ref = EntryRef(kind, file.parent.name)
            if not ref.key.startswith(".") and store.has(ref):
                with suppress(DamagedEntry):  # treated as absent
                    found[store.read_json(ref, "set.json")["key"]] = ref
    return found


def load_exhibit(asked: Wanted, sets: dict[str, EntryRef], encoder: Encoder, store: Store) -> Exhibit | str:
    """The generated sets, or a sentence that says why they cannot be shown."""
    gone = f"The generated sets of {asked.generator} on {asked.dataset} are not in the store of this machine"
    again = "run it again here, or give BENCH_HOME the store of the machine that made them."
    listing = find_samples(asked.samples, store)
    if listing is None:
        return f"{gone} (samples {asked.samples}): {again}"
    try:
        ref = generated_ref(store.read_json(listing, "samples.json"))
        generated, shown = ref.load(store), ref.conditions.load(store)
        train = load_set(store, sets[asked.train])
        # sampled layouts have no real patches
        real = None if ref.conditions.entry.kind == "layouts" else replace(shown, key=ref.conditions.key)
        nearest, measures = _measured(generated, real, train, encoder, store)
    except (KeyError, DamagedEntry):
        return f"{gone} with the data they belong to: {again}"
    return Exhibit(
        asked, generated.images, generated.conditions, None if real is None else real.images, train, nearest, measures
    )


Rows = NDArray[np.int64]


def _measured(
    generated: ImageSet, real: ImageSet | None, train: ImageSet, encoder: Encoder, store: Store
) -> tuple[Rows, dict[str, NDArray[np.float64]]]:
    """Nearest training patches and distances in the features of the encoder.

    The unit is the root mean square distance of two training patches: 1 is as far apart as two real patches usually are.
    """
    theirs, learned = (_features(encoder, part, store) for part in (generated, train))
    unit = np.sqrt(2 * learned.astype(np.float64).var(axis=0, ddof=1).sum()) or 1.0
    nearest, far = find_nearest_rows(theirs, learned)
    measures = {TO_TRAIN: far / unit}
    if real is not None:
        ours = _features(encoder, real, store)
        measures = {TO_REAL: np.linalg.norm(theirs.astype(np.float64) - ours, axis=1) / unit, **measures}
    return nearest, measures


def _features(encoder: Encoder, patches: ImageSet, store: Store) -> Features:
    """float32 (n, d) from the store if an earlier report computed them, otherwise computed. Patches are read in batches."""
    spec = {"encoder": describe_encoder(encoder), "images": patches.key}
    ref = EntryRef(FEATURES, key_of(spec))

    def encode(work: Path) -> None:
        starts = range(0, len(patches), ENCODED_AT_ONCE)
        parts = [np.asarray(encoder.encode(np.asarray(patches.images[start : start + ENCODED_AT_ONCE]))) for start in starts]
        write_array(work, "features", np.concatenate(parts).astype(np.float32, copy=False), max(1, len(patches)))

    for _ in range(2):
        if not store.has(ref):
            store.write(ref, spec, encode)
        try:
            return np.asarray(open_array(store, ref, "features"))
        except DamagedEntry:
            store.remove(ref)
    raise DamagedEntry(ref, "it was made again and cannot be read")


def find_nearest_rows(asked: Features, among: Features) -> tuple[Rows, NDArray[np.float64]]:
    """int64 (n,): row of `among` that is nearest to each row of `asked`, and float64 (n,): its distance. Computed in blocks,
    so that memory grows with `among` only."""
    there = among.astype(np.float64)
    lengths = (there**2).sum(axis=1)
    rows, squares = np.empty(len(asked), np.int64), np.empty(len(asked))
    for start in range(0, len(asked), CHUNK):
        here = asked[start : start + CHUNK].astype(np.float64)
        rows[start : start + CHUNK] = found = (lengths - 2 * here @ there.T).argmin(axis=1)
        squares[start : start + CHUNK] = ((here - there[found]) ** 2).sum(axis=1)
    return rows, np.sqrt(squares)


def choose_rows(shown: Exhibit, count: int) -> Rows:
    """Rows of patches spread over slides, and of the `count` at either end of each measure."""
    ends = [
        order[part]
        for values in shown.measures.values()
        for order in [np.argsort(values, kind="stable")]
        for part in (slice(count), slice(-count, None))
    ]
    return np.unique(np.concatenate([choose_spread_rows(shown, count), *ends])) if count else np.empty(0, np.int64)


def choose_spread_rows(shown: Exhibit, count: int) -> Rows:
    """Rows of `count` patches of different slides, if there are enough; not selected by any measure."""
    return pictures.choose_rows(shown.conditions, count)


def describe_patches(shown: Exhibit, count: int, files: Inventory) -> Iterator[dict[str, Any]]:
    """Data of each shown patch; its pictures are written into the folder."""
    usual = set(choose_spread_rows(shown, count).tolist())
    for row in choose_rows(shown, count).tolist():
        one = shown.conditions[[row]]
        near = int(shown.nearest[row])
        images = {
            "generated": shown.generated[row],
            "real": None if shown.real is None else shown.real[row],
            "map": None if one.masks is None else pictures.render_maps(one)[0],
            "prompt": None if one.prompts is None else pictures.overlay_crops(one.prompts.canvases)[0],
            "nearest": shown.train.images[near],
        }
        yield {
            "id": str(one.ids[0]),
            "slide": str(one.groups[0]),
            "nearestId": str(shown.train.conditions.ids[near]),
            "spread": row in usual,
            "values": {name: round(float(values[row]), 4) for name, values in shown.measures.items()},
            "images": {name: _write_picture(np.asarray(image), files) for name, image in images.items() if image is not None},
        }


def _write_picture(image: NDArray[np.uint8], files: Inventory) -> str:
    """Name of the PNG file, relative to the page; it is named by its content, so that a shared picture is written once."""
    from PIL import Image

    name = f"{PICTURES}/{hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:20]}.png"
    if name not in files.written:
        content = io.BytesIO()
        Image.fromarray(image).save(content, format="PNG")
        files.write(name, content.getvalue())
    return name

"""How well the classical reader of `morphometry` finds nuclei whose outlines are known.

    python -m benchmarks.nuclei_reading                        the table of docs/morphometry.md, from nuclei_reading.jsonl
    python -m benchmarks.nuclei_reading --measure --data DIR   measures again

DIR has lizard6/ (images/, inst/, type/, patches128.csv) and consep/ (images/, inst/, index.csv). Half of the sources, by a
hash of their names, are those on whose patches the constants of the reader were chosen (a sample of 100 and of 40). consep_7,
_8 and _12 of lizard6 show the tissue of train_27, test_10 and train_16 of consep, and are all among them. Of the phantoms
training slides were tuned on, and test slides are held out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import MissingError
from bench.files.image_files import open_image
from bench.histology import nuclei
from bench.statistics import group_bootstrap
from bench.types import Tally
from metrics.morphometry.classical import find_nuclei

KEPT = Path(__file__).with_suffix(".jsonl")
SAME_TISSUE = frozenset({"consep_7", "consep_8", "consep_12", "train_27", "test_10", "train_16"})
COLUMNS = ("true", "found", "matched")
PHANTOM_SLIDES = 20


class Known(NamedTuple):
    """A patch with its nuclei, 0 for none."""

    source: str
    mpp: float
    image: NDArray[np.uint8]
    instances: NDArray[np.int32]
    annotated: NDArray[np.bool_]


def is_tuning(source: str) -> bool:
    """Whether the constants of the reader were chosen on patches of this source."""
    return source in SAME_TISSUE or int(hashlib.sha256(source.encode()).hexdigest(), 16) % 2 == 0


def lizard(folder: Path) -> Iterator[Known]:
    """128 px patches of the sources of lizard6, 0.5 microns per pixel."""
    for row in csv.DictReader((folder / "patches128.csv").open(encoding="utf-8")):
        y, x, side = int(row["y"]), int(row["x"]), int(row["size"])
        image, instances, types = (
            _read(folder / kind, row["source"])[y : y + side, x : x + side] for kind in ("images", "inst", "type")
        )
        yield Known(row["source"], 0.5, image, instances.astype(np.int32), types != nuclei.UNLABELLED)


def consep(folder: Path) -> Iterator[Known]:
    """256 px patches of CoNSeP, 0.25 microns per pixel."""
    for row in csv.DictReader((folder / "index.csv").open(encoding="utf-8")):
        image, instances = (_read(folder / kind, row["id"]) for kind in ("images", "inst"))
        yield Known(row["source_image"], float(row["mpp"]), image, instances.astype(np.int32), np.ones(instances.shape, bool))


def phantom(name: str, split: str) -> Iterator[Known]:
    """Patches of a phantom."""
    patches = registry.load("datasets", name, train_slides=PHANTOM_SLIDES, test_slides=PHANTOM_SLIDES, per_slide=4).split(
        split
    )
    asked = patches.conditions
    for i in range(len(patches)):
        instances = asked.instances[i]
        yield Known(asked.groups[i], asked.mpp, patches.images[i], instances, np.ones(instances.shape, bool))


def _read(folder: Path, stem: str) -> NDArray[Any]:
    found = sorted(folder.glob(f"{stem}.*"))
    if not found:
        raise MissingError(f"no file {stem}.* in {folder}.")
    return np.asarray(open_image(found[0]))


def score(patches: list[Known]) -> dict[str, float | None]:
    """F1 of found and true nuclei that match where their IoU is above 0.5, pooled over patches, with an interval over
    sources; and the median area of a matched nucleus over the true one."""
    counts, ratios = np.zeros((len(patches), len(COLUMNS))), []
    for i, known in enumerate(patches):
        true = nuclei.renumber(np.where(known.annotated, known.instances, 0))
        found = nuclei.drop_ignored(find_nuclei(known.image, known.mpp), true, known.annotated)
        pairs = nuclei.match_overlapping(nuclei.ious(nuclei.overlaps(true, found)))
        counts[i] = true.max(initial=0), found.max(initial=0), len(pairs)
        ratios.append(nuclei.areas(found)[pairs[:, 1]] / nuclei.areas(true)[pairs[:, 0]])
    tally = Tally(COLUMNS, counts, {"f1": _f1})
    found_f1 = group_bootstrap(tally, np.array([known.source for known in patches]), seed=0)["f1"]
    every = np.concatenate(ratios)
    return {
        "patches": len(patches),
        "sources": len({known.source for known in patches}),
        "nuclei": int(counts[:, 0].sum()),
        "f1": found_f1.value,
        "low": found_f1.low,
        "high": found_f1.high,
        "area": float(np.median(every)) if len(every) else math.nan,
    }


def _f1(sums: Mapping[str, float]) -> float:
    total = sums["true"] + sums["found"]
    return 2 * sums["matched"] / total if total else math.nan


def measure(folder: Path) -> list[dict[str, object]]:
    """A row for each set and side."""
    rows: list[dict[str, object]] = []
    for name, read in (("lizard6", lizard), ("consep", consep)):
        every = list(read(folder / name))
        for side, tuned in (("tuning", True), ("held out", False)):
            rows.append({"set": name, "side": side, **score([known for known in every if is_tuning(known.source) == tuned])})
    for name in ("phantom-lizard", "phantom-cam16"):
        for side, split in (("tuning", "train"), ("held out", "test")):
            rows.append({"set": name, "side": side, **score(list(phantom(name, split)))})
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="F1 of the classical reader of nuclei")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--data", type=Path, default=Path("nuclei"))
    asked = parser.parse_args(arguments)
    if asked.measure:
        KEPT.write_text("".join(f"{json.dumps(row)}\n" for row in measure(asked.data)), encoding="utf-8")
    print("| set | sources | patches | nuclei | F1 at IoU 0.5 | area found / true |\n|---|---|---|---|---|---|")
    for row in map(json.loads, KEPT.read_text(encoding="utf-8").splitlines()):
        interval = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else " (too few sources)"
        counts = f"{row['sources']} | {row['patches']:,} | {row['nuclei']:,}"
        print(f"| {row['set']}, {row['side']} | {counts} | {row['f1']:.3f}{interval} | {row['area']:.2f} |")


if __name__ == "__main__":
    main()

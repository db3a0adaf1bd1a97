"""Converts the output of a published model to the layout of `bench run --generator folder:...`.

    python -m benchmarks.published_nasdm --lizard DIR --generated FILE.npz --out DIR

DIR of Lizard patches: images/, type/ and patches128.csv (source, x, y). FILE.npz: `images`, uint8 (n, 128, 128, 3), generated
by NASDM (Shrivastava and Fletcher 2023) from masks of its own test set. Writes OUT/real, a data folder whose test split has
exactly n patches, and OUT/generated, samples under the ids of that split.

The masks of the generated patches are not among those of the real patches: only distributions are compared, and the pairing of
generated and real patches is arbitrary. So are the slides of generated patches: intervals treat them as independent.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import registry
from bench.errors import MissingError
from bench.files.image_files import open_image
from bench.files.names import file_stem
from bench.types import Dataset

SIDE, MPP = 128, 0.5
TYPES = ("background", "neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")


def write_folders(lizard: Path, generated: Path, out: Path) -> None:
    """Writes both folders."""
    images = np.load(generated, allow_pickle=False)["images"]
    patches = list(csv.DictReader((lizard / "patches128.csv").open(encoding="utf-8")))
    write_real(lizard, patches, out / "real")
    kept = thin_out(out / "real", patches, len(images))
    write_real(lizard, kept, out / "real")
    ids = dataset(out / "real").split("test").conditions.ids.tolist()
    if len(ids) != len(images):
        raise MissingError(f"{len(images)} generated patches, but {len(ids)} real test patches could be cut from {lizard}.")
    (out / "generated" / "samples").mkdir(parents=True, exist_ok=True)
    for name, image in zip(ids, images, strict=True):
        Image.fromarray(image).save(out / "generated" / "samples" / f"{file_stem(name)}.png")


def thin_out(folder: Path, patches: list[dict[str, str]], wanted: int) -> list[dict[str, str]]:
    """The patches, of which those of test sources are thinned evenly to `wanted`."""
    test = dataset(folder).split("test").conditions
    sources, kept = set(test.groups.tolist()), {name.partition("/")[0].partition("@")[0] for name in test.ids.tolist()}
    theirs = [i for i, patch in enumerate(patches) if stem(patch) in kept]  # others show one class only
    chosen = {theirs[i] for i in np.linspace(0, len(theirs) - 1, min(wanted, len(theirs))).round().astype(int)}
    return [patch for i, patch in enumerate(patches) if patch["source"] not in sources or i in chosen]


def stem(patch: dict[str, str]) -> str:
    return f"{patch['source']}_{patch['y']}_{patch['x']}"


def dataset(folder: Path) -> Dataset:
    """The dataset as a run reads it."""
    options = {"size": SIDE, "smallest": 1e-9, "largest": 1.0, "classes": ",".join(TYPES)}
    read: Dataset = registry.load("datasets", f"folder:{folder}", **options)
    return read


def write_real(lizard: Path, patches: Iterable[dict[str, str]], out: Path) -> None:
    """images/, region/ and index.csv of the patches, one file a patch; region is the type of the nucleus at each pixel."""
    rows = []
    sources: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    for patch in patches:
        name = patch["source"]
        if name not in sources:
            sources[name] = tuple(np.asarray(open_image(found(lizard / part, name))) for part in ("images", "type"))  # type: ignore[assignment]
        cut = np.s_[int(patch["y"]) : int(patch["y"]) + SIDE, int(patch["x"]) : int(patch["x"]) + SIDE]
        for part, pixels in zip(("images", "region"), sources[name], strict=True):
            (out / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[cut]).save(out / part / f"{stem(patch)}.png")
        rows.append({"id": stem(patch), "source": name, "mpp": MPP})
    with (out / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ("id", "source", "mpp"))
        writer.writeheader()
        writer.writerows(rows)


def found(folder: Path, name: str) -> Path:
    files = sorted(folder.glob(f"{name}.*"))
    if not files:
        raise MissingError(f"no image {name} in {folder}.")
    return files[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_nasdm", description=__doc__)
    for name in ("lizard", "generated", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    asked = parser.parse_args()
    write_folders(asked.lizard, asked.generated, asked.out)


if __name__ == "__main__":
    main()

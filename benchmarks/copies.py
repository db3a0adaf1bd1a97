"""How many planted copies of training patches does `memorization` find, and how many new patches does it take for copies?

python -m benchmarks.copies                            on the phantom: 2,000 patches of new slides
python -m benchmarks.copies --images DIR --side 128    on images, of which each is taken for a slide and cut into patches

Prints a line of JSON for new patches, and one for each way of copying. Seeds are fixed. Whether a patch counts as a copy
depends on that patch alone, so what share of a set is copied changes nothing. Training patches without detail (paper-white)
are not copied: nobody could tell.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.files.image_files import open_image
from bench.histology.stain import restain
from bench.types import Conditions, Images, ImageSet, silent
from metrics.copying.matching import density, is_recognisable
from metrics.copying.training import Memorization
from tasks.datasets.phantom.dataset import PhantomCam16

PLANTED = 200
"""Copies of each kind."""
STAIN = (1.25, 0.85, 1.1)
"""Factors on the optical density of red, green and blue."""


def recompressed(images: Images) -> Images:
    """Through JPEG of quality 50."""
    from PIL import Image

    made = []
    for image in images:
        held = io.BytesIO()
        Image.fromarray(image).save(held, "JPEG", quality=50)
        made.append(np.asarray(Image.open(held)))
    return np.stack(made)


def stained_anew(images: Images) -> Images:
    return restain(images, np.array(STAIN))


def turned(images: Images) -> Images:
    return np.ascontiguousarray(np.rot90(images, 1, (1, 2)))


def shifted(images: Images) -> Images:
    """By 3 pixels in both directions; what comes in is a reflection."""
    side = images.shape[1]
    return np.pad(images, ((0, 0), (3, 0), (3, 0), (0, 0)), mode="reflect")[:, :side, :side]


WAYS: dict[str, Callable[[Images], Images]] = {
    "exact": lambda images: images,
    "JPEG, quality 50": recompressed,
    "stain shift": stained_anew,
    "90 degrees": turned,
    "3 px shift": shifted,
    "all of these": lambda images: recompressed(shifted(turned(stained_anew(images)))),
}


def phantom_sets() -> tuple[ImageSet, ImageSet, ImageSet]:
    """100 training slides, 20 for validation, 125 new ones, of 16 patches each."""
    phantom = PhantomCam16(train_slides=100, validation_slides=20, test_slides=125, per_slide=16)
    train, validation, test = map(phantom.split, ("train", "validation", "test"))
    return train, validation, test


def image_sets(folder: Path, side: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Images cut into patches: of the images, in random order, half train, a quarter validate, and the rest are new."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    order = np.random.default_rng(0).permutation(len(files))
    parts = np.split(order, [len(files) // 2, len(files) * 3 // 4])
    train, validation, test = (_cut([files[i] for i in part], side) for part in parts)
    return train, validation, test


def _cut(files: list[Path], side: int) -> ImageSet:
    images, groups, ids = [], [], []
    for file in files:
        with open_image(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        for y in range(0, pixels.shape[0] - side + 1, side):
            for x in range(0, pixels.shape[1] - side + 1, side):
                images.append(pixels[y : y + side, x : x + side])
                groups.append(file.stem)
                ids.append(f"{file.stem}/{y}-{x}")
    return ImageSet("images", np.stack(images), Conditions(np.array(ids), np.array(groups), (), side, float("nan")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="Folder of images; without it the phantom.")
    parser.add_argument("--side", type=int, default=128, help="Of the patches that images are cut into.")
    asked = parser.parse_args()
    train, validation, test = phantom_sets() if asked.images is None else image_sets(asked.images, asked.side)
    metric = Memorization()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        metric.learn(train, validation, 0, silent, folder)
        threshold = json.loads((folder / "null.json").read_text(encoding="utf-8"))["threshold"]
        sizes = {"train": len(train), "validation": len(validation), "slides": len(np.unique(train.conditions.groups))}
        new = metric.agree(test, folder).counts[:, 1]
        print(json.dumps({"new patches": len(test), "false alarms": int(new.sum()), "threshold": threshold, **sizes}))
        planes = density(np.asarray(train.images))
        shown = np.flatnonzero([is_recognisable(plane) for plane in planes])
        print(json.dumps({"training patches without detail": len(train) - len(shown)}))
        rows = np.random.default_rng(0).permutation(shown)[:PLANTED]
        for name, change in WAYS.items():
            copies = change(np.asarray(train.images)[rows])
            found = int(metric.agree(replace(train[rows], images=copies), folder).counts[:, 1].sum())
            print(
                json.dumps({"copies": name, "planted": len(copies), "found": found, "recall": found / len(copies)}), flush=True
            )


if __name__ == "__main__":
    main()

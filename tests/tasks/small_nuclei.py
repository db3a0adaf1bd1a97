"""Small nuclei datasets in the layouts of Lizard, CoNIC and a nuclei folder, which the tests write and break.

Nuclei are upright bars of one colour a type, so that a patch tells whether image, instances and types lie on each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.types import ImageSet
from tasks.datasets.lizard import Lizard

STROMA = (230, 180, 220)
COLOURS = ((200, 40, 40), (40, 160, 60), (40, 40, 180), (150, 90, 30), (220, 60, 200), (90, 40, 120))
"""Colour of the nuclei of types 1 to 6."""
GLASS = 244
LIZARD_SPLITS = ("train", "validation", "test", "R1", "R2")
AnnotatedImage = tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.uint8]]


def draw_image(height: int, width: int, seed: int = 0, types: int = 6) -> AnnotatedImage:
    """Image, instances and types: a bar of 8 x 4 px every 16 px, its place and type drawn, numbers 5, 8, 11, ..."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), STROMA, np.uint8)
    instances, kinds = np.zeros((height, width), np.int32), np.zeros((height, width), np.uint8)
    number = 5
    for y in range(0, height - 16, 16):
        for x in range(0, width - 16, 16):
            place = np.s_[(top := y + rng.integers(8)) : top + 8, (left := x + rng.integers(12)) : left + 4]
            kind = 1 + int(rng.integers(types))
            image[place], instances[place], kinds[place] = COLOURS[kind - 1], number, kind
            number += 3
    return image, instances, kinds


def is_aligned(patches: ImageSet) -> bool:
    """Whether each pixel of each patch has the colour of its type, and a number if and only if it has a type."""
    masks, instances = patches.conditions.masks, patches.conditions.instances
    assert masks is not None and instances is not None
    palette = np.array([STROMA, *COLOURS], np.uint8)
    known = masks < 255
    return bool((palette[masks[known]] == patches.images[known]).all() and ((instances > 0) == (known & (masks > 0))).all())


def labels(instances: NDArray[np.int32], types: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """What a label file of Lizard holds, nuclei in an order that is not that of their numbers."""
    ids = np.unique(instances)[:0:-1]
    places = [np.argwhere(instances == number) for number in ids]
    boxes = [(p[:, 0].min(), p[:, 0].max() + 1, p[:, 1].min(), p[:, 1].max() + 1) for p in places]
    centres = np.array([p[:, ::-1].mean(axis=0) for p in places]).reshape(-1, 2)
    classes = np.array([types[tuple(p[0])] for p in places], np.uint8)
    table = np.array(boxes, np.int32).reshape(-1, 4)
    return {"inst_map": instances, "id": ids[:, None], "class": classes[:, None], "bbox": table, "centroid": centres}


def lizard(folder: Path, count: int = 5, shape: tuple[int, int] = (150, 200), types: int = 6) -> Path:
    """A release of `count` images crag_1, dpath_2, crag_3, ... in both image folders, in the nested layout."""
    from scipy.io import savemat

    places = [folder / f"lizard_images{i}/Lizard_Images{i}" for i in (1, 2)]
    home = folder / "lizard_labels/Lizard_Labels"
    for place in (*places, home / "Labels"):
        place.mkdir(parents=True)
    names = [f"{'dpath' if i % 2 == 0 else 'crag'}_{i}" for i in range(1, count + 1)]
    for i, name in enumerate(names):
        image, instances, kinds = draw_image(*shape, seed=i, types=types)
        Image.fromarray(image).save(places[i % 2] / f"{name}.png")
        savemat(home / "Labels" / f"{name}.mat", labels(instances, kinds), do_compression=True)
    rows = "\n".join(f"{name},{name.partition('_')[0]},{i % 3 + 1}" for i, name in enumerate(names))
    (home / "info.csv").write_text(f"Filename,Source,Split\n{rows}\n")
    return folder


def relabel(path: Path, **changes: NDArray[Any] | None) -> None:
    """Writes a label file again with some of its entries changed, or left out where None is given."""
    from scipy.io import loadmat, savemat

    held = {name: values for name, values in {**loadmat(path), **changes}.items() if not name.startswith("_")}
    savemat(path, {name: values for name, values in held.items() if values is not None})


def conic(folder: Path, sources: int = 5, each: int = 2, side: int = 64) -> Path:
    """A release of `each` patches of every one of the Lizard images consep_1, consep_2, ..."""
    folder.mkdir(parents=True)
    found = [draw_image(side, side, seed=i) for i in range(sources * each)]
    np.save(folder / "images.npy", np.stack([image for image, _, _ in found]))
    maps = np.stack([np.stack([instances, types], axis=-1) for _, instances, types in found])
    np.save(folder / "labels.npy", maps.astype(np.uint16))
    names = [f"consep_{i // each + 1}-{i:04d}" for i in range(sources * each)]
    (folder / "patch_info.csv").write_text("\n".join(["patch_info", *names]) + "\n")
    return folder


def nuclei(folder: Path, count: int = 5, shape: tuple[int, int] = (70, 100), uncovered: int = 0, types: int = 6) -> Path:
    """A nuclei folder of images p0, p1, ..., each its own source, the first `uncovered` columns not annotated."""
    for part in ("images", "inst", "type"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        image, instances, kinds = draw_image(*shape, seed=i, types=types)
        kinds[:, :uncovered] = 255
        Image.fromarray(image).save(folder / f"images/p{i}.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / f"inst/p{i}.png")
        Image.fromarray(kinds).save(folder / f"type/p{i}.png")
    (folder / "index.csv").write_text("id,mpp\n" + "".join(f"p{i},0.5\n" for i in range(count)))
    return folder


def label_file(folder: Path, name: str = "crag_3") -> Path:
    """A label file of a release."""
    return folder / "lizard_labels/Lizard_Labels/Labels" / f"{name}.mat"


def read_splits(data: Lizard) -> None:
    for name in LIZARD_SPLITS:
        data.split(name)

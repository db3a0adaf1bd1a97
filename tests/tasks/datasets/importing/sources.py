"""Sources in the layouts that people have, written small in their true formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image

from tests.small_run import bench
from tests.tasks.small_folder import Bytes, halves, photo

RED, BLACK = (255, 0, 0), (0, 0, 0)
NAMES = [f"s{s}_{i}" for s in range(4) for i in range(2)]
"""Two images of each of four slides."""


def save(pixels: NDArray[Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def coloured(mask: Bytes, colours: dict[int, tuple[int, int, int]] | None = None) -> Bytes:
    """A class map in colours."""
    table = np.zeros((256, 3), np.uint8)
    for number, colour in (colours or {0: BLACK, 1: RED}).items():
        table[number] = colour
    return table[mask]


def flat(folder: Path, suffix: str = "_mask.png", value: int = 1) -> Path:
    """X.png beside X_mask.png, the right half of the maps of `value`."""
    for i, name in enumerate(NAMES):
        save(photo(seed=i), folder / f"{name}.png")
        save(halves(right=value), folder / f"{name}{suffix}")
    return folder


def two_folders(folder: Path, mask: Bytes | None = None, suffix: str = "", masks: str = "masks") -> Path:
    for i, name in enumerate(NAMES):
        save(photo(seed=i), folder / "images" / f"{name}.png")
        save(halves() if mask is None else mask, folder / masks / f"{name}{suffix}.png")
    return folder


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue())
    return path


def table(folder: Path, **columns: str) -> Path:
    """pictures/ and annotated/ with a table of column names of its own; ids have extensions."""
    for i, name in enumerate(NAMES):
        save(photo(seed=i), folder / "pictures" / f"{name}.png")
        save(halves(), folder / "annotated" / f"{name}-a.png")
    rows = [
        {
            "image_path": f"pictures/{name}.png",
            "mask_path": f"annotated/{name}-a.png",
            "patient_id": name[:2],
            "pixel": "0.5",
            "group": "train" if name[1] in "01" else "val" if name[1] == "2" else "test",
            **columns,
        }
        for name in NAMES
    ]
    write_csv(folder / "list.csv", rows)
    return folder


def square(left: float, top: float, side: float) -> list[list[float]]:
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]


def coco(folder: Path, **changes: Any) -> Path:
    """Four images of 64 px: a polygon of tumour over the left half, and run lengths of stroma over the right one."""
    for i in range(4):
        save(photo(seed=i), folder / "images" / f"s{i}.png")
    left = [0, 0, 32, 0, 32, 64, 0, 64]
    right = {"size": [64, 64], "counts": [32 * 64, 32 * 64]}
    held = {
        "images": [{"id": i, "file_name": f"s{i}.png", "height": 64, "width": 64} for i in range(4)],
        "categories": [{"id": 7, "name": "tumour"}, {"id": 9, "name": "stroma"}],
        "annotations": [
            {"id": 2 * i + k, "image_id": i, "category_id": number, "segmentation": shape}
            for i in range(4)
            for k, (number, shape) in enumerate(((7, [left]), (9, right)))
        ],
        **changes,
    }
    (folder / "instances.json").write_text(json.dumps(held))
    return folder


def feature(name: str, rings: list[list[list[float]]], kind: str = "Polygon") -> dict[str, Any]:
    properties = {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}}
    return {"type": "Feature", "id": name, "geometry": {"type": kind, "coordinates": rings}, "properties": properties}


def geojson(folder: Path, *features: dict[str, Any]) -> Path:
    """Four images of 64 px: tumour on the left half with a hole, stroma on the right half."""
    found = list(features) or [
        feature("Tumor", [[[0, 0], [32, 0], [32, 64], [0, 64], [0, 0]], square(8, 8, 4)]),
        feature("Stroma", [[[[32, 0], [64, 0], [64, 64], [32, 64], [32, 0]]]], "MultiPolygon"),  # type: ignore[list-item]
    ]
    for i in range(4):
        save(photo(seed=i), folder / f"s{i}.png")
        (folder / f"s{i}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    return folder


def png(pixels: NDArray[Any]) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "PNG")
    return made.getvalue()


def hugging_face(folder: Path, mask: Bytes | None = None, embed: bool = True) -> Path:
    """What `DatasetDict.save_to_disk` writes: a folder a split with an Arrow stream and state.json."""
    import pyarrow as pa

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    splits = {"train": NAMES[:4], "validation": NAMES[4:6], "test": NAMES[6:]}
    folder.mkdir(parents=True)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    for split, own in splits.items():
        part = folder / split
        part.mkdir()
        (part / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        (part / "dataset_info.json").write_text("{}")
        rows = {"image": [], "label": [], "patient_id": []}  # type: ignore[var-annotated]
        for i, name in enumerate(own):
            pixels = photo(seed=100 * len(split) + i)
            path = save(pixels, folder / "files" / f"{name}.png") if not embed else None
            shown = f"files/{name}.png" if path else f"{name}.png"
            rows["image"].append({"bytes": png(pixels) if embed else None, "path": shown})
            rows["label"].append({"bytes": png(halves() if mask is None else mask), "path": None})
            rows["patient_id"].append(name[:2])
        made = pa.table(
            {"image": pa.array(rows["image"], kind), "label": pa.array(rows["label"], kind), "patient_id": rows["patient_id"]}
        )
        with pa.OSFile(str(part / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made)
    return folder


def pannuke(folder: Path, count: int = 8, last: bool = True, side: int = 128) -> Path:
    """Two parts as released, float64; in every image number 1 occurs in two channels."""
    for part in (1, 2):
        images = np.stack([photo(side, side, seed=10 * part + i) for i in range(count)]).astype(np.float64)
        masks = np.zeros((count, side, side, 6))
        masks[:, 4:14, 4:14, 0] = 1
        masks[:, 40:52, 40:52, 0] = 2
        masks[:, 20:30, 60:70, 4] = 1
        masks[..., 5] = (masks[..., :5] == 0).all(axis=-1)
        masks = masks if last else np.roll(masks, 1, axis=-1)
        for name, values in (("images", images), ("masks", masks)):
            path = folder / f"Part {part}" / name / f"part{part}"
            path.mkdir(parents=True)
            np.save(path / f"{name}.npy", values)
        np.save(folder / f"Part {part}" / "images" / f"part{part}" / "types.npy", np.array(["Colon"] * count))
    return folder


def import_source(source: Path, out: Path, *words: object) -> Result:
    return bench("data", "import", source, "--out", out, *words, home=out.parent / "home")


def imported(source: Path, out: Path, *words: object) -> dict[str, Any]:
    """The manifest of an import that must succeed."""
    done = import_source(source, out, *words)
    assert done.exit_code == 0, done.stderr
    held: dict[str, Any] = json.loads((out / "import.json").read_text())
    return held


def refusal(source: Path, out: Path, *words: object, code: int = 3) -> str:
    """The message of an import that is refused and leaves nothing."""
    done = import_source(source, out, *words)
    assert done.exit_code == code, done.stdout + done.stderr
    assert not out.exists() and not list(out.parent.glob(f".{out.name}*"))
    return done.stderr


def region(out: Path, name: str) -> Bytes:
    return np.asarray(Image.open(out / "region" / f"{name}.png"))


def index(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def check(folder: Path, *words: object, code: int = 0) -> dict[str, Any]:
    done = bench("data", "check", folder, "--json", *words, home=folder.parent / "home")
    assert done.exit_code == code, done.stdout + done.stderr
    held: dict[str, Any] = json.loads(done.stdout)
    return held

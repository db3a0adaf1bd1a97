"""Valid small data: slides with annotations, a prepared folder, and the layouts that an import reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def photo(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3) of random colours."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_slides(folder: Path) -> None:
    """Two slides with outlines of ASAP and of QuPath, one with a label slide, and a table."""
    from tasks.datasets.slides.phantom_files import write_pyramid

    place = folder / "slides"
    place.mkdir()
    square = [[20, 20], [180, 20], [180, 180], [20, 180], [20, 20]]
    for seed, name in enumerate(("a", "b", "c")):
        write_pyramid(place / f"{name}.tif", photo(200, 200, 1 + 3 * seed), 1.0)
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(square[:-1]))
    outline = (
        f'<Annotation Name="1" Type="Polygon" PartOfGroup="a" Color="#F4FA58"><Coordinates>{points}</Coordinates></Annotation>'
    )
    asap = f'<?xml version="1.0"?><ASAP_Annotations><Annotations>{outline}</Annotations><AnnotationGroups/></ASAP_Annotations>'
    (place / "a.xml").write_text(asap, encoding="utf-8")
    shape = {"type": "Polygon", "coordinates": [square]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"classification": {"name": "a"}}}
    (place / "b.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    labels = np.zeros((200, 200), np.uint8)
    labels[:, 100:] = 1
    (folder / "masks").mkdir()
    write_pyramid(folder / "masks" / "c.tif", photo(200, 200, 1), 1.0)
    write_pyramid(folder / "masks" / "c_mask.tif", labels, 1.0)
    (place / "c.tif").unlink()
    (place / "slides.csv").write_text("slide,patient,split\na.tif,p1,train\nb.tif,p2,test\n", encoding="utf-8")


def write_gdc(folder: Path) -> None:
    """Two slides as gdc-client leaves them, and their manifest."""
    from tasks.datasets.slides.phantom_files import write_pyramid

    rows = ["id\tfilename\tmd5\tsize\tstate"]
    for number in range(2):
        path = folder / "gdc" / f"file{number}" / f"TCGA-AA-000{number}-01Z-00-DX1.svs"
        pixels = photo(200, 200, number)
        pixels[..., 1] //= 2  # tissue has colour
        write_pyramid(path, pixels, 1.0)
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        rows.append(f"file{number}\t{path.name}\t{digest}\t{path.stat().st_size}\treleased")
    (folder / "gdc" / "gdc_manifest.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_prepared(folder: Path) -> None:
    """A folder as `bench prepare` writes it, of six slides."""
    from tasks.datasets.prepared.writer import PreparedPart, assemble, write_part

    classes, parts = ("normal", "tumour"), []
    for number in range(6):
        masks = np.zeros((2, 16, 16), np.uint8)
        masks[:, :, 8:] = 1
        corners = np.array([[0, 0], [0, 16]])
        split = ("train", "validation", "test")[number % 3]
        images = np.stack([photo(16, 16, 2 * number + i) for i in range(2)])
        place = folder / "parts" / str(number)
        place.mkdir(parents=True)
        write_part(place, PreparedPart(f"s{number}", "", f"p{number}", "", split, images, masks, corners), classes, 0.5)
        parts.append(place)
    assemble(parts, folder / "data", 16, 0.5, classes, {}, [("s9", "blank")])
    shutil.rmtree(folder / "parts")


def write_imports(folder: Path) -> None:
    """The same four images and maps in the layouts that people have."""
    import pandas
    from PIL import Image

    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 1
    for name in ("pairs/images", "pairs/masks", "coco", "geojson", "pannuke", "hf"):
        (folder / name).mkdir(parents=True)
    square = [[0, 0], [16, 0], [16, 32], [0, 32], [0, 0]]
    shape = {"type": "Polygon", "coordinates": [square]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"classification": {"name": "tumour"}}}
    for i in range(4):
        picture = Image.fromarray(photo(32, 32, i))
        for place in ("pairs/images", "coco", "geojson"):
            picture.save(folder / place / f"s{i}.png")
        Image.fromarray(mask).save(folder / "pairs/masks" / f"s{i}.png")
        (folder / "geojson" / f"s{i}.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8"
        )
    (folder / "pairs" / "list.csv").write_text(
        "image_path,mask_path,patient_id\n" + "".join(f"images/s{i}.png,masks/s{i}.png,p{i}\n" for i in range(4)),
        encoding="utf-8",
    )
    outlined = [{"id": i, "image_id": i, "category_id": 7, "segmentation": [[0, 0, 16, 0, 16, 32, 0, 32]]} for i in range(4)]
    listed = [{"id": i, "file_name": f"s{i}.png", "height": 32, "width": 32} for i in range(4)]
    categories = [{"id": 7, "name": "tumour"}]
    held = {"images": listed, "categories": categories, "annotations": outlined}
    (folder / "coco" / "instances.json").write_text(json.dumps(held), encoding="utf-8")
    _pannuke(folder / "pannuke")
    pictures = [(folder / "pairs" / kind / f"s{i}.png").read_bytes() for kind in ("images", "masks") for i in range(4)]
    columns = {
        "image": [{"bytes": b, "path": None} for b in pictures[:4]],
        "mask": [{"bytes": b, "path": None} for b in pictures[4:]],
    }
    pandas.DataFrame(columns).to_parquet(folder / "hf" / "data.parquet")


def _pannuke(folder: Path) -> None:
    images = np.stack([photo(64, 64, i) for i in range(3)]).astype(np.float64)
    masks = np.zeros((3, 64, 64, 6))
    masks[:, 8:20, 8:20, 0] = 1
    masks[:, 30:44, 30:44, 2] = 2
    masks[..., 5] = masks[..., :5].max(axis=-1) == 0
    for name, values in (("images", images), ("masks", masks), ("types", np.array(["Colon"] * 3))):
        np.save(folder / f"{name}.npy", values)

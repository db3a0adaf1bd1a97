"""Annotation files of four programs, damaged ones, and rasterisation against independent ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask

from bench.errors import DamagedError, MissingError, UsageError
from tasks.datasets.slides.annotations import Region, files, load_annotations, rasterise, read_annotations
from tests.hostile import NOT_FILES, put, within

WSI = Path(__file__).parents[4] / "../shared/data/wsi"
needs_slides = pytest.mark.skipif(not WSI.is_dir(), reason="no ../shared/data/wsi beside the repository")
SQUARE = [(10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0)]


def asap(path: Path, *shapes: tuple[str, str, list[tuple[float, float]]]) -> Path:
    """An ASAP file of (type, group, points); points are written in reverse, with their order."""
    text = ""
    for kind, group, points in shapes:
        numbered = reversed(list(enumerate(points)))
        listed = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in numbered)
        text += f'<Annotation Name="A" Type="{kind}" PartOfGroup="{group}"><Coordinates>{listed}</Coordinates></Annotation>'
    path.write_text(f"<?xml version='1.0'?><ASAP_Annotations><Annotations>{text}</Annotations></ASAP_Annotations>")
    return path


def imagescope(path: Path, layers: str) -> Path:
    path.write_text(f'<Annotations MicronsPerPixel="0.25">{layers}</Annotations>')
    return path


def region(points: list[tuple[float, float]], more: str = 'Type="0" NegativeROA="0"') -> str:
    listed = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
    return f'<Region Id="1" {more}><Vertices>{listed}</Vertices></Region>'


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_asap_groups_are_labels_and_points_are_ordered(tmp_path: Path) -> None:
    path = asap(
        tmp_path / "a.xml",
        ("Polygon", "_0", SQUARE),
        ("Spline", "_2", SQUARE),
        ("Dot", "_0", [(1, 2)]),
        ("Rectangle", "None", SQUARE),
    )
    found = load_annotations(path)
    assert [one.label for one in found.regions] == ["_0", "_2", "None"]
    assert all(one.polygon.equals(shapely.Polygon(SQUARE)) for one in found.regions)
    assert (found.format, found.repaired, found.dropped) == ("asap", {}, {"Dot": 1})


def test_imagescope_layers_are_labels_and_negative_regions_are_cut_out(tmp_path: Path) -> None:
    inner = [(20.0, 20.0), (30.0, 20.0), (30.0, 30.0), (20.0, 30.0)]
    corners = [(0.0, 0.0), (8.0, 6.0)]
    shapes = "".join(region(corners, f"Type='{kind}'") for kind in (1, 2, 4))
    negative = region(inner, "NegativeROA='1'")
    attributes = [
        f'<Attributes><Attribute Name="{name}" Value="{value}"/></Attributes>'
        for name, value in (("Epithelial", ""), ("Description", "stroma"))
    ]
    path = imagescope(
        tmp_path / "a.xml",
        f'<Annotation Id="1" Name="tumour"><Regions>{region(SQUARE)}{negative}</Regions></Annotation>'
        f'<Annotation Id="2" Name="">{attributes[0]}<Regions>{shapes}</Regions></Annotation>'
        f'<Annotation Id="3" Name="Layer 3">{attributes[1]}<Regions>{region(SQUARE)}</Regions></Annotation>'
        f'<Annotation Id="4"><Regions>{region(SQUARE)}</Regions></Annotation>',
    )
    found = load_annotations(path)
    assert [one.label for one in found.regions] == ["tumour", "Epithelial", "Epithelial", "stroma", "Layer 4"]
    areas = [one.polygon.area for one in found.regions]
    assert areas[:2] == [1600 - 100, 48] and areas[2] == pytest.approx(np.pi * 4 * 3, rel=0.01)
    assert found.dropped == {"region of type 4": 1}


def test_geojson_of_qupath_is_read(tmp_path: Path) -> None:
    ring = [*SQUARE, SQUARE[0]]
    hole = [[20, 20], [30, 20], [30, 30], [20, 30], [20, 20]]
    shapes = [
        ({"type": "Polygon", "coordinates": [ring, hole]}, {"classification": {"name": "Tumor", "color": [200, 0, 0]}}),
        ({"type": "MultiPolygon", "coordinates": [[ring], [hole]]}, {"classification": {"names": ["Stroma", "Dense"]}}),
        ({"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [ring]}]}, {}),
        ({"type": "Point", "coordinates": [1, 2]}, {}),
        (None, {"classification": "Tumor"}),
    ]
    features = [{"type": "Feature", "geometry": geometry, "properties": more} for geometry, more in shapes]
    path = write(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": features})
    found = load_annotations(path)
    assert [(one.label, one.polygon.area) for one in found.regions] == [
        ("Tumor", 1500),
        ("Stroma: Dense", 1600),
        ("Stroma: Dense", 100),
        ("unclassified", 1600),
    ]
    assert found.dropped == {"Point": 1, "no geometry": 1}
    assert read_annotations(write(tmp_path / "b.json", features)) == found.regions
    assert len(read_annotations(write(tmp_path / "c.json", features[0]))) == 1


def test_polygons_are_repaired_or_counted(tmp_path: Path) -> None:
    bow_tie: list[tuple[float, float]] = [(0, 0), (10, 10), (10, 0), (0, 10)]
    line: list[tuple[float, float]] = [(0, 0), (5, 5), (10, 10)]
    shapes = [bow_tie, [(0, 0), (1, 1)], line, [*SQUARE, SQUARE[0]], SQUARE]
    found = load_annotations(asap(tmp_path / "a.xml", *(("Polygon", "_0", shape) for shape in shapes)))
    assert [one.polygon.area for one in found.regions] == [25, 25, 1600, 1600]
    assert all(one.polygon.is_valid for one in found.regions)
    assert found.repaired["crosses itself"] == 1
    assert found.dropped == {"fewer than three different points": 1, "no area": 1}


def test_a_tangle_is_dropped_before_its_repair_takes_hours(tmp_path: Path) -> None:
    corners = np.random.default_rng(0).uniform(0, 10_000, (100_000, 2))
    shapes = [[(float(x), float(y)) for x, y in corners[:count]] for count in (20, 500, 100_000)]
    with within(60):
        found = load_annotations(asap(tmp_path / "a.xml", *(("Polygon", "_0", shape) for shape in shapes)))
    assert found.repaired == {"crosses itself": 1} and found.dropped == {"crosses itself over 2000 times": 2}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xml", "<ASAP_Annotations><Annot", "a.xml is no XML"),
        ("a.xml", "", "a.xml is no XML"),
        ("a.xml", "<html/>", "root <html>. These are read: ASAP XML, ImageScope XML"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><ASAP_Annotations>&b;</ASAP_Annotations>', "document type or entities"),
        ("a.xml", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><ASAP_Annotations/>', "document type or entities"),
        ("a.xml", "<?xml version='1.0' encoding='utf-99'?><ASAP_Annotations/>", "cannot be decoded|no XML"),
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", '{"a": 1}', "JSON without annotations"),
        ("a.json", "[" * 100, "not JSON"),
        ("a.json", '{"type": "Topology"}', "of type 'Topology', and a FeatureCollection"),
        ("a.json", '{"type": "FeatureCollection", "features": 3}', "features has int where a list"),
        ("a.json", "[3]", "feature 0 is no object"),
        ("a.json", '[{"geometry": {"type": "Polygon", "coordinates": [[[1, "x"]]]}}]', r"feature 0 has the point \[1, 'x'\]"),
        ("a.json", '[{"geometry": {"type": "Polygon", "coordinates": []}}]', "polygon without points"),
        ("a.json", '{"positive": [{"name": "A"}]}', "positive 0 has no vertices"),
        ("a.txt", "hello", "none of the extensions .xml, .json and .geojson"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with within(), pytest.raises(DamagedError, match=message):
        read_annotations(tmp_path / name)


@pytest.mark.parametrize("value", ["nan", "12,5", "", "1e999"])
def test_points_without_numbers_are_named(tmp_path: Path, value: str) -> None:
    path = asap(tmp_path / "a.xml", ("Polygon", "_0", SQUARE))
    path.write_text(path.read_text().replace('X="10.0"', f'X="{value}"', 1))
    with pytest.raises(DamagedError, match=f"annotation A has a point whose X is '{value}'"):
        read_annotations(path)


def test_the_size_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = asap(tmp_path / "a.xml", ("Polygon", "_0", SQUARE))
    monkeypatch.setattr(files, "LARGEST", 100)
    with pytest.raises(DamagedError, match="bytes, and at most 100 are read"):
        read_annotations(path)


@pytest.mark.parametrize("kind", NOT_FILES)
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    with within(), pytest.raises(MissingError, match="a.xml"):
        read_annotations(put(kind, tmp_path / "a.xml"))


def regions() -> list[Region]:
    """A star with a hole, and a square over a part of it."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = np.where(np.arange(40) % 2, 300, 180)
    star = np.stack([400.31 + radius * np.cos(angle), 350.77 + radius * np.sin(angle)], axis=1)
    hole = [(380.123, 300.456), (430.789, 310.321), (400.654, 380.987)]
    return [Region("a", shapely.Polygon(star, [hole])), Region("b", shapely.box(300.1, 100.1, 450.1, 340.1))]


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.37, 1.7])
def test_a_pixel_is_inside_if_its_centre_is(scale: float) -> None:
    x, y, width, height = round(70 * scale), round(40 * scale), round(500 * scale), round(600 * scale)
    found = rasterise(regions(), {"a": 1, "b": 0}, ("a", "b"), (x, y, width, height), scale)
    columns, rows = np.meshgrid((x + np.arange(width) + 0.5) / scale, (y + np.arange(height) + 0.5) / scale)
    expected = np.full((height, width), 255)
    for one in regions():
        expected[shapely.contains_xy(one.polygon, columns, rows)] = {"a": 1, "b": 0}[one.label]
    assert np.array_equal(found, expected)
    assert {0, 1, 255} == set(np.unique(found).tolist())


def test_boxes_are_cut_from_one_grid() -> None:
    classes, order = {"a": 1, "b": 0}, ("a", "b")
    whole = rasterise(regions(), classes, order, (0, 0, 400, 400), 0.5)
    for x, y in ((0, 0), (100, 30), (130, 160), (300, 300)):
        assert np.array_equal(rasterise(regions(), classes, order, (x, y, 64, 64), 0.5), whole[y : y + 64, x : x + 64])
    outside = rasterise(regions(), classes, order, (-50, -50, 60, 60), 0.5, background=7)
    assert (outside == 7).all()


def test_the_order_decides_what_lies_over_what() -> None:
    over = rasterise(regions(), {"a": 1, "b": 0}, ("b", "a"), (380, 200, 10, 10), 1.0)
    under = rasterise(regions(), {"a": 1, "b": 0}, ("a", "b"), (380, 200, 10, 10), 1.0)
    assert (over == 1).all() and (under == 0).all()


def test_labels_that_are_not_known_are_named() -> None:
    with pytest.raises(DamagedError, match="label 'b', and known are 'a'"):
        rasterise(regions(), {"a": 1}, ("a",), (0, 0, 9, 9), 1.0)
    with pytest.raises(UsageError, match="the order has the labels a, and the classes a, b"):
        rasterise(regions(), {"a": 1, "b": 0}, ("a",), (0, 0, 9, 9), 1.0)
    with pytest.raises(UsageError, match="classes are 0 to 255"):
        rasterise(regions(), {"a": 256, "b": 0}, ("a", "b"), (0, 0, 9, 9), 1.0)
    with pytest.raises(UsageError, match="at least one pixel"):
        rasterise(regions(), {"a": 1, "b": 0}, ("a", "b"), (0, 0, 0, 9), 1.0)


@needs_slides
@pytest.mark.parametrize("name", ["Tumor_094", "Tumor_100", "Normal_002", "Normal_017", "Normal_104"])
def test_polygons_of_camelyon16_agree_with_independent_rasterisers(name: str) -> None:
    """Against `skimage.draw.polygon2mask`, and Pillow, which also fills the pixels that an outline touches."""
    found = read_annotations(WSI / "camelyon16_json" / f"{name}.json")
    assert found
    classes = {"negative": 0, "positive": 1}
    left, top, right, bottom = shapely.union_all([one.polygon for one in found]).bounds
    scale = 300 / max(right - left, bottom - top)
    x, y = int(left * scale) - 2, int(top * scale) - 2
    width, height = int((right - left) * scale) + 5, int((bottom - top) * scale) + 5
    mine = rasterise(found, classes, tuple(classes), (x, y, width, height), scale)
    skimage, pillow = np.full((height, width), 255, np.uint8), Image.new("L", (width, height), 255)
    for label in classes:
        for one in (one for one in found if one.label == label):
            points = shapely.get_coordinates(one.polygon.exterior) * scale - (x, y) - 0.5
            skimage[polygon2mask((height, width), points[:, ::-1])] = classes[label]
            ImageDraw.Draw(pillow).polygon([tuple(point) for point in points], fill=classes[label])
    assert (mine != skimage).mean() < 2e-4
    assert (mine != np.asarray(pillow)).mean() < 0.03
    assert (mine != 255).mean() > 0.02


@needs_slides
def test_nuclei_of_monusac_are_read() -> None:
    found = load_annotations(WSI / "monusac_svs_xml/TCGA-5P-A9K0-01Z-00-DX1_2.xml")
    assert found.format == "imagescope" and {one.label for one in found.regions} >= {"Epithelial", "Lymphocyte"}
    assert all(one.polygon.is_valid and one.polygon.area > 0 for one in found.regions)

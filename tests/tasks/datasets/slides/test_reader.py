"""Slides: any rectangle at any resolution, by blocks, and what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError, UsageError
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.reader import open_slide
from tests.hostile import NOT_FILES, put, within

WSI = Path(__file__).parents[4] / "../shared/data/wsi"
needs_slides = pytest.mark.skipif(not WSI.is_dir(), reason="no ../shared/data/wsi beside the repository")


def picture(width: int = 700, height: int = 500, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours with some noise, no two regions alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x / a + y / b) for a, b in ((31, 47), (53, 23), (19, 61))]
    return np.asarray(np.clip(np.stack(waves, axis=-1) + rng.normal(0, 4, (height, width, 3)), 0, 255), dtype=np.uint8)


def average(pixels: NDArray[np.uint8], x: int, y: int, width: int, height: int, ratio: float) -> NDArray[np.float64]:
    """The exact average over the area of each wanted pixel; white outside."""

    def weights(first: int, count: int, length: int) -> NDArray[np.float64]:
        low = (first + np.arange(count))[:, None] * ratio
        k = np.arange(length)[None, :]
        return np.clip(np.minimum(low + ratio, k + 1) - np.maximum(low, k), 0, None) / ratio

    rows, columns = weights(y, height, pixels.shape[0]), weights(x, width, pixels.shape[1])
    inside = np.einsum("ij,jkc,lk->ilc", rows, pixels.astype(float), columns, optimize=True)
    covered = rows.sum(axis=1)[:, None] * columns.sum(axis=1)[None, :]
    return np.asarray(inside + 255 * (1 - covered)[..., None])


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_pyramid(tmp_path / "slide.tif", picture(), 0.25)
    return tmp_path / "slide.tif"


def test_a_slide_says_what_it_is(slide: Path) -> None:
    with open_slide(slide) as opened:
        info = opened.info
        assert (info.width, info.height, info.mpp, info.levels) == (700, 500, pytest.approx(0.25), 2)
        assert (info.mpp_source, info.vendor, info.has_icc) == ("openslide.mpp-x", "generic-tiff", False)
        assert opened.size_at(0.5) == (350, 250) and opened.size_at(0.6) == (292, 208)


@pytest.mark.parametrize(
    ("mpp", "mean", "worst"), [(0.25, 0.0, 0), (0.5, 0.3, 1), (0.75, 0.3, 1), (0.4, 1.0, 9), (0.9, 1.0, 9)]
)
def test_a_pixel_is_the_average_over_its_area(slide: Path, mpp: float, mean: float, worst: int) -> None:
    with open_slide(slide) as opened:
        found = opened.read(40, 30, 120, 90, mpp)
    difference = np.abs(found - average(picture(), 40, 30, 120, 90, mpp / 0.25))
    assert difference.mean() <= mean and difference.max() <= worst


def test_the_coarsest_level_that_is_fine_enough_is_read(tmp_path: Path) -> None:
    """The level of a quarter of the resolution is black, the first one is not."""
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for number, (level, factor) in enumerate(((picture(512, 512), 1), (np.zeros((128, 128, 3), np.uint8), 4))):
            per_cm = (1e4 / 0.25 / factor,) * 2
            file.write(
                level, tile=(64, 64), photometric="rgb", subfiletype=number, resolution=per_cm, resolutionunit="CENTIMETER"
            )
    with open_slide(tmp_path / "s.tif") as opened:
        assert opened.read(10, 10, 30, 30, 0.99).any()
        assert not opened.read(10, 10, 30, 30, 1.0).any() and not opened.read(5, 5, 10, 10, 1.7).any()


def test_outside_the_slide_is_white(slide: Path) -> None:
    with open_slide(slide) as opened:
        for mpp in (0.25, 0.4, 1.0):
            far = opened.read(-5000, 20, 40, 40, mpp)
            assert far.shape == (40, 40, 3) and (far == 255).all()
            edge = opened.read(-20, -20, 40, 40, mpp)
            assert (edge[:17, :17] == 255).all() and not (edge[22:, 22:] == 255).all()
            assert np.abs(edge[24:, 24:] - opened.read(4, 4, 16, 16, mpp).astype(int)).max() <= 1


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 1.3])
def test_tiles_are_what_single_reads_give(slide: Path, mpp: float) -> None:
    """Byte for byte, for tiles in any order, overlapping, twice, and beyond the edge."""
    rng = np.random.default_rng(1)
    corners = np.concatenate([rng.integers(-30, 300, (40, 2)), [[7, 7], [7, 7], [10_000, 3]]])
    with open_slide(slide) as opened:
        found = dict(opened.read_tiles(corners, 64, mpp))
        assert sorted(found) == list(range(len(corners)))
        for row, tile in found.items():
            assert np.array_equal(tile, opened.read(*corners[row].tolist(), 64, 64, mpp)), row
        assert list(opened.read_tiles(np.zeros((0, 2), np.int64), 64, mpp)) == []


def test_memory_is_bounded_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No read is larger than a block, however large the region is, and one read serves many tiles."""
    write_pyramid(tmp_path / "s.tif", picture(1024, 1024), 0.5)
    monkeypatch.setattr("tasks.datasets.slides.reader.BLOCK", 400)
    with open_slide(tmp_path / "s.tif") as opened:
        sizes: list[tuple[int, int]] = []
        read_region = opened._handle.read_region

        def count(at: tuple[int, int], level: int, size: tuple[int, int]) -> object:
            sizes.append(size)
            return read_region(at, level, size)

        monkeypatch.setattr(opened._handle, "read_region", count)
        whole = opened.read(0, 0, 1024, 1024, 0.5)
        assert np.array_equal(whole, picture(1024, 1024)) and len(sizes) == 9
        sizes.clear()
        y, x = np.mgrid[0:1024:64, 0:1024:64]
        corners = np.stack([x.ravel(), y.ravel()], axis=1)
        for row, tile in opened.read_tiles(corners, 64, 0.5):
            left, top = corners[row]
            assert np.array_equal(tile, whole[top : top + 64, left : left + 64])
        assert len(sizes) < 256 / 15 and max(max(size) for size in sizes) <= 400
        sizes.clear()
        list(opened.read_tiles(np.array([[0, 0], [300, 300]]), 64, 0.5))
        assert len(sizes) == 2 and all(size == (64, 64) for size in sizes)


def test_a_thumbnail_is_the_whole_slide(slide: Path) -> None:
    with open_slide(slide) as opened:
        assert opened.thumbnail(70).shape == (50, 70, 3)
        assert opened.thumbnail(10_000).shape == (500, 700, 3)
        with pytest.raises(UsageError, match="at least 1 pixel long, not 0"):
            opened.thumbnail(0)


def test_what_is_finer_than_the_slide_is_refused(slide: Path) -> None:
    with open_slide(slide) as opened:
        assert opened.read(0, 0, 10, 10, 0.25 / 1.1).shape == (10, 10, 3)
        with pytest.raises(MissingError, match="0.2 were asked for: more than 1.1 times finer. Ask for 0.25 or more"):
            opened.read(0, 0, 10, 10, 0.2)
        with pytest.raises(UsageError, match="at least 1 pixel wide and high, not 0 x 5"):
            opened.read(0, 0, 0, 5, 0.5)
        with pytest.raises(UsageError, match="positive number of microns per pixel, not nan"):
            opened.size_at(float("nan"))


@pytest.mark.parametrize("kind", NOT_FILES)
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    put(kind, tmp_path / "slide.tif")
    with within(), pytest.raises(MissingError, match="slide.tif"):
        open_slide(tmp_path / "slide.tif")


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"no slide at all")
    with pytest.raises(DamagedError, match=r"a.svs is in no format that OpenSlide reads.*vips tiffsave"):
        open_slide(tmp_path / "a.svs")
    with pytest.raises(MissingError, match="b.svs does not exist"):
        open_slide(tmp_path / "b.svs")


def test_a_truncated_slide_is_found_when_it_is_opened(tmp_path: Path) -> None:
    """Also where the directory stands before the tiles, so that the file still opens."""
    write_pyramid(tmp_path / "s.tif", picture(), 0.5)
    content = (tmp_path / "s.tif").read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "t.tif").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedError, match="t.tif"):
            open_slide(tmp_path / "t.tif")


def test_a_damaged_tile_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "s.tif", picture(), 0.5)
    with tifffile.TiffFile(tmp_path / "s.tif") as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with (tmp_path / "s.tif").open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(count))
    with open_slide(tmp_path / "s.tif") as opened, pytest.raises(DamagedError, match="region at 0, 0 of level 0.*s.tif"):
        opened.read(0, 0, 100, 100, 0.5)


@pytest.mark.parametrize(
    ("tag", "value", "fault"),
    [
        ("TileWidth", 2**31 - 16, "tiles of 2147483632 x 256 pixels"),
        ("TileLength", 0, "tiles of 256 x 0 pixels"),
        ("ImageWidth", 100_000, "6 tiles, and 100000 x 500 pixels need 782"),
    ],
)
def test_impossible_sizes_are_refused_before_openslide_asks_for_the_memory(
    tag: str, value: int, fault: str, tmp_path: Path
) -> None:
    """GLib ends the process when an allocation fails: no exception could be caught."""
    write_pyramid(tmp_path / "s.tif", picture(), 0.5)
    with tifffile.TiffFile(tmp_path / "s.tif", mode="r+") as tiff:
        tiff.pages.first.tags[tag].overwrite(value, dtype="I")
    with within(), pytest.raises(DamagedError, match=f"s.tif is damaged: picture 0 has {fault}"):
        open_slide(tmp_path / "s.tif")


@needs_slides
def test_a_real_aperio_slide_is_read() -> None:
    with open_slide(WSI / "CMU-1-Small-Region.svs") as opened:
        assert (opened.info.vendor, opened.info.mpp, opened.info.width) == ("aperio", 0.499, 2220)
        fine = opened.read(400, 900, 400, 400, 0.499)
        coarse = opened.read(200, 450, 200, 200, 0.998)
    assert np.abs(average(fine, 0, 0, 200, 200, 2) - coarse).max() <= 1


@needs_slides
def test_a_real_jpeg_2000_slide_without_resolution_needs_one() -> None:
    path = WSI / "TCGA-CR-7395-01A-01-TS1.svs"
    with pytest.raises(MissingError, match="does not say how many microns.*--mpp-csv FILE"):
        open_slide(path)
    with open_slide(path, mpp=0.5) as opened:
        assert opened.info.mpp_source == "--mpp-csv" and opened.info.has_icc
        fine, coarse = opened.read(2998, 2398, 404, 404, 0.5), opened.read(1500, 1200, 200, 200, 1.0).astype(int)
    expected = average(fine, 0, 0, 202, 202, 2)
    # OpenSlide counts 2.0005 for the second level, which would be almost half a pixel off here
    error = {
        (y, x): np.abs(expected[1 + y : 201 + y, 1 + x : 201 + x] - coarse).mean() for y in (-1, 0, 1) for x in (-1, 0, 1)
    }
    assert min(error, key=lambda shift: error[shift]) == (0, 0) and error[0, 0] < 8


def test_a_directory_that_names_itself_is_refused(tmp_path: Path) -> None:
    """tifffile's iterator follows it for ever."""
    path = tmp_path / "loop.tif"
    write_pyramid(path, np.full((256, 256, 3), 90, np.uint8), 0.5)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert isinstance(page, tifffile.TiffPage)
        place, target = page.offset + 2 + 12 * len(page.tags), page.offset
    content = bytearray(path.read_bytes())
    content[place : place + 4] = struct.pack("<I", target)
    path.write_bytes(content)
    with within(), pytest.raises(DamagedError, match=r"loop\.tif"):
        open_slide(path)

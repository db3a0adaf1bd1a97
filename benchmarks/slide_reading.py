"""Speed of reading tiles from slides, as ratios that are taken in one run on one core.

    python -m benchmarks.slide_reading SLIDE.svs ... [--slide-mpp 0.5] [--mpp 0.5 1.0]

For each slide and resolution all tiles of 256 pixels are read in four ways: `tiles` is `Slide.read_tiles`; `blocks` is a bare
OpenSlide loop over the same blocks; `single` is a bare OpenSlide loop over the tiles row by row, `shuffled` in any order. The
bare loops read the same level, convert to RGB, and resize with the same filter. Each is repeated, the ways in turn, and the
ratio is that of the medians of processor time.

OpenSlide keeps 32 MiB of decoded tiles. A row of tiles of a small slide fits into that, one of a slide of ordinary size does
not. So the first slide is also read as a wide one: its compressed tiles repeated to `--wide` pixels.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tasks.datasets.slides.blocks import group_tiles
from tasks.datasets.slides.levels import read_levels
from tasks.datasets.slides.reader import BLOCK, open_slide
from tasks.datasets.slides.sampling import Sampling, plan_sampling

SIZE = 256


def grid(width: int, height: int, size: int) -> NDArray[np.int64]:
    """int64 (n, 2): corners x, y of the squares that cover a rectangle, row by row."""
    y, x = np.mgrid[0:height:size, 0:width:size]
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)


def read_bare(path: Path, sampling: Sampling, boxes: list[tuple[int, int, int, int]]) -> int:
    """Reads the boxes (x, y, width, height in wanted pixels) with OpenSlide alone; the number of pixels."""
    count = 0
    with openslide.OpenSlide(path) as handle:
        for x, y, width, height in boxes:
            ratio, level = sampling.ratio, sampling.level
            at = round(x * ratio * level.address), round(y * ratio * level.address)
            picture = handle.read_region(at, level.number, (round(width * ratio), round(height * ratio))).convert("RGB")
            if ratio != 1:
                picture = picture.resize((width, height), Image.Resampling.HAMMING)
            count += np.asarray(picture).shape[0] * width
    return count


def write_wide(path: Path, out: Path, width: int) -> Path:
    """A slide of one level and about `width` pixels whose compressed tiles are those of another one, column by column again.

    The tiles are copied as they are, so that their compression is that of the scanner.
    """
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert isinstance(page, tifffile.TiffPage)
        side_x, side_y = page.tilewidth, page.tilelength
        columns, rows, across = page.imagewidth // side_x, page.imagelength // side_y, -(-page.imagewidth // side_x)
        repeated = [r * across + c % columns for r in range(rows) for c in range(width // side_x)]
        content = path.read_bytes()
        pieces = [content[page.dataoffsets[t] : page.dataoffsets[t] + page.databytecounts[t]] for t in repeated]
        kept = {tag.code: tag.value for tag in page.tags if tag.code in (262, 347, 530)}
        compression = int(page.compression)
    tags: dict[int, tuple[int, bytes]] = {
        256: (4, struct.pack("<I", width // side_x * side_x)),
        257: (4, struct.pack("<I", rows * side_y)),
        258: (3, struct.pack("<3H", 8, 8, 8)),
        259: (3, struct.pack("<H", compression)),
        262: (3, struct.pack("<H", int(kept[262]))),
        270: (2, b"Aperio Image Library|MPP = 0.5\0"),
        277: (3, struct.pack("<H", 3)),
        322: (3, struct.pack("<H", side_x)),
        323: (3, struct.pack("<H", side_y)),
        324: (4, struct.pack(f"<{len(pieces)}I", *(8 + offset for offset in _offsets(pieces)))),
        325: (4, struct.pack(f"<{len(pieces)}I", *map(len, pieces))),
    }
    if 347 in kept:
        tags[347] = (7, bytes(kept[347]))
    if 530 in kept:
        tags[530] = (3, struct.pack("<2H", *kept[530]))
    _write_tiff(out, pieces, tags)
    return out


def _offsets(pieces: list[bytes]) -> list[int]:
    return [0, *itertools.accumulate(len(piece) for piece in pieces[:-1])]


def _write_tiff(out: Path, pieces: list[bytes], tags: dict[int, tuple[int, bytes]]) -> None:
    """A little-endian TIFF: header, tiles, values of tags that do not fit into four bytes, one directory."""
    sizes = {2: 1, 3: 2, 4: 4, 7: 1}
    start = 8 + sum(map(len, pieces))
    values, entries = b"", b""
    for code, (kind, value) in sorted(tags.items()):
        place = value.ljust(4, b"\0")
        if len(value) > 4:
            place = struct.pack("<I", start + len(values))
            values += value + b"\0" * (len(value) % 2)
        entries += struct.pack("<HHI", code, kind, len(value) // sizes[kind]) + place
    with out.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, start + len(values)))
        file.writelines(pieces)
        file.write(values + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0")


def compare(path: Path, mpp: float, given: float | None, repeats: int) -> dict[str, float]:
    """Median seconds of each way."""
    with open_slide(path, given) as slide:
        corners = grid(*slide.size_at(mpp), SIZE)
        scale, longest = mpp / slide.info.mpp, max(slide.size_at(mpp))
    with openslide.OpenSlide(path) as handle:
        sampling = plan_sampling(read_levels(handle), scale, longest)
    blocks = [(b.x, b.y, b.width, b.height) for b in group_tiles(corners, SIZE, sampling.largest_side(BLOCK))]
    tiles = [(int(x), int(y), SIZE, SIZE) for x, y in corners]
    shuffled = [tiles[row] for row in np.random.default_rng(0).permutation(len(tiles)).tolist()]

    def read_tiles() -> None:
        with open_slide(path, given) as slide:
            for _ in slide.read_tiles(corners, SIZE, mpp):
                pass

    ways: dict[str, Callable[[], object]] = {
        "tiles": read_tiles,
        "blocks": lambda: read_bare(path, sampling, blocks),
        "one by one": lambda: read_bare(path, sampling, tiles),
        "shuffled": lambda: read_bare(path, sampling, shuffled),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_row(path: Path, mpp: float, took: dict[str, float]) -> None:
    ratios = " ".join(f"{took[way] / took['tiles']:14.2f}" for way in ("blocks", "one by one", "shuffled"))
    print(f"{path.name[:24]:24} {mpp:5.2f} {took['tiles']:8.3f} {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", nargs="+", type=Path)
    parser.add_argument("--mpp", type=float, nargs="+", default=[0.5, 0.75, 1.0])
    parser.add_argument("--slide-mpp", type=float, help="microns per pixel of level 0, where the slides do not say it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--wide", type=int, default=24576)
    options = parser.parse_args()
    given = options.slide_mpp
    print(f"{'slide':24} {'mpp':>5} {'tiles s':>8} {'blocks/tiles':>14} {'single/tiles':>14} {'shuffled/tiles':>14}")
    with tempfile.TemporaryDirectory() as folder:
        wide = write_wide(options.slides[0], Path(folder) / "wide.svs", options.wide)
        for path in [*options.slides, wide]:
            for mpp in options.mpp:
                print_row(path, mpp, compare(path, mpp, given, options.repeats))


if __name__ == "__main__":
    main()

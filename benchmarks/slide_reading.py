"""Speed of reading tiles from slides, as ratios that are taken in one run on one core.

    python -m benchmarks.slide_reading SLIDE.svs ... [--slide-mpp 0.5] [--mpp 0.5 1.0]

For each slide and resolution all tiles of 256 pixels are read in three ways: `tiles` is `Slide.read_tiles`; `blocks` is a bare
OpenSlide loop over the same blocks; `one by one` is a bare OpenSlide loop over the tiles. The bare loops read the same level,
convert to RGB, and resize with the same filter. Each is repeated, the ways in turn, and the ratio is that of the medians of
processor time.

OpenSlide keeps 32 MiB of decoded tiles. A row of tiles of a small slide fits into that, one of a slide of ordinary size does
not. So the first slide is also read as a wide one: its level 0 repeated to `--wide` pixels, in deflated tiles of 256 pixels.
"""

from __future__ import annotations

import argparse
import statistics
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


def write_wide(path: Path, out: Path, given: float | None, width: int) -> Path:
    """A slide of one level and `width` pixels, of repeats of another one."""
    with open_slide(path, given) as slide:
        pixels = slide.read(0, 0, slide.info.width, slide.info.height, slide.info.mpp)
        mpp = slide.info.mpp
    repeated = np.tile(pixels, (1, -(-width // pixels.shape[1]), 1))[:, :width]
    per_cm = (1e4 / mpp, 1e4 / mpp)
    tifffile.imwrite(
        out,
        repeated,
        tile=(256, 256),
        photometric="rgb",
        compression="adobe_deflate",
        resolution=per_cm,
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    return out


def compare(path: Path, mpp: float, given: float | None, repeats: int) -> dict[str, float]:
    """Median seconds of each way."""
    with open_slide(path, given) as slide:
        corners = grid(*slide.size_at(mpp), SIZE)
        scale, longest = mpp / slide.info.mpp, max(slide.size_at(mpp))
    with openslide.OpenSlide(path) as handle:
        sampling = plan_sampling(read_levels(handle), scale, longest)
    blocks = [(b.x, b.y, b.width, b.height) for b in group_tiles(corners, SIZE, sampling.largest_side(BLOCK))]
    tiles = [(int(x), int(y), SIZE, SIZE) for x, y in corners]

    def read_tiles() -> None:
        with open_slide(path, given) as slide:
            for _ in slide.read_tiles(corners, SIZE, mpp):
                pass

    ways: dict[str, Callable[[], object]] = {
        "tiles": read_tiles,
        "blocks": lambda: read_bare(path, sampling, blocks),
        "one by one": lambda: read_bare(path, sampling, tiles),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_row(path: Path, mpp: float, took: dict[str, float]) -> None:
    tiles, blocks, single = took["tiles"], took["blocks"], took["one by one"]
    times = f"{tiles:8.3f} {blocks:9.3f} {single:13.3f}"
    print(f"{path.name[:24]:24} {mpp:5.2f} {times} {blocks / tiles:13.2f} {single / tiles:17.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", nargs="+", type=Path)
    parser.add_argument("--mpp", type=float, nargs="+", default=[0.5, 0.75, 1.0])
    parser.add_argument("--slide-mpp", type=float, help="microns per pixel of level 0, where the slides do not say it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--wide", type=int, default=32768)
    options = parser.parse_args()
    given = options.slide_mpp
    print(
        f"{'slide':24} {'mpp':>5} {'tiles s':>8} {'blocks s':>9} {'single s':>13} {'blocks/tiles':>13} {'single/tiles':>17}"
    )
    with tempfile.TemporaryDirectory() as folder:
        wide = write_wide(options.slides[0], Path(folder) / "wide.tif", given, options.wide)
        for path in [*options.slides, wide]:
            for mpp in options.mpp:
                print_row(path, mpp, compare(path, mpp, given, options.repeats))


if __name__ == "__main__":
    main()

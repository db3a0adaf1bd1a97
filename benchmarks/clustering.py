"""k-means of the suite against scikit-learn's, and clusters of phantom slides against true tissue.

python -m benchmarks.clustering speed --cells 200000 --features 1024 --clusters 100
python -m benchmarks.clustering agreement --slides 24
python -m benchmarks.clustering rates SLIDE.svs
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

ITERATIONS = 10
"""Of both, from the same number of starts, so that the work is the same."""


@click.group()
def main() -> None:
    """Measurements of clustering."""


@main.command()
@click.option("--cells", default=200_000)
@click.option("--features", default=1024)
@click.option("--clusters", default=100)
def speed(cells: int, features: int, clusters: int) -> None:
    """Seconds and sum of squared distances of both, one start, the same number of iterations."""
    from sklearn.cluster import KMeans

    from tasks.datasets.clustering import kmeans

    rng = np.random.default_rng(0)
    middles = rng.normal(0, 1, (2 * clusters, features)).astype(np.float32)
    rows = middles[rng.integers(len(middles), size=cells)]
    rows += rng.normal(0, 3, rows.shape).astype(np.float32)
    kmeans.ITERATIONS, kmeans.REPEATS = ITERATIONS, 1
    begun = time.perf_counter()
    found = kmeans.centre(rows, clusters, 0)
    ours = time.perf_counter() - begun
    labels = kmeans.assign(rows, found)
    spread = float(sum(np.square(rows[at : at + 4096] - found[labels[at : at + 4096]]).sum() for at in range(0, cells, 4096)))
    begun = time.perf_counter()
    theirs = KMeans(clusters, n_init=1, max_iter=ITERATIONS, tol=0.0, random_state=0).fit(rows)
    print(f"{cells} x {features}, {clusters} clusters, {ITERATIONS} iterations, {os.cpu_count()} processors")
    print(f"faiss {ours:.1f} s, sum of squares {spread:.6g}")
    print(f"scikit-learn {time.perf_counter() - begun:.1f} s, sum of squares {theirs.inertia_:.6g}")


@main.command()
@click.option("--slides", default=24)
@click.option("--encoders", default="texture,random-conv,phantom-cnn")
@click.option("--clusters", default=20)
def agreement(slides: int, encoders: str, clusters: int) -> None:
    """Adjusted Rand index of clusters and true tissue of phantom slides of TCGA's layout, by encoder and scale."""
    from tasks.datasets.slides.phantom_slides import write_phantom_slides

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "slides"
        write_phantom_slides(root, slides, 0, 1024, 1.0, "tcga")
        for encoder in encoders.split(","):
            out = Path(folder) / encoder
            words = ["pseudo-maps", "--root", root, "--truth", root / "truth", "--out", out, "-e", encoder, "--mpp", 1]
            words += ["--clusters", clusters, "--scales", "5,10", "--cell", 32, "--size", 64, "--cells", 300]
            home = {"BENCH_HOME": str(Path(folder) / "home")}
            subprocess.run([sys.executable, "-m", "bench", *map(str, words)], env={**os.environ, **home}, check=True)
            held = json.loads((out / "pseudo-maps.json").read_text(encoding="utf-8"))
            for scale, found in sorted(held["agreement"].items(), key=lambda pair: int(pair[0])):
                bounds = f"[{found['low']:.3f}, {found['high']:.3f}]" if found["low"] is not None else found["reason"]
                print(
                    f"| {encoder} | {scale} | {found['value']:.3f} {bounds} | {found['cells']} | {found['units']} |",
                    flush=True,
                )


@main.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--mpp", default=0.5)
@click.option("--slide-mpp", type=float)
@click.option("--networks", default="vit_small_patch16_224,vit_large_patch16_224")
def rates(path: Path, mpp: float, slide_mpp: float | None, networks: str) -> None:
    """What one core does in a second: patches of 256 pixels read, and passed through networks of random weights; and the bytes
    of a patch."""
    import torch

    from bench.jobs.arrays import write_array
    from bench.runtime import torchvision_shim
    from tasks.datasets.clustering.cells import CellRule, find_cells
    from tasks.datasets.slides.reader import open_slide
    from tasks.datasets.slides.tissue import find_tissue

    torch.set_num_threads(1)
    with open_slide(path, slide_mpp) as slide:
        corners = find_cells(slide, find_tissue(slide), CellRule(256, 256, mpp))
        seconds = []
        for _ in range(3):
            begun = time.process_time()
            images = np.stack([tile for _, tile in slide.read_tiles(corners, 256, mpp)])
            seconds.append(time.process_time() - begun)
    print(f"{path.name}: {len(corners)} patches, {len(corners) / sorted(seconds)[1]:.0f} a second read")
    with tempfile.TemporaryDirectory() as folder:
        write_array(Path(folder), "images", images, 16)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"{size / len(images):.0f} bytes a patch stored")
    torchvision_shim.ready()
    import timm

    pixels = torch.rand(16, 3, 224, 224)
    for name in networks.split(","):
        net = timm.create_model(name, num_classes=0).eval()
        with torch.inference_mode():
            net(pixels)
            begun = time.process_time()
            net(pixels)
            print(f"{name}: {16 / (time.process_time() - begun):.2f} patches of 224 pixels a second")


if __name__ == "__main__":
    main()

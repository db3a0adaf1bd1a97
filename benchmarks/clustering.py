"""k-means of the suite against scikit-learn's, and clusters of phantom slides against true tissue.

python -m benchmarks.clustering speed --cells 200000 --features 1024 --clusters 100
python -m benchmarks.clustering agreement --slides 24
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


if __name__ == "__main__":
    main()

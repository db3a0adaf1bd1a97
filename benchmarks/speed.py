"""Time and memory of the implementations here relative to the usual ones, both measured in one run on one machine.

    python -m benchmarks.speed [--rows 10000] [--widths 384,1024,1536,2560] [--patches 2000]
        [--only PART] [--write]

prints the tables, and with --write puts them into docs/speed.md. Metrics are timed from features or moments in memory;
networks have random weights.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from benchmarks import blocked_cdist, encoding, metric_costs
from benchmarks.memory import peak_memory
from metrics.frechet.gaussians import gaussian, gaussian_distance
from metrics.prdc import manifold

Table = NDArray[np.float64]
WIDTHS = (384, 1024, 1536, 2560)
ROWS = 10_000
MANIFOLD_WIDTH, NEIGHBOURS = 1024, 5
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
HEAD = """# Speed

Our implementation and the usual one, both timed in one run on one machine. `times` is theirs divided by ours: above 1, ours is
faster, or needs less memory. Made by `OMP_NUM_THREADS=1 python -m benchmarks.speed --write`, run from the checkout, on """
INTERVALS = f"""## Intervals

A metric alone, and with its interval over slides: {metric_costs.SLIDES} slides of {metric_costs.PER_SLIDE} patches a side,
{metric_costs.WIDTH} features, each from nothing. Precision and recall share their neighbourhoods, and density and coverage
theirs, so that a run pays for one of each pair."""
PANEL = """## The encoders of a paper

Every distribution metric that reads any encoder, with its interval, at the widths of the eight encoders of
HeteroTissue-Diffuse; as many slides and patches, features given, in one process; encoders of one width are measured once."""
FOUR = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Row:
    """One line: the task, and the time of both implementations."""

    what: str
    reference: str
    ours: float
    theirs: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def mathematics_rows(rows: int = ROWS, widths: tuple[int, ...] = WIDTHS) -> list[Row]:
    """Every comparison without networks."""
    found = [row for width in widths for row in frechet_rows(rows, width)]
    return [*found, *manifold_rows(rows, MANIFOLD_WIDTH if len(widths) > 1 else widths[0])]


def clouds(rows: int, width: int) -> tuple[Table, Table]:
    """Two sets of features whose spread falls as in those of encoders, in directions that differ a little."""
    rng = np.random.default_rng(0)
    spread = np.arange(1, width + 1) ** -0.5
    real = rng.normal(size=(rows, width)) * spread
    fake = rng.normal(size=(rows, width)) * np.roll(spread, 1) + 0.01
    return real, fake


def frechet_rows(rows: int, width: int) -> list[Row]:
    """The distance from moments against both references, then from features, then against a reference kept as moments."""
    import scipy.linalg

    real, fake = clouds(rows, width)
    here, (kept, generated) = f"fd, d = {width}", (gaussian(real), gaussian(fake))

    def matrix_root() -> float:
        gap, a, b = kept.mean - generated.mean, kept.covariance, generated.covariance
        return float(gap @ gap + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real))

    ours = timed(lambda: gaussian_distance(kept, generated))
    theirs, fidelity = timed(matrix_root, 1), timed(_fidelity(kept, generated), 1)
    both = timed(lambda: gaussian_distance(gaussian(real), gaussian(fake)), 1)
    again = timed(lambda: gaussian_distance(kept, gaussian(fake)), 1)
    moments = timed(lambda: (np.cov(real, rowvar=False), np.cov(fake, rowvar=False)), 1)
    return [
        Row(f"{here}, from moments", f"scipy.linalg.sqrtm {version('scipy')}", ours, theirs),
        Row(f"{here}, from moments", f"torch-fidelity {version('torch-fidelity')}", ours, fidelity),
        Row(f"{here}, from {rows} features a side", "np.cov and scipy.linalg.sqrtm", both, moments + theirs),
        Row(f"{here}, a second generated side", "the first", again, both),
    ]


def _fidelity(a: Any, b: Any) -> Callable[[], Any]:
    from bench.runtime import torchvision_shim

    torchvision_shim.ready()
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    sides = [{"mu": side.mean, "sigma": side.covariance} for side in (a, b)]
    return lambda: fid_statistics_to_metric(*sides, verbose=False)


def manifold_rows(rows: int, width: int) -> list[Row]:
    """Precision, recall, density and coverage of one pair, time and peak memory, each way in a process of its own."""
    ours = _apart("ours", rows, width)
    what = f"precision, recall, density, coverage, n = {rows}, d = {width}"
    found = []
    for who, reference in (
        ("prdc", f"prdc {version('prdc')}"),
        ("blocks", "blocks of torch.cdist, benchmarks/blocked_cdist.py"),
    ):
        theirs = _apart(who, rows, width)
        found += [Row(what, reference, ours[0], theirs[0]), Row(what, reference, ours[1], theirs[1], "MiB")]
    return found


def _apart(who: str, rows: int, width: int) -> tuple[float, float]:
    line = f"from benchmarks.speed import manifold_cost; print(*manifold_cost({who!r}, {rows}, {width}))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def manifold_cost(who: str, rows: int, width: int) -> tuple[float, float]:
    """Seconds, and MiB by which the memory of this process grows at the highest point, beside the features."""
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((rows, width), np.float32) for _ in range(2))
    work = {"ours": four_measures, "prdc": four_of_prdc, "blocks": four_of_blocks}[who]
    work(real[:64], fake[:64])  # libraries are loaded, threads started
    before = peak_memory()
    seconds = timed(lambda: work(real, fake), 1)
    return seconds, peak_memory() - before


def four_measures(real: Any, fake: Any) -> list[float]:
    manifold._remembered.clear()
    rng = np.random.default_rng(0)
    return [registry.load("metrics", name, k=NEIGHBOURS).compare(real, fake, rng) for name in FOUR]


def four_of_prdc(real: Any, fake: Any) -> list[float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(real, fake, nearest_k=NEIGHBOURS)
    return [float(found[name]) for name in FOUR]


def four_of_blocks(real: Any, fake: Any) -> list[float]:
    found = blocked_cdist.four_measures(real, fake, NEIGHBOURS)
    return [found[name] for name in FOUR]


def timed(work: Callable[[], Any], repeats: int = 3) -> float:
    """The shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> str:
    """The machine and versions of the measurement."""
    found = version("numpy"), version("scipy"), version("torch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "as many threads as cores")
    return (
        f"{platform.machine()}, {cores} cores, OMP_NUM_THREADS {threads}, Python {platform.python_version()}, "
        f"NumPy {found[0]}, SciPy {found[1]}, torch {found[2]}."
    )


def table(rows: list[Row]) -> str:
    """Rows as Markdown."""
    lines = ["| what | against | ours | theirs | times |", "|---|---|---|---|---|"]
    for row in rows:
        numbers = f"{row.ours:.3g} {row.unit} | {row.theirs:.3g} {row.unit} | {row.ratio:.1f}"
        lines.append(f"| {row.what} | {row.reference} | {numbers} |")
    return "\n".join(lines)


def encoder_rows(patches: int) -> list[Row]:
    """An encoder against its bare network, and eight encoders in one pass over the patches against eight passes."""
    network, fewer = "resnet18", patches // 4
    return [
        Row(
            f"features of {patches} patches, {network} at 224 px",
            "bare forward passes",
            *encoding.end_to_end(network, patches),
        ),
        Row(f"eight encoders, {fewer} patches, one process", "eight processes", *encoding.eight_together(fewer)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)))
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="into docs/speed.md")
    parser.add_argument("--only", choices=("references", "intervals", "panel"), help="one part, which is not written")
    words = parser.parse_args()
    widths = tuple(int(width) for width in words.widths.split(","))
    parts: dict[str, Callable[[], str]] = {
        "references": lambda: f"{table(mathematics_rows(words.rows, widths))}\n\n{table(encoder_rows(words.patches))}",
        "intervals": lambda: f"{INTERVALS}\n\n{metric_costs.interval_table(metric_costs.interval_costs())}",
        "panel": lambda: f"{PANEL}\n\n{metric_costs.panel_table()}",
    }
    made = [make() for name, make in parts.items() if words.only in (None, name)]
    message = "\n\n".join([machine(), *made]) + "\n"
    sys.stdout.write(message)
    if words.write and words.only is None:
        PAGE.write_text(f"{HEAD}{message}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Our metrics against the implementations that papers used, on equal features in float64.

python -m benchmarks.parity     write docs/parity.md
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.files.image_files import open_image
from benchmarks import references
from benchmarks.references import SEED, Reference, Table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
IMAGES = ROOT.parent / "shared" / "data" / "regions" / "camelyon" / "images"
PATCHES, SIDE = 400, 64


@dataclass(frozen=True)
class Case:
    """A metric with options, and its reference."""

    metric: str
    options: dict[str, Any]
    reference: str
    """A package, whose version is printed, or the source of a reimplemented formula."""
    theirs: Reference

    def ours(self, real: Table, fake: Table) -> float:
        metric, rng = registry.load("metrics", self.metric, **self.options), np.random.default_rng(SEED)
        if self.metric == "fls":
            return float(metric.compare_trained(real, fake, references.training(real), rng))
        return float(metric.compare(real, fake, rng))

    @property
    def label(self) -> str:
        return " ".join([self.metric, *(f"{name}={value}" for name, value in self.options.items())])


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    case: Case
    data: str
    ours: float
    theirs: float

    @property
    def error(self) -> float:
        """Relative to the reference, or absolute where that is 0."""
        return abs(self.ours - self.theirs) / (abs(self.theirs) or 1.0)


def clouds(n: int, d: int, seed: int = SEED) -> tuple[Table, Table]:
    """Two sets of n correlated rows, the second moved and stretched."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) @ mixing, rng.normal(size=(n, d)) @ (1.1 * mixing) + 0.2 * rng.normal(size=d)


def hard_sets(n: int = 400, d: int = 48) -> dict[str, tuple[Table, Table]]:
    """Features of kinds that implementations stumble over, by name."""
    rng = np.random.default_rng(SEED + 2)
    real, fake = clouds(n, d)
    repeated = [side[rng.integers(0, n // 4, n)] for side in (real, fake)]
    whole = [np.rint(2 * side[:, :4]) + 20 for side in (real, fake)]
    few = rng.normal(size=(3, d))
    tails = [rng.standard_t(2, size=(n, d)) + shift for shift in (0.0, 0.3)]
    wide = clouds(n // 8, 4 * d)
    return {
        f"far from the origin, {n} x {d}": (real + 100, fake + 100),
        f"small, {n} x {d}": (1e-5 * real, 1e-5 * fake),
        f"ties: whole numbers, {n} x 4": (whole[0], whole[1]),
        f"duplicates: each row four times, {n} x {d}": (
            repeated[0],
            np.concatenate([repeated[1][: n // 2], repeated[0][n // 2 :]]),
        ),
        f"low rank: 3 of {d}, {n} x {d}": (real[:, :3] @ few + few[0], fake[:, :3] @ few + few[0]),
        f"heavy tails: t with 2 degrees of freedom, {n} x {d}": (tails[0], tails[1]),
        f"fewer patches than features, {n // 8} x {4 * d}": wide,
    }


def tissue() -> tuple[Table, Table] | None:
    """Texture features of real patches of two sets of images, or None if the images are not available."""
    files = sorted(IMAGES.glob("*.*")) if IMAGES.is_dir() else []
    if not files:
        return None
    sides = []
    for chosen in (files[::2], files[1::2]):
        images = [np.asarray(open_image(file).convert("RGB")) for file in chosen]
        cut = [image[y : y + SIDE, x : x + SIDE] for image in images for y, x in _corners(image)]
        spread = np.linspace(0, len(cut) - 1, PATCHES).astype(int)
        sides.append(registry.load("encoders", "texture").encode(np.stack([cut[i] for i in spread])).astype(np.float64))
    return sides[0], sides[1]


def _corners(image: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    for y in range(0, image.shape[0] - SIDE + 1, SIDE):
        for x in range(0, image.shape[1] - SIDE + 1, SIDE):
            yield y, x


CASES = (
    Case("fd", {}, "scipy", references.sqrtm),
    Case("fd", {}, "torch-fidelity", references.fidelity_fd),
    Case("fd", {}, "pytorch-fid", references.pytorch_fid_fd),
    Case("fd-inf", {"sides": "fake", "smallest": 0.5}, "arXiv 1911.07023 with pytorch-fid", references.one_sided),
    Case("kid", {}, "torch-fidelity", references.fidelity_kid),
    Case("cmmd", {}, "arXiv 2401.09603", references.cmmd_restated),
    Case("mind", {}, "arXiv 2605.06797", references.sliced_restated),
    Case("is", {}, "torch-fidelity", references.fidelity_is(1)),
    Case("is", {"splits": 10}, "torch-fidelity", references.fidelity_is(10)),
    Case("precision", {}, "torch-fidelity", references.fidelity_manifold("precision")),
    Case("recall", {}, "torch-fidelity", references.fidelity_manifold("recall")),
    *(Case(name, {"k": 5}, "prdc", references.prdc(name)) for name in ("precision", "recall", "density", "coverage")),
    Case("vendi", {}, "vendi-score", references.vendi_ratio),
    Case("vendi", {"relative": False}, "vendi-score", references.vendi_package(1)),
    Case("vendi", {"relative": False, "q": 2.0}, "vendi-score", references.vendi_package(2)),
    Case("vendi", {"relative": False, "q": "inf"}, "vendi-score", references.vendi_package("inf")),
    Case("stain", {}, "scipy", references.wasserstein),
    Case("fls", {}, "arXiv 2302.04440 with torch's Adam", references.fls_restated),
)
HARD_CASES = (
    Case("kid", {}, "arXiv 1801.01401 in 80-bit floats", references.kid_restated),
    Case("cmmd", {}, "arXiv 2401.09603", references.cmmd_restated),
    Case("mind", {}, "arXiv 2605.06797", references.sliced_restated),
    *(
        Case(name, {"k": k}, "its definition, difference by difference", references.plain_manifold(name, k))
        for name, k in (("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5))
    ),
    Case("vendi", {}, "vendi-score", references.vendi_ratio),
    Case("fls", {}, "arXiv 2302.04440 with torch's Adam", references.fls_restated),
)
"""What is compared on features that are hard for rounding, neighbours and factorisations. Other references decide ties by
rounding, or leave borders of balls out."""
PACKAGES = ("scipy", "torch-fidelity", "pytorch-fid", "prdc", "vendi-score")


def row(case: Case, real: Table, fake: Table, data: str) -> Row:
    """Both sides of one comparison. The columns of `stain` are the first twelve."""
    if case.metric == "stain":
        real, fake = real[:, :12], fake[:, :12]
    return Row(case, data, case.ours(real, fake), case.theirs(real, fake))


def page(rows: list[Row]) -> str:
    """The page as Markdown."""
    lines = [
        "# Parity",
        "",
        "Each metric and the implementation that papers used, or a second implementation of its paper's formula, on equal",
        "features in float64. The error is relative to the reference. Tests require every row to agree to 1e-6",
        "(`tests/metrics/test_parity.py`).",
        "",
        "Made by `python -m benchmarks.parity`, run from the checkout, on",
        f"{platform.machine()} with Python {platform.python_version()}, NumPy {version('numpy')}, SciPy {version('scipy')}, "
        f"torch {version('torch')}.",
        "",
        "| measure | reference | data | ours | reference value | relative error |",
        "|---|---|---|---|---|---|",
    ]
    for found in rows:
        reference = found.case.reference
        named = f"{reference} {version(reference)}" if reference in PACKAGES else reference
        numbers = f"{found.ours:.10g} | {found.theirs:.10g} | {found.error:.1e}"
        lines.append(f"| `{found.case.label}` | {named} | {found.data} | {numbers} |")
    return "\n".join([*lines, ""])


def rows() -> list[Row]:
    """Every case on random features, on real images if they are available, and some on features of difficult kinds."""
    sets = {f"random, {n} x {d}": clouds(n, d) for n, d in ((500, 64), (700, 256))}
    if (real := tissue()) is not None:
        sets[f"camelyon, texture, {PATCHES} x {real[0].shape[1]}"] = real
    easy = [row(case, *sides, data) for case in CASES for data, sides in sets.items()]
    return [*easy, *(row(case, *sides, data) for case in HARD_CASES for data, sides in hard_sets().items())]


if __name__ == "__main__":
    PAGE.write_text(page(rows()), encoding="utf-8")

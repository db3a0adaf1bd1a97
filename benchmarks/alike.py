"""What metrics say of a perfect generator, by simulation: the table of docs/alike.md.

    python -m benchmarks.alike [--trials 1000] [--write]

Real and generated patches are drawn from one distribution. A quarter of the variance is between slides.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.types import Strings
from metrics.mmd.kid import KernelDistance

Table = NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "docs" / "alike.md"
WIDTH = 8
SIZES = {
    "20 slides of 10": [10] * 20,
    "20 slides, sizes as 1/rank": [round(80 / (rank + 1)) for rank in range(20)],
    "one slide of 120 beside 16 of 5": [120, *[5] * 16],
}
NUMBERS = ((60, 400), (200, 400), (200, 120), (500, 300))
"""Generated and training patches."""


def draw(sizes: list[int], rng: np.random.Generator, slide: Table | None = None) -> Table:
    """Patches (n, d) of slides; `slide` is what the patches of each slide have in common, drawn where it is not given."""
    common = rng.normal(size=(len(sizes), WIDTH)) if slide is None else slide
    patches: Table = 0.5 * np.repeat(common, sizes, axis=0) + 0.75**0.5 * rng.normal(size=(sum(sizes), WIDTH))
    return patches


def names_of(sizes: list[int]) -> Strings:
    return np.repeat([f"slide{i:02}" for i in range(len(sizes))], sizes)


def kid_values(sizes: list[int], is_followed: bool, trials: int) -> tuple[list[float], list[float]]:
    """`kid` as records hold it and as published; generated patches share what is common to the slide, or have their own."""
    groups, ours, published = names_of(sizes), [], []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        common = rng.normal(size=(len(sizes), WIDTH))
        real, fake = draw(sizes, rng, common), draw(sizes, rng, common if is_followed else None)
        ours.append(float(KernelDistance().estimate(real, fake, groups, groups, rng).value))  # type: ignore[arg-type]
        published.append(KernelDistance().compare(real, fake, rng))  # type: ignore[arg-type]
    return ours, published


def fls_values(generated: int, trained: int, trials: int) -> list[float]:
    """`fls` of independent patches."""
    found = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        sides = [rng.normal(size=(n, WIDTH)) for n in (200, generated, trained)]
        found.append(float(registry.load("metrics", "fls").compare_trained(*sides, rng)))
    return found


def mean_of(values: list[float], digits: int) -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def page(trials: int) -> str:
    lines = [
        "# A perfect generator",
        "",
        f"Real and generated patches of one distribution, {WIDTH} features, a quarter of the variance between slides. Mean",
        f"and standard error of {trials} trials (`fls`: {trials // 5}). Made by `python -m benchmarks.alike --write`.",
        "",
        "| metric | setting | mean | published form |",
        "|---|---|---|---|",
    ]
    for name, sizes in SIZES.items():
        for is_followed in (False, True):
            ours, published = kid_values(sizes, is_followed, trials)
            how = "generated patches follow their slide" if is_followed else "generated slides of their own"
            lines.append(f"| `kid` | {name}, {how} | {mean_of(ours, 4)} | {mean_of(published, 4)} |")
    for generated, trained in NUMBERS:
        values = fls_values(generated, trained, trials // 5)
        lines.append(f"| `fls` | {generated} generated, {trained} training patches | {mean_of(values, 2)} | |")
    lines += [
        "",
        "`kid` of records leaves out pairs of one slide in all three terms. The published form counts all pairs: for a",
        "perfect generator it is above 0 where patches of one side and slide resemble each other, and below 0 where",
        "patches of both sides do. `fls` compares mixtures of equally many Gaussians.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alike")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="into docs/alike.md")
    words = parser.parse_args()
    text = page(words.trials)
    sys.stdout.write(text)
    if words.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Lines of made-up runs: generators that share the difficulty of their slides and have noise of their own."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.results.schema import ResultRecord

SLIDES, PATCHES = 40, 8
MEASURES = {"iou synthetic": "higher", "precision conv": "higher", "fd conv": "lower"}


def run(
    generator: str = "ldm", worse: float = 0.0, noise: str = "", seeds: int = 3, measures: dict[str, str] | None = None
) -> list[ResultRecord]:
    """Each measure once a seed, worse by so much than another run; `noise` names the run's own draws."""
    lines = []
    for measure, direction in (measures or MEASURES).items():
        hard = np.random.default_rng(zlib.crc32(measure.encode())).normal(0, 0.1, SLIDES).repeat(PATCHES)
        for seed in range(seeds):
            rng = np.random.default_rng(zlib.crc32(f"{measure} {noise or generator} {seed}".encode()))
            value = 0.5 + (worse if direction == "lower" else -worse) + hard + rng.normal(0, 0.02, len(hard))
            lines.append(line(generator, measure, direction, seed, value))
    return lines


def line(generator: str, measure: str, direction: str, seed: int, values: NDArray[np.float64]) -> ResultRecord:
    """A mean over patches with its values without each block of slides, as a run would write it."""
    by_slide = values.reshape(SLIDES, PATCHES).mean(axis=1)
    blocks = statistics.blocks_of([str(i) for i in range(SLIDES)])
    replicates = tuple(float(np.delete(by_slide, [int(i) for i in block]).mean()) for block in blocks)
    value, reach = float(by_slide.mean()), 2 * float(by_slide.std()) / SLIDES**0.5
    name, _, beside = measure.partition(" ")
    mix, encoder = (beside, "") if name == "iou" else ("", beside)
    return ResultRecord(
        generator,
        "phantom",
        "none",
        "seg",
        name,
        direction,
        f"p-{measure}",
        encoder=encoder,
        mix=mix,
        seed=seed,
        value=value,
        low=value - reach,
        high=value + reach,
        n=len(values),
        n_real=len(values),
        groups=SLIDES,
        replicates=replicates,
        described={"generator": {"name": generator, "options": {"steps": 12}}, "dataset": {"options": {"size": 64}}},
        stamp={"made": "2026-01-01T00:00:00+00:00", "histobench": "0.1.0"},
    )

"""What intervals cost, and what all distribution metrics cost at the size that papers have: two tables of docs/speed.md."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import registry
from bench.measurements.distributions import FeaturePair
from bench.types import FeatureMetric
from benchmarks.memory import peak_memory
from metrics.encoders.panel import HETEROTISSUE
from metrics.prdc import manifold

SLIDES, PER_SLIDE, WIDTH = 200, 50, 1024
CHEAP = ("kid", "cmmd", "mind", "precision", "recall", "density", "coverage")
"""Metrics whose interval may cost half of what the metric costs."""
TIMED = (*CHEAP, "fd", "fd-inf", "vendi")
ALL = (*TIMED, "fls")
"""The distribution metrics that read any encoder."""


@dataclass(frozen=True)
class Cost:
    """One metric at one size."""

    metric: str
    alone: float
    """Seconds of the value."""
    with_interval: float
    """Seconds of the value with its interval over slides."""

    @property
    def times(self) -> float:
        return self.with_interval / self.alone


def pair_of(name: str, slides: int, per_slide: int, width: int) -> FeaturePair:
    """Real, generated and training patches of an encoder, and a metric; a tenth of the variance is between slides."""
    rng = np.random.default_rng(0)
    spread = (np.arange(1, width + 1) ** -0.5).astype(np.float32)

    def side(shift: float) -> Any:
        slide = np.repeat(rng.standard_normal((slides, width), np.float32), per_slide, axis=0)
        patch = rng.standard_normal((slides * per_slide, width), np.float32)
        return (0.1**0.5 * slide + 0.9**0.5 * patch) * spread + np.float32(shift)

    groups = np.repeat([f"slide{i:04}" for i in range(slides)], per_slide)
    return FeaturePair(registry.load("metrics", name), side(0.5), side(0.51), side(0.5), groups, groups, 0)


def interval_costs(
    metrics: tuple[str, ...] = CHEAP, slides: int = SLIDES, per_slide: int = PER_SLIDE, width: int = WIDTH
) -> list[Cost]:
    """Each metric alone and with its interval, from nothing each time."""
    found = []
    for name in metrics:
        pair_of(name, 8, 4, 6).compare()  # libraries are loaded
        pair = pair_of(name, slides, per_slide, width)
        metric, generated = pair.metric, pair.generated
        assert isinstance(metric, FeatureMetric) and generated is not None
        alone = _seconds(lambda m=metric, p=pair, g=generated: m.compare(p.real, g, np.random.default_rng(0)))  # type: ignore[misc]
        found.append(Cost(name, alone, _seconds(pair.compare)))
    return found


def _seconds(work: Any) -> float:
    manifold._remembered.clear()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def panel_widths() -> list[tuple[str, int]]:
    """The eight encoders of the published table, with their numbers of features."""
    return [(name, int(registry.load("encoders", name).dim)) for name in HETEROTISSUE]


def encoder_cost(width: int, slides: int, per_slide: int) -> tuple[dict[str, float], float]:
    """Seconds of every metric with its interval on one encoder's features, and the highest memory of the process, in MiB."""
    manifold._remembered.clear()
    seconds = {}
    for name in ALL:
        pair_of(name, 12, 5, 6).compare()  # libraries are loaded
        pair = pair_of(name, slides, per_slide, width)
        start = time.perf_counter()
        pair.compare()
        seconds[name] = time.perf_counter() - start
    return seconds, peak_memory()


def costs_apart(width: int, slides: int, per_slide: int) -> tuple[dict[str, float], float]:
    """`encoder_cost` in a process of its own, so that its memory is its own."""
    line = f"from benchmarks.metric_costs import encoder_cost; print(encoder_cost({width}, {slides}, {per_slide}))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    seconds, memory = ast.literal_eval(done.stdout)
    return dict(seconds), float(memory)


def interval_table(costs: list[Cost]) -> str:
    lines = ["| metric | alone | with interval | times |", "|---|---|---|---|"]
    lines += [f"| `{cost.metric}` | {cost.alone:.3g} s | {cost.with_interval:.3g} s | {cost.times:.2f} |" for cost in costs]
    return "\n".join(lines)


def panel_table(slides: int = SLIDES, per_slide: int = PER_SLIDE) -> str:
    """The eight encoders; those of one width share a measurement."""
    widths = panel_widths()
    known = {width: costs_apart(width, slides, per_slide) for width in sorted({width for _, width in widths})}
    lines = [
        f"| encoder | features | {' | '.join(f'`{name}`' for name in ALL)} | all | peak memory |",
        "|---" * (len(ALL) + 4) + "|",
    ]
    total = 0.0
    for name, width in widths:
        seconds, memory = known[width]
        total += sum(seconds.values())
        row = " | ".join(f"{seconds[metric]:.3g} s" for metric in ALL)
        lines.append(f"| `{name}` | {width} | {row} | {sum(seconds.values()) / 60:.1f} min | {memory:.0f} MiB |")
    return "\n".join([*lines, "", f"All eight: {total / 60:.0f} minutes, one process, one after the other."])

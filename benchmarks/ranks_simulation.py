"""How often does the interval of a mean rank hold the true mean rank? A simulation of tables of distances.

A distance is a mean over patches: the generator's true distance in the encoder, what the slide adds for all generators, what
it adds for this generator, and noise of patch and seed. Encoders see the slides each in its own way, or all in the same way.
The tables are those of `leaderboards.tables.build`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.results.schema import ResultRecord
from benchmarks.study import seeded
from leaderboards.tables import build

Floats = NDArray[np.float64]
SEEDS = 2
SLIDE, OWN, NOISE = 0.3, 0.15, 0.02
"""Standard deviations: a slide's part in all generators, in one of them, and that of a seed."""
GAPS = {"clear": 0.2, "close": 0.03, "equal": 0.0}
"""Between the true distances of neighbours. Over 40 slides the standard error of a distance is about 0.05, and that of a
paired difference 0.03."""


@dataclass(frozen=True)
class Setting:
    """How many generators, encoders and slides a table has."""

    generators: int
    encoders: int
    slides: int
    gaps: Literal["clear", "close", "equal"]
    shared: bool
    """Whether all encoders see the slides in the same way, so that their errors are the same."""
    trials: int


@dataclass(frozen=True)
class Finding:
    """Of all places of all tables."""

    places: int
    held: int
    """Places whose interval holds the true mean rank."""
    inside: int
    """Places whose interval holds the rank that is shown."""
    width: float
    """Mean width of the intervals, in ranks."""


def settings() -> Iterator[Setting]:
    """Everything the page shows."""
    for generators, slides, trials in ((4, 12, 400), (4, 40, 60), (8, 40, 20)):
        for gaps in GAPS:
            for shared in (False, True):
                yield Setting(generators, 3, slides, gaps, shared, trials)  # type: ignore[arg-type]


def simulate(setting: Setting) -> Finding:
    """All trials of a setting."""
    rng = seeded(setting)
    places = held = inside = 0
    width = 0.0
    for _ in range(setting.trials):
        truth, records = draw(setting, rng)
        (board,) = build.boards(records)
        assert board.agreed is not None
        for place in board.agreed.places:
            assert place.low is not None and place.high is not None
            places += 1
            held += place.low - 1e-9 <= truth[int(place.generator[1:])] <= place.high + 1e-9
            inside += place.low - 1e-9 <= place.rank <= place.high + 1e-9
            width += place.high - place.low
    return Finding(places, int(held), int(inside), float(width / places))


def draw(setting: Setting, rng: np.random.Generator) -> tuple[Floats, list[ResultRecord]]:
    """True mean ranks float64 (generators,), and the records of a table."""
    from scipy.stats import rankdata

    order = np.arange(setting.generators)
    truth = 1 + GAPS[setting.gaps] * np.stack([order, order, rng.permutation(order)][: setting.encoders], axis=1)
    ranks = np.asarray(rankdata(truth, axis=0).mean(axis=1))
    seen = 1 if setting.shared else setting.encoders
    hard = rng.normal(0, SLIDE, (1, seen, 1, setting.slides)) + rng.normal(
        0, OWN, (setting.generators, seen, 1, setting.slides)
    )
    noise = rng.normal(0, NOISE, (setting.generators, seen, SEEDS, 1))
    values = truth[:, :, None, None] + hard + noise
    return ranks, [
        _record(setting, generator, encoder, seed, values[generator, encoder, seed])
        for generator, encoder, seed in np.ndindex(setting.generators, setting.encoders, SEEDS)
    ]


def _record(setting: Setting, generator: int, encoder: int, seed: int, by_slide: Floats) -> ResultRecord:
    blocks = statistics.blocks_of([str(i) for i in range(setting.slides)])
    replicates = tuple(float(np.delete(by_slide, [int(i) for i in block]).mean()) for block in blocks)
    value = float(by_slide.mean())
    shares = np.array([len(block) / setting.slides for block in blocks])
    _, error = statistics.jackknife(value, np.array(replicates), shares)
    reach = statistics.student(len(blocks) - 1) * error
    return ResultRecord(
        f"g{generator}",
        "simulated",
        "none",
        "ranks",
        "fd",
        "lower",
        f"p{encoder}",
        encoder=f"e{encoder}",
        seed=seed,
        value=value,
        low=value - reach,
        high=value + reach,
        n=setting.slides,
        groups=setting.slides,
        replicates=replicates,
    )

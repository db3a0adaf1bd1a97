"""A table of answers of simulated readers, in the words that a study has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pandas import DataFrame

from benchmarks.reader_studies_simulation import Setting, draw

ASKED = {"called": "synthetic", "scored": "overall", "flagged": "hallucination"}


def simulate_answers(
    readers: int = 3,
    slides: int = 20,
    ability: float = 1.0,
    spread: float = 0.4,
    repeats: int = 0,
    seed: int = 0,
    arm: str = "crop-paste",
) -> DataFrame:
    """One real and one generated image of each slide, the latter in `arm`, read by all. The first `repeats` images are read
    twice, alike."""
    rows = list(_rows(Setting(readers, slides, 1, ability, spread, 1), seed, ("real", arm)))
    images = list(dict.fromkeys(row["image"] for row in rows))[:repeats]
    rows += [{**row, "repeat": 1} for row in rows if row["image"] in images]
    return DataFrame(rows)


def _rows(setting: Setting, seed: int, arms: tuple[str, ...]) -> Iterator[dict[str, object]]:
    _, _, answers = draw(setting, np.random.default_rng(seed))
    for kind, question in ASKED.items():
        codes = answers[kind][..., 0]
        if kind == "flagged":  # nothing in real images is called a hallucination
            codes = np.concatenate([np.zeros_like(codes), codes], axis=2)
        for reader, slide, arm in np.ndindex(codes.shape):
            value = float(codes[reader, slide, arm]) + (kind == "scored")
            image = f"{arms[arm]}-{slide}"
            held = {
                "reader": f"r{reader}",
                "item": image,
                "image": image,
                "arm": arms[arm],
                "slide": f"s{slide}",
                "class": "a",
            }
            yield {**held, "question": question, "value": value, "repeat": 0, "seconds": 4.0, "regions": []}

"""A small study of noise patches with maps, made without a run, and answers as its page would export them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Conditions, ImageSet
from leaderboards.studies import preparing, questionnaires, schema
from leaderboards.studies.preparing import StudyConfig
from leaderboards.studies.schema import REAL, Key, Study
from leaderboards.studies.sources import Candidates, label_patches

SIZE, SLIDES, PER_SLIDE = 32, 6, 6
ARMS = (REAL, "ldm-hidden", "paste-hidden")


def candidates(seed: int = 0, size: int = SIZE) -> list[Candidates]:
    """Real patches of noise, and two generated sets of other contrast: flat ones, and ones between."""
    rng = np.random.default_rng(seed)
    count = SLIDES * PER_SLIDE
    ids = np.asarray([f"slide{i // PER_SLIDE}/patch{i}" for i in range(count)])
    groups = np.asarray([name.partition("/")[0] for name in ids.tolist()])
    masks = np.zeros((count, size, size), np.uint8)
    masks[::3] = 1
    masks[:, : size // 4] = 1 - masks[:, : size // 4]
    conditions = Conditions(ids, groups, ("stroma", "tumour"), size, 0.5, masks=masks)
    found = []
    for arm, contrast in zip(ARMS, (255, 0, 60), strict=True):
        images = (rng.random((count, size, size, 3)) * contrast).astype(np.uint8)
        patches = ImageSet(f"key-{arm}", images, conditions)
        seed_of = None if arm == REAL else 0
        found.append(Candidates(arm, "" if arm == REAL else arm, seed_of, patches, groups, label_patches(conditions)))
    return found


@dataclass(frozen=True)
class Made:
    """A study and its key."""

    folder: Path
    key_file: Path
    study: Study
    key: Key

    def page(self, reader: int = 1) -> Path:
        return self.folder / "pages" / f"reader-{reader}.html"


def make(root: Path, arms: list[Candidates] | None = None, **fields: Any) -> Made:
    """Writes a study: 3 arms of 4 images, 4 repeats, 2 practice images, 3 readers."""
    usual = {"readers": 3, "images_per_arm": 4, "repeats": 4, "practice": 2, "seed": 5}
    form = questionnaires.load(fields.pop("questions", "quality"))
    config = StudyConfig("small", form, root / "s", root / "k", **{**usual, **fields})
    study = preparing.write_study(config, candidates() if arms is None else arms, embedded=True)
    return Made(root / "s", root / "k" / "key.json", study, schema.read_key(root / "k" / "key.json"))


Value = Callable[[schema.Image, schema.Question], int]


def answer_file(made: Made, file: Path, reader: int = 1, name: str = "", value: Value = lambda image, question: 1) -> Path:
    """The file of a reader who answers by a rule."""
    images = {one.image: one for one in made.key.images}
    page = f"reader-{reader}"
    answers = [
        {
            "item": one.item,
            "values": {each.id: value(images[one.image], each) for each in made.study.questionnaire.questions},
            "regions": [{"x": 1, "y": 2, "width": 3, "height": 4}],
            "milliseconds": 1500,
        }
        for one in made.key.orders[page]
    ]
    held: dict[str, Any] = {
        "format": schema.ANSWERS_FORMAT,
        "study": made.study.id,
        "commitment": made.study.commitment,
        "page": page,
        "reader": name or f"Dr {reader}",
        "started": "2026-01-01T00:00:00Z",
        "exported": "2026-01-01T01:00:00Z",
        "answers": answers,
    }
    write_signed(file, held)
    return file


def write_signed(file: Path, held: dict[str, Any]) -> None:
    """The file with the digest that belongs to its content."""
    file.write_text(json.dumps({**held, "digest": schema.digest_without(held, "digest")}, indent=1), encoding="utf-8")

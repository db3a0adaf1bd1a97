"""Answers of a study as counts: how often each reader gave each answer, by slide and arm.

Everything that is estimated from answers is a function of such counts, so that leaving out a slide or a reader is a
subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Floats = NDArray[np.float64]
NEEDED = ("reader", "image", "arm", "slide", "question", "value")
"""Columns without which nothing can be estimated."""
REAL = "real"
"""The arm of real images."""
GENERATED = "generated"
YES_NO = ("no", "yes")
LARGEST = 100
"""Values of a scale."""


class Kind(StrEnum):
    """What the answers to a question are."""

    REAL = "real"
    """Real or generated."""
    GRADED = "graded"
    """Whole numbers: how sure the reader is that the image is generated."""
    SCALE = "scale"
    """Whole numbers that score an image."""
    YES_NO = "yes-no"


WORDS: dict[Kind, dict[str, str]] = {
    Kind.YES_NO: {"no": "no", "yes": "yes", "0": "no", "1": "yes"},
    Kind.REAL: {
        **{REAL: REAL, "0": REAL, "1": GENERATED},
        **{GENERATED: GENERATED, "synthetic": GENERATED, "fake": GENERATED},
    },
}
"""Kind -> answer in a table -> its name here."""


@dataclass(frozen=True)
class Question:
    """One question of a study."""

    name: str
    kind: Kind
    values: tuple[str, ...]
    """Possible answers in their order: real, generated; no, yes; or whole numbers."""
    direction: str = "none"
    """`higher` or `lower` where one of them is better, else `none`."""
    regions: bool = False
    """Whether readers marked where."""


@dataclass(frozen=True)
class Counts:
    """Answers to one question. The first reading of each image counts; repeats are for agreement within readers."""

    question: Question
    readers: tuple[str, ...]
    slides: tuple[str, ...]
    arms: tuple[str, ...]
    counts: Floats
    """(readers, slides, arms, answers): numbers of images."""
    images: dict[str, int]
    """Arm -> images that at least one reader answered."""

    def of_arms(self, *names: str) -> Counts:
        """The counts of some arms in this order, without slides that have images of none of them."""
        kept = self.counts[:, :, [self.arms.index(name) for name in names]]
        used = kept.any(axis=(0, 2, 3))
        slides = tuple(np.array(self.slides, object)[used])
        return replace(self, arms=names, slides=slides, counts=kept[:, used], images={n: self.images[n] for n in names})

    def with_pool(self, name: str, arms: tuple[str, ...]) -> Counts:
        """The counts with one more arm, the images of several together."""
        pooled = self.counts[:, :, [self.arms.index(arm) for arm in arms]].sum(axis=2, keepdims=True)
        images = {**self.images, name: sum(self.images[arm] for arm in arms)}
        return replace(self, arms=(*self.arms, name), counts=np.concatenate([self.counts, pooled], axis=2), images=images)

    @property
    def are_slides_known(self) -> bool:
        """Whether the answers tell which images are of one slide."""
        return any(self.slides)

    @property
    def slide_sizes(self) -> Floats:
        """(slides,): images of each slide, by the reader who answered most."""
        return np.asarray(self.counts.sum(axis=(2, 3)).max(axis=0), dtype=np.float64)


def check_answers(frame: DataFrame) -> DataFrame:
    """The table with texts where texts are expected and `repeat` as 0 or 1. Raises UsageError on a table that lacks columns,
    has an image in two arms, or two answers of one reader to one question about one image and reading."""
    if absent := [name for name in NEEDED if name not in frame.columns]:
        known = ", ".join(map(str, frame.columns))
        raise UsageError(
            f"the table of answers lacks the column {', '.join(absent)}; it has {known}. Write it: bench study unblind STUDY"
        )
    kept = frame.copy()
    if "repeat" not in kept.columns:
        kept["repeat"] = 0
    kept["slide"] = kept["slide"].fillna("")
    kept = kept[kept["value"].notna() & (kept["value"].astype(str) != "")]
    if not len(kept):
        raise UsageError("the table of answers has no answer.")
    for name in ("reader", "image", "arm", "slide", "question", "value"):
        kept[name] = kept[name].map(_as_text)
    kept["repeat"] = kept["repeat"].map(_as_text)
    if wrong := sorted(set(kept["repeat"]) - {"0", "1", ""}):
        raise UsageError(f"repeat is 0 or 1, not {wrong[0]!r}.")
    kept["repeat"] = (kept["repeat"] == "1").astype(int)
    arms = kept.groupby("image")[["arm", "slide"]].nunique()
    if len(twice := arms[(arms > 1).any(axis=1)]):
        raise UsageError(f"the image {twice.index[0]} is in two arms or of two slides: every image has one of each.")
    place = ["reader", "image", "question", "repeat"]
    if len(double := kept[kept.duplicated(place)]):
        row = double.iloc[0]
        raise UsageError(
            f"{row['reader']} has two answers to {row['question']} about {row['image']}. Remove one, or mark it with repeat 1."
        )
    return kept


def _as_text(value: object) -> str:
    """Whole numbers that a file has as floats are written as whole numbers."""
    text = str(value)
    return text.removesuffix(".0") if text.removesuffix(".0").removeprefix("-").isdigit() else text


def infer_questions(frame: DataFrame, kinds: Mapping[str, Kind] | None = None) -> list[Question]:
    """The questions of a checked table, by their answers: real or generated, yes or no (or 0 and 1), or whole numbers.

    `kinds` states the kind of some questions. Raises UsageError on answers of no such kind, and where there is no such
    question.
    """
    stated = kinds or {}
    names = list(dict.fromkeys(frame["question"]))
    if unknown := sorted(set(stated) - set(names)):
        raise UsageError(f"no question {unknown[0]!r}.{did_you_mean(unknown[0], names)} There are: {', '.join(names)}.")
    found = [_infer(name, set(frame.loc[frame["question"] == name, "value"]), stated.get(name)) for name in names]
    if "regions" not in frame.columns:
        return found
    marked = set(frame.loc[~frame["regions"].astype(str).isin(["", "[]"]), "question"])
    return [replace(question, regions=question.name in marked) for question in found]


def _infer(name: str, values: set[str], stated: Kind | None) -> Question:
    shown = ", ".join(sorted(values)[:4])
    kind = stated or next((kind for kind, words in WORDS.items() if values <= set(words)), None)
    if kind in WORDS:
        if not values <= set(WORDS[kind]):
            raise UsageError(f"the answers to {name} are {shown}, not those of a question {kind}: {', '.join(WORDS[kind])}.")
        ends = (REAL, GENERATED) if kind is Kind.REAL else YES_NO
        return Question(name, kind, ends, "lower" if "hallucination" in name else "none")
    if not all(value.removeprefix("-").isdigit() for value in values):
        raise UsageError(f"the answers to {name} are {shown}: known are real or generated, yes or no, and whole numbers.")
    least, most = min(1, *map(int, values)), max(map(int, values))
    if most - least >= LARGEST:
        raise UsageError(
            f"the answers to {name} reach from {least} to {most}: scales of at most {LARGEST} values are analysed."
        )
    scale = tuple(map(str, range(least, most + 1)))
    return Question(name, kind or Kind.SCALE, scale, "none" if kind is Kind.GRADED else "higher")


def rename_answers(values: Series, question: Question) -> Series:
    """The answers as the question has them. Raises UsageError if one is none of the question's."""
    named = values.replace(dict(WORDS.get(question.kind, {})))
    if wrong := sorted(set(named) - set(question.values)):
        raise UsageError(f"the answer {wrong[0]} to {question.name} is none of {', '.join(question.values)}.")
    return named


def tabulate(frame: DataFrame, question: Question) -> Counts:
    """The counts of one question from a checked table. Raises UsageError if an answer is none of the question's."""
    rows = frame[(frame["question"] == question.name) & (frame["repeat"] == 0)]
    values = rename_answers(rows["value"], question)
    readers, slides = (tuple(sorted(set(rows[name]))) for name in ("reader", "slide"))
    arms = tuple(sorted(set(rows["arm"]), key=lambda arm: (arm != REAL, arm)))
    counts = np.zeros((len(readers), len(slides), len(arms), len(question.values)))
    codes = [_codes(rows["reader"], readers), _codes(rows["slide"], slides), _codes(rows["arm"], arms)]
    np.add.at(counts, (*codes, _codes(values, question.values)), 1)
    images = rows.groupby("arm")["image"].nunique()
    return Counts(question, readers, slides, arms, counts, {arm: int(images[arm]) for arm in arms})


def _codes(column: object, names: tuple[str, ...]) -> NDArray[np.int64]:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[value] for value in column], dtype=np.int64)  # type: ignore[attr-defined]

"""The analysis of a study: every number of its answers, from the table that `bench study unblind` writes.

Each arm of generated images is compared with the real one. Means over readers have intervals for other readers and other
slides (`intervals`); where there is one reader, intervals are about this reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import UsageError
from leaderboards.studies.analysis import agreement, conduct, measures
from leaderboards.studies.analysis.intervals import LEVEL, Measure, ReaderEstimate, estimate, replicate
from leaderboards.studies.analysis.ordinal import odds_ratio
from leaderboards.studies.analysis.rows import NO_SLIDES, Row, decide, finite, map_values, rows_of
from leaderboards.studies.analysis.tabulation import (
    REAL,
    Counts,
    Kind,
    Question,
    check_answers,
    infer_questions,
    rename_answers,
    tabulate,
)

if TYPE_CHECKING:
    from pandas import DataFrame

POOLED = "all generated"
"""The arm of all generated images, where several generators are in a study."""
CHANCE = 0.5


@dataclass(frozen=True)
class Margins:
    """Differences that are taken as no difference; None for those that nobody stated."""

    score: float | None = None
    """Points of a scale, around 0."""
    accuracy: float | None = None
    """Shares, around 0.5."""


@dataclass(frozen=True)
class Analysis:
    """What a study shows."""

    questions: tuple[Question, ...]
    rows: tuple[Row, ...]
    readers: tuple[str, ...]
    arms: tuple[str, ...]
    """The real one first."""
    level: float
    margins: Margins
    counts: tuple[Counts, ...]
    """Of each question."""

    def of(self, question: str, measure: str, arm: str = "", reader: str = "") -> Row | None:
        """The row of a number over all slides, if there is one."""
        wanted = (question, measure, arm, reader, "")
        return next((row for row in self.rows if (row.question, row.measure, row.arm, row.reader, row.slide) == wanted), None)


def analyse(
    answers: DataFrame,
    questions: Sequence[Question] = (),
    margins: Margins = Margins(),
    level: float = LEVEL,
    kinds: Mapping[str, Kind] | None = None,
    size: int | None = None,
) -> Analysis:
    """Every number of a table of answers as `answers.read_answers` makes it. Without questions they are inferred from the
    answers, those in `kinds` having the kind stated there. `size`: side of the images in pixels, without which marked regions
    have no area.

    Raises UsageError on a table that cannot be analysed: missing columns, fewer than two arms, no arm of real images.
    """
    if not 0.5 < level < 1:
        raise UsageError(f"the level of intervals lies between 0.5 and 1, not {level:g}. The usual one is 0.95.")
    for name, margin in (("score", margins.score), ("accuracy", margins.accuracy)):
        if margin is not None and not margin > 0:
            raise UsageError(f"the margin of {name} is above 0, not {margin:g}: the largest difference that does not matter.")
    frame = check_answers(answers)
    arms = tuple(sorted(set(frame["arm"]), key=lambda arm: (arm != REAL, arm)))
    if len(arms) < 2:
        raise UsageError(f"the answers are about one arm, {arms[0]}: a comparison needs two. Join the answers of all arms.")
    if REAL not in arms:
        raise UsageError(f"the answers have no arm {REAL!r} to compare with; they have {', '.join(arms)}.")
    asked = tuple(questions) or tuple(infer_questions(frame, kinds))
    rows: list[Row] = []
    tables = []
    for question in asked:
        counts = tabulate(frame, question)
        if counts.images.keys() == {REAL} or REAL not in counts.images:
            raise UsageError(
                f"{question.name} was answered for {', '.join(counts.arms)} only: a comparison needs real and generated."
            )
        tables.append(counts)
        rows += _of_question(counts, margins, level)
        rows += _agreement(frame, question, level)
        rows += conduct.regions(frame, question, counts.arms, size, level)
        rows += _by_slide(counts)
    rows += conduct.seconds(frame, arms, level)
    return Analysis(asked, tuple(rows), tuple(sorted(set(frame["reader"]))), arms, level, margins, tuple(tables))


def replicates_of(found: Analysis, row: Row) -> tuple[float, ...]:
    """Of a number of one arm, or of one and the real one, as `intervals.replicate` makes them. Arms of a study have the same
    slides and readers here, so that their numbers can be compared in pairs."""
    counts = next(counts for counts in found.counts if counts.question.name == row.question)
    arms = [counts.arms.index(arm) for arm in ((REAL, row.arm) if row.against else (row.arm,))]
    scored = partial(measures.mean_score, scores=_scores(counts.question))
    measure = {"accuracy": measures.accuracy, "d'": measures.d_prime, "AUC": measures.superiority}.get(row.measure, scored)
    return replicate(counts.counts[:, :, arms], measure)


def _of_question(counts: Counts, margins: Margins, level: float) -> Iterator[Row]:
    question = counts.question
    generated = counts.arms[1:]
    if len(generated) > 1:
        counts = counts.with_pool(POOLED, generated)
        generated = (*generated, POOLED)
    scores = _scores(question)
    if question.kind in (Kind.SCALE, Kind.YES_NO):
        ends = (float(scores[0]), float(scores[-1]))
        name = "mean" if question.kind is Kind.SCALE else "rate"
        for arm in counts.arms:
            yield from _estimated(counts.of_arms(arm), name, "", partial(measures.mean_score, scores=scores), level, *ends)
    for arm in generated:
        pair = counts.of_arms(REAL, arm)
        if question.kind is Kind.REAL:
            yield from _estimated(pair, "accuracy", REAL, measures.accuracy, level, 0.0, 1.0, CHANCE, margins.accuracy)
            yield from _estimated(pair, "accuracy of all images", REAL, measures.plain_accuracy, level, 0.0, 1.0)
            yield from _estimated(pair, "d'", REAL, measures.d_prime, level)
        elif question.kind is Kind.GRADED:
            yield from _estimated(pair, "AUC", REAL, measures.superiority, level, 0.0, 1.0, CHANCE, margins.accuracy)
        else:
            yield from _compared(pair, scores, margins, level)


def _scores(question: Question) -> measures.Floats:
    if question.kind in (Kind.SCALE, Kind.GRADED):
        return np.array(question.values, dtype=np.float64)
    return np.arange(len(question.values), dtype=np.float64)


def _compared(pair: Counts, scores: measures.Floats, margins: Margins, level: float) -> Iterator[Row]:
    is_scale = pair.question.kind is Kind.SCALE
    difference = partial(measures.mean_difference, scores=scores)
    margin = margins.score if is_scale else None
    yield from _estimated(pair, "difference", REAL, difference, level, center=0.0, margin=margin)
    if not is_scale:
        return
    found = list(_estimated(pair, "superiority", REAL, measures.superiority, level, 0.0, 1.0))
    yield from found
    yield from (_as_delta(row) for row in found)
    odds = odds_ratio(pair.counts, pair.slide_sizes, level)
    like = _like(pair, "odds ratio", REAL)
    low, high = odds.bounds or (None, None)
    one = len(pair.readers) == 1
    yield Row(
        **{
            **vars(like),
            "value": finite(odds.value),
            "low": None if one else low,
            "high": None if one else high,
            "low_these": low if one else None,
            "high_these": high if one else None,
            "reason": odds.reason if pair.are_slides_known or not odds.value else NO_SLIDES,
        }
    )


def _as_delta(row: Row) -> Row:
    """Cliff's delta, P(higher) - P(lower), is twice the superiority less 1."""
    made = map_values(row, lambda share: 2 * share - 1, None if row.detectable is None else 2 * row.detectable)
    return replace(made, measure="Cliff's delta")


def _like(counts: Counts, measure: str, against: str) -> Row:
    arm = counts.arms[-1]
    images = sum(counts.images.values())
    name = counts.question.name
    return Row(name, measure, arm, against, images=images, slides=len(counts.slides), readers=len(counts.readers))


def _estimated(
    counts: Counts,
    name: str,
    against: str,
    measure: Measure,
    level: float,
    least: float = -np.inf,
    most: float = np.inf,
    center: float = 0.0,
    margin: float | None = None,
) -> list[Row]:
    like = _like(counts, name, against)
    if not counts.are_slides_known:
        value = float(measure(counts.counts.sum(axis=1)).mean())
        return rows_of(ReaderEstimate(value, reason=NO_SLIDES), like)
    found = estimate(counts.counts, counts.slide_sizes, counts.readers, measure, level, least, most)
    verdict = ""
    if margin is not None:
        # two one-sided tests at 1 - level each
        tested = estimate(counts.counts, counts.slide_sizes, counts.readers, measure, 2 * level - 1, least, most)
        verdict = decide(tested.bounds or tested.these, center, margin)
    return rows_of(found, like, verdict)


def _agreement(frame: DataFrame, question: Question, level: float) -> Iterator[Row]:
    ordinal = question.kind in (Kind.SCALE, Kind.GRADED)
    answers = len(question.values)
    own = frame[frame["question"] == question.name]
    place = {value: code for code, value in enumerate(question.values)}
    own = own.assign(code=rename_answers(own["value"], question).map(place))
    first = own[own["repeat"] == 0]
    wide = first.pivot(index=["image", "slide"], columns="reader", values="code").fillna(agreement.MISSING).astype(int)
    slides = np.array(wide.index.get_level_values("slide"), dtype=str)
    between = agreement.agreement_between(wide.to_numpy(), slides, answers, ordinal, level)
    is_known = bool((slides != "").any())
    yield from (_agreement_row(question, found, "", wide.shape, is_known) for found in between)
    repeated = own[own["repeat"] == 1]
    if not len(repeated):
        yield Row(
            question.name,
            "within a reader",
            reason="no image was shown twice: agreement of a reader with himself needs repeats",
        )
        return
    for reader, again in repeated.groupby("reader"):
        both = first[first["reader"] == reader].merge(again, on="image", suffixes=("", "_again"))
        codes = both[["code", "code_again"]].to_numpy()
        names = np.array(both["slide"], dtype=str)
        within = agreement.agreement_between(codes, names, answers, ordinal, level)
        for found in within:
            yield _agreement_row(question, found, str(reader), codes.shape, is_known, "within a reader: ")


def _agreement_row(
    question: Question, found: agreement.Agreement, reader: str, shape: tuple[int, ...], is_known: bool, kind: str = ""
) -> Row:
    value = finite(found.value)
    return Row(
        question.name,
        f"{kind}{found.name}",
        reader=reader,
        value=value,
        low=found.low,
        high=found.high,
        images=shape[0],
        readers=1 if reader else shape[1],
        reason=found.reason if is_known or value is None else NO_SLIDES,
    )


def _by_slide(counts: Counts) -> Iterator[Row]:
    """The mean answer of each slide and arm: the share called generated, the mean score, the share of yes."""
    scores = _scores(counts.question)
    sums = counts.counts.sum(axis=0)
    for s, slide in enumerate(counts.slides):
        for a, arm in enumerate(counts.arms):
            given = float(sums[s, a].sum())
            if given and slide:
                mean = float(sums[s, a] @ scores) / given
                images = round(float(counts.counts[:, s, a].sum(axis=-1).max()))
                yield Row(counts.question.name, "mean by slide", arm, slide=slide, value=mean, images=images, slides=1)

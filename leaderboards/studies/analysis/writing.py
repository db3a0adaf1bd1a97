"""The analysis as tables and as a paragraph that a paper can quote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from bench.messages import printable
from leaderboards.studies.analysis.analysis import POOLED, Analysis
from leaderboards.studies.analysis.conduct import READING
from leaderboards.studies.analysis.rows import Row
from leaderboards.studies.analysis.tabulation import REAL, Kind, Question
from leaderboards.tables import formats
from leaderboards.tables.sheets import Sheet

SHARES = ("accuracy", "accuracy of all images", "rate", "marked area", "overlap of regions", "overlap by chance")
HEADS = ["question", "number", "arm", "against", "value", "other readers and slides", "these readers, other slides"]
BY_SLIDE = "By slide"


def as_json(found: Analysis) -> str:
    """Everything as one JSON object."""
    return json.dumps(
        {
            "level": found.level,
            "margins": asdict(found.margins),
            "readers": found.readers,
            "arms": found.arms,
            "questions": [asdict(question) for question in found.questions],
            "rows": [asdict(row) for row in found.rows],
            "paragraph": paragraph(found),
        },
        allow_nan=False,
    )


def as_csv(rows: Iterable[Row]) -> str:
    """One line for each number, empty where there is none."""
    return formats.as_csv([Sheet("", [], [], [asdict(row) for row in rows])]) + "\n"


def as_markdown(found: Analysis, with_slides: bool = True) -> str:
    """The paragraph and the tables; that of all slides is long."""
    intro = (
        f"Intervals of {100 * found.level:g} %. “These readers” says nothing about other readers. The interval for other "
        "readers is estimated by itself, and can come out a little narrower. Intervals are not adjusted for their number."
    )
    shown_sheets = [sheet for sheet in sheets(found) if len(sheet.rows) > 1 and (with_slides or sheet.title != BY_SLIDE)]
    return "\n\n".join(["# Reader study", paragraph(found), intro, *map(formats.as_markdown, shown_sheets)]) + "\n"


def sheets(found: Analysis) -> list[Sheet]:
    """Every table, its first row the header."""
    whole = [row for row in found.rows if not row.reader and not row.slide]
    within = [row for row in found.rows if row.measure.startswith("within") and row.reader]
    reasons = list(dict.fromkeys(f"{row.question}, {row.measure}: {row.reason}." for row in whole if row.reason and row.arm))
    power = ["question", "number", "arm", "smallest difference seen with a power of 0.8", "against the margin"]
    return [
        Sheet("Numbers by arm", [HEADS, *(_number(row) for row in whole if row.arm)], reasons, []),
        Sheet(
            "What this study could have shown",
            [power, *(_power(row) for row in whole if row.detectable is not None)],
            [],
            [],
        ),
        Sheet(
            "Agreement",
            [
                ["question", "agreement", "reader", "value", "interval", "images"],
                *(_agreement(row) for row in (*(row for row in whole if not row.arm), *within)),
            ],
            ["Intervals are about these readers and other slides."],
            [],
        ),
        Sheet(
            "By reader",
            [
                ["question", "number", "arm", "reader", "value", "other slides"],
                *([r.question, r.measure, r.arm, r.reader, _value(r), _interval(r)] for r in found.rows if r.reader and r.arm),
            ],
            [],
            [],
        ),
        Sheet(
            BY_SLIDE,
            [
                ["question", "slide", "arm", "mean of all answers", "images"],
                *([r.question, r.slide, r.arm, shown(r.value, r.measure), str(r.images)] for r in found.rows if r.slide),
            ],
            [],
            [],
        ),
    ]


def _number(row: Row) -> list[str]:
    these = _bounds(row.low_these, row.high_these, row.measure)
    return [row.question, row.measure, row.arm, row.against or "–", _value(row), _interval(row), these]


def _power(row: Row) -> list[str]:
    return [row.question, row.measure, row.arm, shown(row.detectable, row.measure), row.verdict or "none stated"]


def _agreement(row: Row) -> list[str]:
    who = row.reader or ("–" if row.measure.startswith("within") else "all")
    return [row.question, row.measure, who, _value(row), _interval(row), str(row.images or "–")]


def paragraph(found: Analysis) -> str:
    """What was asked of whom about what, and what came out: sentences for a paper."""
    images: dict[str, int] = {}
    for counts in found.counts:
        for arm, count in counts.images.items():
            images[arm] = max(images.get(arm, 0), count)
    slides = len({slide for counts in found.counts for slide in counts.slides if slide})
    readers = len(found.readers)
    who = "One reader" if readers == 1 else f"{readers} readers"
    shown_images = ", ".join(f"{images[arm]} of {arm}" for arm in found.arms)
    of_slides = f" from {slides} slides" if slides else ", whose slides are not known"
    sentences = [
        f"{who} answered for {sum(images.values())} images ({shown_images}){of_slides}, without being shown which was which."
    ]
    for question in found.questions:
        sentences += _sentences(found, question)
    sentences += _conduct(found)
    if readers == 1:
        sentences.append(
            "With one reader nothing is known about others: all intervals are about this reader and other slides."
        )
    elif readers < 4:
        sentences.append(
            f"With {readers} readers intervals about other readers are wide; those about these readers are stated beside."
        )
    return printable(" ".join(sentences))


def _sentences(found: Analysis, question: Question) -> Iterable[str]:
    answered = {row.arm for row in found.rows if row.question == question.name}
    for arm in (*found.arms[1:], POOLED):
        if arm not in answered:
            continue
        if row := found.of(question.name, "accuracy", arm):
            prime = found.of(question.name, "d'", arm)
            beside = "" if prime is None else f" (d-prime {_with_interval(prime)})"
            about = _about(row, "chance (0.5)", 0.5, found.margins.accuracy)
            right = f"{_with_interval(row)}{beside}; {about}"
            yield f"They distinguished {arm} from {REAL} images with a balanced accuracy of {right}."
        elif row := found.of(question.name, "AUC", arm):
            about = _about(row, "chance (0.5)", 0.5, found.margins.accuracy)
            yield f"By {question.name} the area under the ROC curve was {_with_interval(row)} for {arm}; {about}."
        elif row := found.of(question.name, "difference", arm):
            unit = "points" if question.kind is Kind.SCALE else "in the share of yes"
            about = _about(row, "a difference of 0", 0.0, found.margins.score if question.kind is Kind.SCALE else None)
            yield f"{question.name}: {arm} differed from {REAL} by {_with_interval(row, '+.2f')} {unit}; {about}."
    alpha = found.of(question.name, "alpha ordinal") or found.of(question.name, "alpha nominal")
    if alpha is not None and alpha.value is not None:
        kind = alpha.measure.replace("alpha", "Krippendorff's alpha,")
        yield f"Agreement between readers on {question.name} was {alpha.value:.2f} ({kind})."


def _conduct(found: Analysis) -> Iterable[str]:
    """Marked regions and time."""
    for question in found.questions:
        rows = [(arm, found.of(question.name, "regions per image", arm)) for arm in found.arms]
        marked = [f"{_with_interval(row)} for {arm}" for arm, row in rows if row is not None and row.value is not None]
        if marked:
            yield f"The regions that they marked for {question.name} were, per image, {', '.join(marked)}."
        if (row := found.of(question.name, "overlap of regions")) and row.value is not None:
            yield f"Of the area that at least one of two readers marked, both marked a share of {_with_interval(row)}."
    rows = [(arm, found.of(READING, "seconds", arm)) for arm in found.arms]
    taken = [f"{_with_interval(row, '.1f')} for {arm}" for arm, row in rows if row is not None and row.value is not None]
    if taken:
        yield f"The time with an image was, in seconds (geometric means), {', '.join(taken)}."


def _about(row: Row, center: str, null: float, margin: float | None) -> str:
    low, high = bounds_of(row)
    if low is None or high is None:
        return f"there is no interval ({row.reason})"
    words = f"{center} lies {'within' if low <= null <= high else 'outside'} this interval"
    if row.detectable is not None:
        words += f", and a difference of {row.detectable:.2f} would have been seen with a power of 0.8"
    if margin is not None:
        shows = {"equivalent": "equivalence within", "different": "a difference beyond", "inconclusive": "nothing about"}
        words += f"; the study shows {shows[row.verdict]} the stated margin of {margin:g}"
    return words


def bounds_of(row: Row) -> tuple[float | None, float | None]:
    """The interval for all readers, or that for these readers where there is one reader."""
    return (row.low, row.high) if row.low is not None else (row.low_these, row.high_these)


def _with_interval(row: Row, style: str = ".2f") -> str:
    low, high = bounds_of(row)
    if row.value is None:
        return f"undefined ({row.reason})"
    return format(row.value, style) + ("" if low is None or high is None else f" [{low:{style}}, {high:{style}}]")


def _value(row: Row) -> str:
    return row.reason or "–" if row.value is None else shown(row.value, row.measure)


def _interval(row: Row) -> str:
    return _bounds(row.low, row.high, row.measure)


def _bounds(low: float | None, high: float | None, measure: str) -> str:
    return "–" if low is None or high is None else f"{shown(low, measure)} to {shown(high, measure)}"


def shown(value: float | None, measure: str) -> str:
    """A number as tables print it: shares in percent, everything else with two decimals."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if measure in SHARES else f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"

"""Answers of readers: checked against the study and its key, and joined with the key to one long table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import MissingError, NotComparableError, UsageError
from bench.files import json_files
from bench.files.regular import read_text
from bench.messages import listed_names
from leaderboards.studies import schema
from leaderboards.studies.schema import Answer, Answers, Key, Question, Study

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("reader", "item", "image", "arm", "slide", "class", "question", "value", "repeat", "seconds", "regions")
"""Of the long table, which has one row for each answer to each question."""


def read_answers(study: Path, files: Sequence[Path], key: Path) -> DataFrame:
    """The long table of a study: one row for each reader, position and question, practice left out.

    Columns: `reader` (name), `item` (position), `image`, `arm`, `slide` (sampling unit), `class`, `question` (id), `value`
    (float: ordered and yes/no answers as numbers), `repeat` (int: 1 for the second showing of an image), `seconds` (float:
    time with the image, the same for all questions), `regions` (list of {x, y, width, height} in pixels; empty but for the
    question that asks for them). Rows are in the order of the files and, in each, of the page.

    Raises DamagedError for files that were edited, NotComparableError for those of another study or key, UsageError for two of
    one reader, and MissingError for answers that are missing.
    """
    from pandas import DataFrame

    asked, held = schema.read_study(study), schema.read_key(key)
    if held.commitment() != asked.commitment:
        raise NotComparableError(
            f"{key} is not the key that {study} was registered with: its digest is {held.commitment()[:12]}..., and the study "
            f"carries {asked.commitment[:12]}.... It was edited, or is of another study."
        )
    if not files:
        raise UsageError("no answer files: give those that readers exported, one for each reader.")
    found = [(file, schema.read_answers_file(file)) for file in files]
    for file, answers in found:
        _check_study(file, answers, asked, held)
    _refuse_twice(found)
    for file, answers in found:
        _check_complete(file, answers, asked, held)
    rows = [row for _, answers in found for row in _rows(answers, asked, held)]
    return DataFrame(rows, columns=list(COLUMNS))


def _check_study(file: Path, answers: Answers, study: Study, key: Key) -> None:
    if answers.study != study.id:
        raise NotComparableError(f"{file} is of the study {answers.study}, and this is {study.name} ({study.id}).")
    if answers.commitment != study.commitment:
        raise NotComparableError(
            f"{file} carries another commitment than the study: the page that it is from was made for another key."
        )
    if answers.page not in key.orders:
        raise NotComparableError(f"{file} is from the page {answers.page}; the study has {', '.join(key.orders)}.")


def _refuse_twice(found: Iterable[tuple[Path, Answers]]) -> None:
    seen: dict[str, Path] = {}
    for file, answers in found:
        for name, what in ((answers.reader.strip().casefold(), "reader"), (f"\0{answers.page}", "page")):
            if (other := seen.setdefault(name, file)) is not file:
                shown = answers.reader if what == "reader" else answers.page
                raise UsageError(
                    f"{other} and {file} are both of the {what} {shown!r}. Readers need names and pages of their own: "
                    "give one file of each."
                )


def _check_complete(file: Path, answers: Answers, study: Study, key: Key) -> None:
    """Every position is answered once, with values that the questions allow."""
    order = key.orders[answers.page]
    given = Counter(answer.item for answer in answers.answers)
    if twice := [item for item, count in given.items() if count > 1]:
        raise UsageError(f"{file} answers {listed_names(twice)} twice.")
    if unknown := sorted(set(given) - {one.item for one in order}):
        raise NotComparableError(
            f"{file} has answers about {listed_names(unknown)}, which the page {answers.page} does not show."
        )
    if missing := [one.item for one in order if one.item not in given]:
        raise MissingError(
            f"{file} lacks {len(missing)} of {len(order)} images of the page {answers.page}. The reader opens the page again, "
            "which continues at the first of them, and exports anew."
        )
    for answer in answers.answers:
        for question in study.questionnaire.questions:
            _check_value(file, answer, question)
        if extra := sorted(set(answer.values) - {question.id for question in study.questionnaire.questions}):
            raise NotComparableError(f"{file} has answers to {listed_names(extra)}, which the study does not ask.")
        if any(box.x + box.width > study.design.size or box.y + box.height > study.design.size for box in answer.regions):
            raise UsageError(f"{file} marks a region outside the image {answer.item}.")


def _check_value(file: Path, answer: Answer, question: Question) -> None:
    if question.id not in answer.values:
        raise MissingError(f"{file} has no answer to {question.id} about {answer.item}.")
    if answer.values[question.id] not in question.values:
        raise UsageError(
            f"{file} answers {question.id} about {answer.item} with {answer.values[question.id]}; the values are "
            f"{question.values[0]} to {question.values[-1]}."
        )


def _rows(answers: Answers, study: Study, key: Key) -> Iterator[dict[str, Any]]:
    images = {one.image: one for one in key.images}
    given = {answer.item: answer for answer in answers.answers}
    for position in key.orders[answers.page]:
        if position.practice:
            continue
        image, answer = images[position.image], given[position.item]
        for question in study.questionnaire.questions:
            yield {
                "reader": answers.reader,
                "item": position.item,
                "image": image.image,
                "arm": image.arm,
                "slide": image.slide,
                "class": image.label,
                "question": question.id,
                "value": float(answer.values[question.id]),
                "repeat": int(position.repeat),
                "seconds": answer.milliseconds / 1000,
                "regions": [box.model_dump() for box in answer.regions] if question.regions else [],
            }


def table_text(table: DataFrame) -> str:
    """The table as JSON lines, one object a row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_dict("records"))


def read_table(file: Path) -> DataFrame:
    """The long table that `bench study unblind` wrote. Raises MissingError without one, and DamagedError if it is none."""
    from pandas import DataFrame

    from bench.errors import DamagedError

    lines = [line for line in read_text(file, "table of answers").splitlines() if line]
    rows = [json_files.parse(line.encode(), f"{file}, line {number}") for number, line in enumerate(lines, 1)]
    if not rows or any(not isinstance(row, dict) or set(row) != set(COLUMNS) for row in rows):
        raise DamagedError(f"{file} is no table of answers: its lines have the fields {', '.join(COLUMNS)}.")
    return DataFrame(rows, columns=list(COLUMNS))

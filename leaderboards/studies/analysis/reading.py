"""What is analysed: the table of answers, and the questions and arms that the study registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError, MissingError
from bench.files.regular import is_folder, is_there, open_regular
from leaderboards.studies import answers, schema
from leaderboards.studies.analysis.tabulation import GENERATED, REAL, YES_NO, Kind, Question

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE = "unblinded.jsonl"
"""What `bench study unblind` writes into the folder of a study."""


@dataclass(frozen=True)
class Material:
    """Answers with what is known of their study."""

    table: DataFrame
    questions: tuple[Question, ...] = ()
    """Empty where no study.json is beside the table: then they are inferred from the answers."""
    study: str = ""
    """Id of the study."""
    generators: Mapping[str, str] = field(default_factory=dict)
    """Arm -> generator plug-in."""
    size: int | None = None
    """Side of the images in pixels."""
    samples: Mapping[str, str] = field(default_factory=dict)
    """Arm -> key of the generated set that its images are of."""


def read_material(place: Path) -> Material:
    """From the folder of a study that was unblinded, or from a table (.jsonl or .csv), with the study.json beside it if there
    is one. Raises MissingError where there is no table, DamagedError where a file is none."""
    path = place / TABLE if is_folder(place) else place
    if not is_there(path):
        hint = "Give the table that bench study unblind wrote, or the folder of a study with it."
        raise MissingError(f"no table of answers {path}. {hint}")
    table = _read_csv(path) if path.suffix == ".csv" else answers.read_table(path)
    if not is_there(path.parent / schema.STUDY):
        return Material(table)
    study = schema.read_study(path.parent)
    questions = tuple(map(_question, study.questionnaire.questions))
    generated = [arm for arm in study.arms if arm.generator]
    samples = {arm.name: arm.samples for arm in generated}
    generators = {arm.name: arm.generator for arm in generated}
    return Material(table, questions, study.id, generators, study.design.size, samples)


def _question(asked: schema.Question) -> Question:
    if asked.kind == "yes-no":
        if asked.discriminates:
            return Question(asked.id, Kind.REAL, (REAL, GENERATED), asked.direction)
        return Question(asked.id, Kind.YES_NO, YES_NO, asked.direction, asked.regions)
    kind = Kind.GRADED if asked.discriminates else Kind.SCALE
    return Question(asked.id, kind, tuple(map(str, asked.values)), asked.direction)


def _read_csv(path: Path) -> DataFrame:
    import pandas
    from pandas.errors import EmptyDataError, ParserError

    try:
        with open_regular(path, "table of answers") as file:
            return pandas.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except (ParserError, UnicodeDecodeError, EmptyDataError) as error:
        raise DamagedError(f"{path} is no table of answers: {error}.") from error

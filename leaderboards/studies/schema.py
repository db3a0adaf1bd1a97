"""The files of a study: study.json, key.json and answer files, as pydantic models, with their digests.

Digests are SHA-256 of canonical JSON: names in order, no blanks, UTF-8, whole numbers only where the page writes them, so that
Python and the page's script get the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import DamagedError
from bench.files import json_files

STUDY, KEY, PAGES = "study.json", "key.json", "pages"
STUDY_FORMAT, KEY_FORMAT, ANSWERS_FORMAT = "histobench-study-1", "histobench-study-key-1", "histobench-answers-1"
REAL = "real"
"""Name of the arm of real patches."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Model(BaseModel):
    """A part of a file: unknown fields are refused, values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Question(Model):
    """One question about one image."""

    id: Word
    text: Text
    kind: Literal["ordered", "yes-no"]
    labels: dict[Annotated[str, Field(pattern=r"^[0-9]$")], Text]
    """Value -> its label, in ascending order: consecutive values for ordered questions, 0 and 1 for yes/no questions."""
    direction: Literal["higher", "lower", "none"] = "none"
    """Which values are better."""
    discriminates: bool = False
    """Whether the answer says if the image was generated: 1 that it was and 0 that it is real, or, of an ordered question, how
    sure the reader is that it was."""
    regions: bool = False
    """Whether a reader who answers 1 marks where."""

    @property
    def values(self) -> tuple[int, ...]:
        """The allowed values, ascending."""
        return tuple(map(int, self.labels))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "yes-no" and self.values != (0, 1):
            raise ValueError(f"the yes/no question {self.id} has the values {list(self.labels)}, not 0 and 1")
        if len(self.values) < 2 or self.values != tuple(range(self.values[0], self.values[0] + len(self.values))):
            raise ValueError(f"the values of {self.id} are {list(self.labels)}: give consecutive ones, in ascending order")
        if self.regions and (self.kind != "yes-no" or self.discriminates):
            raise ValueError(f"{self.id} has regions: only yes/no questions about the image have them")
        return self


class Questionnaire(Model):
    """The questions that every image gets."""

    name: Word
    title: Text
    source: Text
    """Where the questions are from, and what is not known of them."""
    introduction: Text
    """What the reader reads first."""
    shows_condition: bool = False
    """Whether the outlines and types of nuclei, or the borders of the class map, that the image was generated for are shown
    over it. Real patches show their annotation."""
    questions: Annotated[tuple[Question, ...], Field(min_length=1, max_length=20, strict=False)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [question.id for question in self.questions]
        if len(set(names)) < len(names):
            raise ValueError(f"two questions have one id: {', '.join(names)}")
        if sum(question.discriminates for question in self.questions) > 1:
            raise ValueError("more than one question discriminates real from generated images")
        if sum(question.regions for question in self.questions) > 1:
            raise ValueError("regions are marked for one question at most")
        return self


class Arm(Model):
    """What one part of the images is of."""

    name: Text
    generator: str
    """Plug-in with its argument; empty for real patches."""
    seed: int | None
    """Run seed of the generated set; None where there is none."""
    samples: str
    """Key of the generated set, or of the real patches, in the store."""
    images: int
    """Scored images, the same number in every arm."""


class Design(Model):
    """Size and rule of a study."""

    rule: Text
    conditions: Literal["separate", "shared"]
    images_per_arm: int
    repeats: int
    practice: int
    readers: int
    size: int
    """Side of the images in pixels."""
    mpp: float | None
    """Microns per pixel; None where it is unknown."""


class Study(Model):
    """study.json: what is registered before anybody reads. It names the arms, and no image."""

    format: Literal["histobench-study-1"]
    id: Identifier
    """The first 16 letters of the digest over all other fields but `pages`."""
    name: Text
    made: str
    commitment: Digest
    questionnaire: Questionnaire
    arms: Annotated[tuple[Arm, ...], Field(strict=False)]
    design: Design
    power: dict[str, Any]
    """What the study could show, with the assumptions: see `power.py`."""
    embedded: bool
    """Whether the real patches are procedural."""
    pages: dict[str, Digest]
    """Reader -> sha256 of the page."""


class Image(Model):
    """One image of the study, and what it is."""

    image: Identifier
    arm: Text
    condition: str
    """Id of the condition that it is of."""
    slide: str
    """Sampling unit: slide, patient or laboratory. Empty where the data do not tell: then the study has no intervals."""
    label: str
    """Class of the patch, by the rule of the study."""


class Position(Model):
    """One position in a reader's page."""

    item: Identifier
    image: Identifier
    repeat: Literal[0, 1]
    """1 for the second showing of an image."""
    practice: bool


class Key(Model):
    """key.json: which image is where. Its salted digest, the commitment, is in the study, every page and every answer file."""

    format: Literal["histobench-study-key-1"]
    name: Text
    salt: Digest
    """32 random bytes in hexadecimal: without them the commitment cannot be guessed from the few possible keys."""
    seed: int
    """The seed that images and orders were drawn with."""
    images: Annotated[tuple[Image, ...], Field(strict=False)]
    orders: dict[str, Annotated[tuple[Position, ...], Field(strict=False)]]
    """Reader -> positions in the order of the page."""

    def commitment(self) -> str:
        """SHA-256 of the salt and the canonical JSON of everything else."""
        held = self.model_dump(mode="json")
        salt = held.pop("salt")
        return hashlib.sha256(salt.encode() + canonical(held)).hexdigest()


class Region(Model):
    """A box that a reader marked, in pixels of the image."""

    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Answer(Model):
    """All answers about one position."""

    item: Identifier
    values: dict[Word, int]
    regions: Annotated[tuple[Region, ...], Field(strict=False)]
    milliseconds: Annotated[int, Field(ge=0)]
    """Time with the image on the screen and the window in front."""


class Answers(Model):
    """An answer file, as the page exports it."""

    format: Literal["histobench-answers-1"]
    study: Identifier
    commitment: Digest
    page: Annotated[str, Field(pattern=r"^reader-[0-9]+$")]
    """The reader's page."""
    reader: Annotated[str, Field(min_length=1, max_length=80)]
    """What the reader called himself or herself."""
    started: str
    exported: str
    answers: Annotated[tuple[Answer, ...], Field(strict=False)]
    digest: Digest
    """SHA-256 of the canonical JSON of all other fields. It shows accidents and casual edits. Whoever edits a file on purpose
    can compute it again."""


def canonical(held: object) -> bytes:
    """JSON with names in order and without blanks, as the page's script writes it."""
    return json.dumps(held, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_without(held: dict[str, Any], *names: str) -> str:
    """SHA-256 of the canonical JSON of an object without some of its fields."""
    return hashlib.sha256(canonical({name: value for name, value in held.items() if name not in names})).hexdigest()


def study_id(held: dict[str, Any]) -> str:
    """The id that belongs to the content of study.json."""
    return digest_without(held, "id", "pages")[:16]


def read_study(folder: Path) -> Study:
    """The study of a folder. Raises MissingError without one, and DamagedError if it was edited."""
    file = folder / STUDY
    held = json_files.read_object(file, "study")
    study = parse(held, Study, file)
    if study_id(held) != study.id:
        raise DamagedError(
            f"{file} was edited after the study was made: its id is {study.id} and its content has another one."
        )
    return study


def read_key(file: Path) -> Key:
    """The key. Whether it is that of a study is to be seen from `commitment`."""
    return parse(json_files.read_object(file, "key"), Key, file)


def read_answers_file(file: Path) -> Answers:
    """An answer file. Raises DamagedError if it is none, or if its content does not have its digest."""
    held = json_files.read_object(file, "answer file")
    answers = parse(held, Answers, file)
    if digest_without(held, "digest") != answers.digest:
        raise DamagedError(
            f"{file} was edited after the page exported it: its content does not have the digest that it carries. Ask the "
            "reader for the file as it was exported."
        )
    return answers


M = TypeVar("M", bound=Model)


def parse(held: dict[str, Any], kind: type[M], where: object) -> M:
    """The object as a model. Raises DamagedError, with file and place."""
    try:
        return kind.model_validate(held)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DamagedError(f"{where} is no {kind.__name__.lower()} file that is read: {place}: {first['msg']}.") from error

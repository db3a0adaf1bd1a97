"""Questionnaires: the shipped ones, which are those of two papers, and files of users."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from bench.errors import MissingError, UsageError, did_you_mean
from bench.files import typed_toml
from leaderboards.studies.schema import Questionnaire

FORMS = Path(str(resources.files("leaderboards.studies") / "forms"))


def shipped() -> list[str]:
    """Names of the questionnaires in the package."""
    return sorted(file.stem for file in FORMS.glob("*.toml"))


def load(asked: str) -> Questionnaire:
    """A shipped questionnaire by name, or a TOML file. Raises MissingError if there is none, and UsageError, with the place,
    if its content does not fit."""
    from pydantic import ValidationError

    if asked not in shipped() and not asked.endswith(".toml"):
        raise MissingError(
            f"no questionnaire {asked!r}.{did_you_mean(asked, shipped())} The shipped ones are {', '.join(shipped())}; a file "
            "of your own ends in .toml."
        )
    file = FORMS / f"{asked}.toml" if asked in shipped() else Path(asked)
    try:
        return Questionnaire.model_validate(typed_toml.load(file, "questionnaire"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{file}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}.") from error

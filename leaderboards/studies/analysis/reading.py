"""The table of answers from a file, or from the folder of a study that was unblinded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError, MissingError, UsageError
from bench.files.regular import is_folder, is_there, open_regular

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE = "answers.csv"
"""What `bench study unblind` writes into the folder of a study."""


def read_table(place: Path) -> DataFrame:
    """The table of answers of a CSV file, or of `answers.csv` in a folder, all columns as texts. Raises MissingError where
    there is none, UsageError where the file is no table."""
    import pandas
    from pandas.errors import ParserError

    path = place / TABLE if is_folder(place) else place
    if not is_there(path):
        hint = f"Write it: bench study unblind {place}" if path != place else "Give the table that bench study unblind writes."
        raise MissingError(f"no table of answers {path}. {hint}")
    try:
        with open_regular(path, "table of answers") as file:
            frame = pandas.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except (ParserError, UnicodeDecodeError, pandas.errors.EmptyDataError) as error:
        raise DamagedError(f"{path} is no table of answers: {error}.") from error
    if "repeat" in frame.columns:
        if wrong := sorted(set(frame["repeat"]) - {"0", "1", ""}):
            raise UsageError(f"{path}: repeat is 0 or 1, not {wrong[0]!r}.")
        frame["repeat"] = frame["repeat"].replace("", "0").astype(int)
    return frame

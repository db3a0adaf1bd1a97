"""The results of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import api
from bench.results import tables
from bench.results.schema import ResultRecord
from bench.results.tables import Table
from bench.results.terms import Status

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Results:
    """Result records of one evaluation, which are also in the files of `folder`."""

    records: tuple[ResultRecord, ...]
    tables: tuple[Table, ...]
    folder: Path
    faults: tuple[str, ...] = ()
    """What could not be written beside the records, and why."""

    def frame(self) -> pandas.DataFrame:
        """A row for each record: see `bench.load_results`."""
        from bench.results import frames

        return frames.load_results(self.folder)

    def table(self) -> str:
        """The table that `bench run` prints."""
        return tables.plain(self.tables)

    def report(self, out: str | PathLike[str], **options: Any) -> Path:
        """Writes a page with the results into `out`, a new folder or an older report, as `bench report`; the page's path.

        `options`: `title`, `patches` and `encoder`, as there.
        """
        found: Path = api.load("report")(self.folder, out, **options)
        return found

    def value(self, measure: str, encoder: str = "", generator: str = "", mix: str = "") -> float:
        """The mean over seeds of one measure; of the requested generator unless another, e.g. a control, is named.

        KeyError where no record, or no number, is of that name.
        """
        wanted = generator or self.records[0].generator
        names = (
            {"measure": measure, "generator": wanted}
            | ({"encoder": encoder} if encoder else {})
            | ({"mix": mix} if mix else {})
        )
        found = [record for record in self.records if all(getattr(record, name) == value for name, value in names.items())]
        if len(kinds := {(record.encoder, record.mix) for record in found}) > 1:
            raise KeyError(f"{measure} of {wanted} is there for several encoders or mixes: {sorted(kinds)}. Name one.")
        numbers = [record.value for record in found if record.status == Status.OK and record.value is not None]
        if not numbers:
            raise KeyError(f"no number {measure} of {wanted}: {found[0].reason if found else 'no such record'}")
        return sum(numbers) / len(numbers)

    @property
    def errors(self) -> list[str]:
        """`measure encoder: reason` of each number that failed."""
        failed = [record for record in self.records if record.status == Status.ERROR]
        return [
            f"{' '.join(filter(None, (record.measure, record.encoder, record.mix)))}: {record.reason}" for record in failed
        ]

    def __repr__(self) -> str:
        counts = Counter(str(record.status) for record in self.records)
        first: Sequence[ResultRecord] = self.records[:1]
        what = "".join(f" of {record.generator} on {record.task} ({record.dataset})" for record in first)
        return f"<Results{what}: {', '.join(f'{count} {status}' for status, count in counts.items())}; {self.folder}>"

"""A simulation of many settings: each is kept as one line as soon as it is known, so that an interrupted one goes on.

A kept line holds the digest of the code that made it. Lines of other code are never shown: `run` makes them again.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from bench.errors import BenchError, MissingError, NotComparableError, UsageError
from bench.files.text import write_text
from benchmarks.source_digest import source_digest

DOCS = Path(__file__).parents[1] / "docs"


class Repeated(Protocol):
    """A setting: a frozen dataclass that says how often it is simulated."""

    @property
    def trials(self) -> int: ...


S = TypeVar("S", bound=Repeated)
F = TypeVar("F")


@dataclass(frozen=True)
class Study(Generic[S, F]):
    """What is simulated, where it is kept, and the page that shows it. Settings and findings are frozen dataclasses."""

    module: str
    """Run as `python -m MODULE run|page|check`."""
    kept: Path
    """A .jsonl file."""
    setting: type[S]
    finding: type[F]
    settings: Callable[[], Iterable[S]]
    simulate: Callable[[S], F]
    summarise: Callable[[F], str]
    """A finding in a few words."""
    page: str
    """Name of a file in docs/ with a mark for each table."""
    tables: Callable[[Mapping[S, F]], dict[str, str]]
    """Mark -> table."""
    picture: Callable[[Mapping[S, F], Path], None] | None = None
    """Draws beside the page in a folder."""

    @cached_property
    def digest(self) -> str:
        """Of the code that the findings depend on."""
        return source_digest(self.simulate, self.setting)

    def held(self) -> dict[S, F]:
        """What was simulated before; raises NotComparableError where any of it was by other code than today's."""
        lines = self._lines()
        stale = sum(not self._is_current(line) for line in lines)
        if stale:
            raise NotComparableError(
                f"{self.kept.name}: {stale} of {len(lines)} results were made by other statistics code than this "
                f"({self.digest}), and are not shown. Make them again: python -m {self.module} run"
            )
        return {self.setting(**line["setting"]): self.finding(**line["finding"]) for line in lines}

    def run(self, wanted: Sequence[S]) -> None:
        """Simulates the settings that are not kept yet, and those that other code made, whose lines go."""
        lines = self._lines()
        if stale := [line for line in lines if not self._is_current(line)]:
            sys.stderr.write(f"{self.kept.name}: {len(stale)} of {len(lines)} results are of other code and go\n")
            write_text(self.kept, "".join(json.dumps(line) + "\n" for line in lines if self._is_current(line)))
        known = self.held()
        for setting in wanted:
            if setting in known:
                continue
            gc.freeze()  # statsmodels collects garbage at each adjustment: what is imported need not be searched each time
            finding = self.simulate(setting)
            line = {"code": self.digest, "setting": _plain(setting), "finding": _plain(finding)}
            with self.kept.open("a") as out:
                out.write(json.dumps(line, allow_nan=False) + "\n")
            sys.stderr.write(f"{_words(setting)}: {self.summarise(finding)}\n")

    def write(self, wanted: Sequence[S], docs: Path) -> None:
        """Writes the page into a folder, from the page as it stands in docs/ and what is kept of the settings."""
        shown = self._shown(wanted)
        write_text(docs / self.page, self._filled(shown))
        if self.picture:
            self.picture(shown, docs)

    def check(self, wanted: Sequence[S], docs: Path) -> None:
        """Raises NotComparableError or MissingError unless the page in a folder shows what today's code gives."""
        if self._filled(self._shown(wanted)) != (docs / self.page).read_text():
            raise NotComparableError(
                f"{self.page} does not show what {self.kept.name} holds. Write it again: python -m {self.module} page"
            )

    def _shown(self, wanted: Sequence[S]) -> dict[S, F]:
        known = self.held()
        if missing := sum(setting not in known for setting in wanted):
            raise MissingError(
                f"{self.kept.name} lacks {missing} of {len(wanted)} settings. Simulate them: python -m {self.module} run"
            )
        return {setting: known[setting] for setting in wanted}

    def _filled(self, shown: Mapping[S, F]) -> str:
        made = f"Made by the statistics code `{self.digest}`."
        return fill((DOCS / self.page).read_text(), {**self.tables(shown), "code": made})

    def main(self) -> None:
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}")
        parser.add_argument("what", choices=("run", "page", "check"))
        parser.add_argument("--only", default="", help="settings whose words contain this, e.g. '\"slides\": 40'")
        parser.add_argument("--trials", type=int, help="trials of each setting, in place of its own number")
        parser.add_argument("--kept", type=Path, default=self.kept, help="file of results")
        parser.add_argument("--docs", type=Path, default=DOCS, help="folder that the page is written into, or checked in")
        asked = parser.parse_args()
        study = replace(self, kept=asked.kept)
        try:
            wanted = self._wanted(asked.only, asked.trials)
            if asked.what == "run":
                study.run(wanted)
            elif asked.what == "page":
                study.write(wanted, asked.docs)
            else:
                study.check(wanted, asked.docs)
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(error.exit_code) from error

    def _wanted(self, only: str, trials: int | None) -> list[S]:
        found = [setting for setting in self.settings() if only in _words(setting)]
        if not found:
            raise UsageError(f"--only {only!r}: no setting's words contain it. One is: {_words(next(iter(self.settings())))}")
        return found if trials is None else [replace(setting, trials=trials) for setting in found]  # type: ignore[type-var]

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.kept.read_text().splitlines()] if self.kept.exists() else []

    def _is_current(self, line: dict[str, Any]) -> bool:
        return line.get("code") == self.digest


def fill(text: str, tables: Mapping[str, str]) -> str:
    """A page with each table between its mark and the next end."""
    for name, made in tables.items():
        mark, end = f"<!-- table: {name} -->", "<!-- end -->"
        before, found, rest = text.partition(mark)
        if not found or end not in rest:
            raise MissingError(f"the page has no place for the table {name}: put {mark} and {end} where it belongs.")
        text = f"{before}{mark}\n{made}\n{end}{rest.partition(end)[2]}"
    return text


def seeded(setting: Any) -> np.random.Generator:
    """Seeded by a checksum of the setting's words, so that settings can be run one by one."""
    return np.random.default_rng(zlib.crc32(_words(setting).encode()))


def _words(setting: Any) -> str:
    return json.dumps(_plain(setting))


def _plain(held: Any) -> dict[str, Any]:
    return asdict(held)

"""A simulation of many settings. Each result is written as one line when it is computed, so that an interrupted run continues.

A line has the digest of the code that made it. Lines of other code are never shown: `run` computes them again.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
    """A setting: a frozen dataclass with its number of trials."""

    @property
    def trials(self) -> int: ...


S = TypeVar("S", bound=Repeated)
F = TypeVar("F")


@dataclass(frozen=True)
class Study(Generic[S, F]):
    """A simulation, its file of results, and its page. Settings and findings are frozen dataclasses."""

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
        """The stored results. Raises NotComparableError if one of them was made by other code than the present."""
        lines = self._lines()
        stale = sum(not self._is_current(line) for line in lines)
        if stale:
            raise NotComparableError(
                f"{self.kept.name}: {stale} of {len(lines)} results were made by other statistics code than this "
                f"({self.digest}), and are not shown. Make them again: python -m {self.module} run"
            )
        return {self.setting(**line["setting"]): self.finding(**line["finding"]) for line in lines}

    def run(self, wanted: Sequence[S], workers: int = 1) -> None:
        """Simulates the settings without results; results of other code are removed first. `workers` processes take one
        at a time."""
        lines = self._lines()
        if stale := [line for line in lines if not self._is_current(line)]:
            sys.stderr.write(f"{self.kept.name}: {len(stale)} of {len(lines)} results are of other code and are removed\n")
            write_text(self.kept, "".join(json.dumps(line) + "\n" for line in lines if self._is_current(line)))
        known = self.held()
        missing = [setting for setting in wanted if setting not in known]
        for setting, finding in self._simulated(missing, workers):
            line = {"code": self.digest, "setting": _plain(setting), "finding": _plain(finding)}
            with self.kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line, allow_nan=False) + "\n")
            sys.stderr.write(f"{_words(setting)}: {self.summarise(finding)}\n")

    def _simulated(self, wanted: Sequence[S], workers: int) -> Iterator[tuple[S, F]]:
        if workers == 1:
            yield from ((setting, _simulate(self.simulate, setting)) for setting in wanted)
            return
        with ProcessPoolExecutor(workers) as pool:
            futures = {pool.submit(_simulate, self.simulate, setting): setting for setting in wanted}
            for done in as_completed(futures):
                yield futures[done], done.result()

    def write(self, wanted: Sequence[S], docs: Path) -> None:
        """Writes the page into a folder, from the page in docs/ and the stored results."""
        shown = self._shown(wanted)
        write_text(docs / self.page, self._filled(shown))
        if self.picture:
            self.picture(shown, docs)

    def check(self, wanted: Sequence[S], docs: Path) -> None:
        """Raises NotComparableError or MissingError unless the page in a folder shows the results of the present code."""
        if self._filled(self._shown(wanted)) != (docs / self.page).read_text(encoding="utf-8"):
            raise NotComparableError(
                f"{self.page} does not show the results in {self.kept.name}. Write it again: python -m {self.module} page"
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
        return fill((DOCS / self.page).read_text(encoding="utf-8"), {**self.tables(shown), "code": made})

    def main(self) -> None:
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}")
        parser.add_argument("what", choices=("run", "page", "check"))
        parser.add_argument("--only", default="", help="settings whose words contain this, e.g. '\"slides\": 40'")
        parser.add_argument("--trials", type=int, help="trials of each setting, in place of its own number")
        parser.add_argument("--kept", type=Path, default=self.kept, help="file of results")
        parser.add_argument("--docs", type=Path, default=DOCS, help="folder that the page is written into, or checked in")
        parser.add_argument("--workers", type=int, default=1, help="processes that simulate, one setting at a time each")
        asked = parser.parse_args()
        study = replace(self, kept=asked.kept)
        try:
            wanted = self._wanted(asked.only, asked.trials)
            if asked.what == "run":
                study.run(wanted, asked.workers)
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
        return [json.loads(text) for text in self.kept.read_text(encoding="utf-8").splitlines()] if self.kept.exists() else []

    def _is_current(self, line: dict[str, Any]) -> bool:
        return line.get("code") == self.digest


def fill(text: str, tables: Mapping[str, str]) -> str:
    """The page with each table placed between its mark and the next end mark."""
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


def _simulate(simulate: Callable[[S], F], setting: S) -> F:
    gc.freeze()  # statsmodels collects garbage at each adjustment: imported objects need not be searched each time
    return simulate(setting)

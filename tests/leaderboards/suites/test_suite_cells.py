"""How the cells of a suite are run, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from bench.config import RunConfig
from bench.errors import MissingError
from bench.jobs.executors import Listener, Serial, Session
from bench.jobs.graph import Job
from bench.jobs.outcomes import Outcome
from bench.jobs.progress import SilentReporter
from bench.jobs.store import EntryRef, Store
from bench.results.schema import ResultRecord
from bench.run import RunContext
from leaderboards.cli.leaderboard import leaderboard
from leaderboards.suites import suite
from tests import small_run

FATES = """
import numpy as np
from bench.errors import GatedError, NotComparableError
from bench.types import Card


class Good:
    card = Card("good", "1", "grey patches")
    error: Exception | None = None

    def generate(self, conditions, seeds):
        if self.error is not None:
            raise self.error
        return np.full((len(conditions), conditions.size, conditions.size, 3), 128, np.uint8)


class Bad(Good):
    card = Card("bad", "1", "fails when it generates")
    error = ValueError("what")


class Unprepared(Good):
    error = None

    def __init__(self):
        if type(self).error is not None:
            raise type(self).error


class Broken(Unprepared):
    card = Card("broken", "1", "fails when it is built")
    error = ValueError("what")


class Gated(Unprepared):
    card = Card("gated", "1", "has weights that are not here")
    error = GatedError("ask")


class Other(Unprepared):
    card = Card("other", "1", "cannot be compared")
    error = NotComparableError("else")
"""


OPTIONS = {name.partition("=")[0]: name.partition("=")[2] for name in small_run.OPTIONS}


@dataclass
class Spy:
    """A serial executor that keeps how many jobs each graph had, and can be interrupted after so many."""

    interrupt_after: int = 10**6
    graphs: list[list[EntryRef]] = field(default_factory=list)

    @contextmanager
    def open(self, store: Store, listener: Listener) -> Iterator[Session]:
        with Serial().open(store, listener) as session:
            done: list[EntryRef] = []
            self.graphs.append(done)
            yield cast(Session, _Counted(session, done, self.interrupt_after))


@dataclass
class _Counted:
    session: Session
    done: list[EntryRef]
    interrupt_after: int

    def has_room(self, job: Job) -> bool:
        return self.session.has_room(job)

    def submit(self, job: Job) -> None:
        if len(self.done) >= self.interrupt_after:
            raise KeyboardInterrupt
        self.done.append(job.ref)
        self.session.submit(job)

    def wait(self) -> list[Outcome]:
        return self.session.wait()


def ended(tmp_path: Path, *generators: str, spy: Spy | None = None, home: str = "home", **config: Any) -> list[suite.Cell]:
    """A suite of these generators of `FATES`, or of the package, run on a few phantom patches."""
    (tmp_path / "fates.py").write_text(FATES)
    named = {"seeds": (0,), "encoders": ("stain",), "metrics": ("precision",), "controls": (), "downstream": False, **config}
    planned: list[tuple[suite.Cell, RunConfig | None]] = []
    for name in generators:
        generator = f"{tmp_path / 'fates.py'}:{name}" if name[0].isupper() else name
        about = RunConfig(generator, "cam16-seg", data="embedded", options=OPTIONS, **named)
        planned.append((suite.Cell(name, name, "cam16-seg", "slide", {}), about))
    asked = suite.Suite("s", "", {"tiny": suite.Preset((0,))}, ())
    executor = spy or Spy()
    context = RunContext(Store(tmp_path / home), lambda jobs: executor, SilentReporter(), lambda text: None)
    return suite.run(asked, "tiny", planned, context, tmp_path)


def record(config: RunConfig, **more: object) -> ResultRecord:
    base = ResultRecord(
        config.generator, "d", config.prompt_source, config.task, "fd", "lower", "p", value=1.0, encoder="e", n=4, groups=2
    )
    return replace(base, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("generator", "status", "reason"),
    [
        ("Bad", "error", "1 of 1 numbers error: ValueError: what"),
        ("Broken", "error", "ValueError: what"),
        ("nowhere", "error", "UsageError: unknown generator"),
        ("Gated", "skipped", "gated: ask"),
        ("Other", "not-comparable", "else"),
    ],
)
def test_every_cell_ends_as_something_and_stops_no_other(tmp_path: Path, generator: str, status: str, reason: str) -> None:
    cell, after = ended(tmp_path, generator, "Good")
    assert cell.status == status and reason in cell.reason
    assert (after.status, after.reason) == ("ok", "")
    assert suite.index(tmp_path / "s") == ("tiny", [cell, after])


@pytest.mark.parametrize(
    ("statuses", "faults", "status", "reason"),
    [
        (["ok"], (), "ok", ""),
        (["ok", "skipped"], (), "ok", "1 of 2 numbers skipped: why"),
        (["skipped"], (), "skipped", "1 of 1 numbers skipped: why"),
        (["not-comparable"], (), "not-comparable", "1 of 1 numbers not-comparable: why"),
        (["ok", "error"], (), "error", "1 of 2 numbers error: why"),
        (["ok"], ("picture.png could not be written: why",), "error", "picture.png could not be written: why"),
    ],
)
def test_a_cell_ends_as_its_numbers_did(statuses: list[str], faults: tuple[str, ...], status: str, reason: str) -> None:
    asked = RunConfig("g", "t")
    made = [record(asked) if one == "ok" else record(asked, value=None, status=one, reason="why") for one in statuses]
    assert suite.status_of(tuple(made), faults) == (status, reason)


def test_a_suite_is_one_graph_in_which_shared_jobs_are_one(tmp_path: Path) -> None:
    """Two generators beside the same two controls: what the controls train, generate and are measured by is one job."""
    both = Spy()
    ended(tmp_path, "Good", "blur", spy=both, home="both", controls=("real", "noise"))
    alone = [Spy(), Spy()]
    for spy, name in zip(alone, ("Good", "blur"), strict=True):
        ended(tmp_path, name, spy=spy, home=name, controls=("real", "noise"))
    *_, together = both.graphs
    (first, second) = (set(spy.graphs[-1]) for spy in alone)
    assert len(together) == len(set(together)) and set(together) == first | second
    assert {ref.kind for ref in first & second} >= {"weights", "generated", "samples", "encoded", "measured"}


def test_a_second_start_runs_nothing(tmp_path: Path) -> None:
    before, again = ended(tmp_path, "Good", "blur"), Spy()
    after = ended(tmp_path, "Good", "blur", spy=again)
    assert not again.graphs
    assert [replace(cell, seconds=0.0) for cell in after] == [replace(cell, seconds=0.0) for cell in before]


def test_the_index_tells_what_an_interrupted_run_had_done(tmp_path: Path) -> None:
    ended(tmp_path, "Good")
    with pytest.raises(KeyboardInterrupt):
        ended(tmp_path, "blur", "Good", "Broken", spy=Spy(interrupt_after=3))
    _, cells = suite.index(tmp_path / "s")
    assert [cell.status for cell in cells] == ["skipped", "ok", "error"]
    assert cells[0].reason.startswith("pending") and (tmp_path / "s" / cells[1].folder / "results.jsonl").is_file()


def test_command_runs_a_suite_and_prints_its_table(tmp_path: Path) -> None:
    (tmp_path / "fates.py").write_text(FATES)
    options = ", ".join(f'"{name}" = "{value}"' for name, value in OPTIONS.items())
    generators = [f"{tmp_path / 'fates.py'}:{name}" for name in ("Good", "Broken")]
    text = f"""
        name = "s"
        summary = "x"
        embedded = true
        [preset.tiny]
        seeds = [0]
        options = {{ {options} }}
        [[cells]]
        generators = {generators!r}
        tasks = ["cam16-seg"]
        encoders = ["stain"]
        metrics = ["precision"]
        controls = []
        [[table]]
        title = "T"
        rows = [{{ label = "G", generator = "good" }}, {{ label = "B", generator = "broken" }}]
        columns = [{{ label = "D", task = "cam16-seg", measure = "precision" }}]
    """
    (tmp_path / "s.toml").write_text(text)
    asked, out, home = tmp_path / "s.toml", tmp_path / "out", tmp_path / "home"
    allow = ("--allow-plugin", tmp_path / "fates.py")
    assert "Broken--cam16-seg" in small_run.bench("suite", asked, "--plan", *allow, home=home).stdout
    assert not home.exists() and not out.exists()
    done = small_run.bench("suite", asked, "--out", out, "--workers", "1", *allow, home=home)
    assert done.exit_code == 4 and "1 ok, 1 error" in done.stdout and "ValueError: what" in done.stdout
    shown = small_run.bench("leaderboard", asked, "--results", out, home=home)
    assert "0.000" in shown.stdout or "[0" in shown.stdout, shown.stdout
    assert "error(ValueError)" in shown.stdout
    assert json.loads((out / "s" / "suite.json").read_text())["cells"][1]["status"] == "error"
    absent = CliRunner().invoke(leaderboard, ["embedded", "--results", str(out)])
    assert isinstance(absent.exception, MissingError) and "bench suite embedded" in str(absent.exception)

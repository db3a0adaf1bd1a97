"""Suites: what TOML may say, what it becomes, and how cells end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from bench import registry
from bench.config import RunConfig, load_components
from bench.errors import MissingError, UsageError
from bench.jobs.executors import Listener, Serial, Session
from bench.jobs.graph import Job
from bench.jobs.outcomes import Outcome
from bench.jobs.progress import SilentReporter
from bench.jobs.store import EntryRef, Store
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.run import RunContext
from leaderboards.cli.leaderboard import leaderboard
from leaderboards.cli.suite import suite as command
from leaderboards.suites import suite
from tests import small_run

PAPERS = {"heterotissue-fd", "heterotissue-seg", "nasdm-quality", "nasdm-addition", "nasdm-replacement", "nasdm-annotation"}

MINE = """
name = "mine"
summary = "s"
[preset.tiny]
seeds = [3]
options = { "dataset.size" = "64" }
[preset.large]
seeds = [0, 1]
[[cells]]
generators = ["a", "b"]
tasks = ["t", "u"]
prompt_sources = ["slide", "self"]
downstream = true
[[cells]]
generators = ["c"]
tasks = ["t"]
layout_generators = ["", "sampled"]
seeds = [7]
options = { "generator.steps" = "5" }
[[cells]]
generators = ["a"]
tasks = ["v"]
absent = "no reader"
"""


def record(config: RunConfig, **more: object) -> ResultRecord:
    base = ResultRecord(
        config.generator, "d", config.prompt_source, config.task, "fd", "lower", "p", value=1.0, encoder="e", n=4, groups=2
    )
    return replace(base, **more)  # type: ignore[arg-type]


@pytest.fixture
def mine(tmp_path: Path) -> suite.Suite:
    (tmp_path / "mine.toml").write_text(MINE)
    return suite.find(str(tmp_path / "mine.toml"))


def test_lists_are_multiplied(mine: suite.Suite) -> None:
    planned = list(suite.plans(mine, "tiny", {"t": "T", "": "ALL"}))
    assert [cell.name for cell, _ in planned] == [
        *("a--t", "a--t--self", "a--u", "a--u--self", "b--t", "b--t--self", "b--u", "b--u--self"),
        *("c--t", "c--sampled--t", "a--v"),
    ]
    first, sampled = planned[1][1], planned[9][1]
    assert first is not None and (first.prompt_source, first.seeds, first.data, first.downstream) == ("self", (3,), "T", True)
    assert planned[2][1] is not None and planned[2][1].data == "ALL"
    assert sampled is not None and (sampled.layout_generator, sampled.seeds, sampled.downstream) == ("sampled", (7,), False)
    assert sampled.options == {"dataset.size": "64", "generator.steps": "5"}
    assert planned[-1][1] is None and planned[-1][0].reason == "missing: no reader"
    assert [config.seeds for _, config in suite.plans(mine, "large", {}) if config][0] == (0, 1)


@pytest.mark.parametrize(
    ("preset", "data", "message"),
    [("tinny", {}, "Did you mean 'tiny'"), ("tiny", {"w": "W"}, "has no task 'w'")],
)
def test_wrong_words_are_answered(mine: suite.Suite, preset: str, data: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(suite.plans(mine, preset, data))


NO_NAMES = ("'../mine'", "'..'", "'.'", "''", "'/mine'", "'C:mine'", "'a\\\\b'", "'nul'", '"a\\u001b[31m"', f"'{'x' * 300}'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        (MINE.replace("downstream = true", "down_stream = true"), "down_stream"),
        (MINE.replace("seeds = [3]", 'seeds = ["three"]'), "seeds"),
        *((MINE.replace('"mine"', name), "can be a folder.*: its name ") for name in NO_NAMES),
        ('name = "x"\nsummary = ""\ncells = []\npreset = {}', "a preset and cells"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(UsageError, match="broken.toml.*" + message):
        suite.find(str(tmp_path / "broken.toml"))


def test_unknown_suites_are_answered() -> None:
    with pytest.raises(UsageError, match="Did you mean 'embedded'"):
        suite.find("embeded")
    with pytest.raises(MissingError):
        suite.find("nowhere.toml")


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


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    schema.write([], tmp_path / "secret" / "results.jsonl")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "link").symlink_to(tmp_path / "secret")
    for folder, message in (
        ("link", "outside"),
        *((name, "folder of a cell .* cannot name a file") for name in ("../secret", "..", str(tmp_path / "secret"), "a\0b")),
    ):
        with pytest.raises(MissingError, match=message):
            suite.result_files(tmp_path / "s", [suite.Cell("x", "x", "t", "slide", {}, folder=folder)])


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 3, "preset": ""}'])
def test_a_broken_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "suite.json").write_text(text)
    with pytest.raises(MissingError, match="suite.json"):
        suite.index(tmp_path)


def test_the_shipped_suites_name_what_exists() -> None:
    assert set(suite.names()) == PAPERS | {"embedded"}
    for name in suite.names():
        asked = suite.find(name)
        assert asked.name == name
        for preset in asked.preset:
            for cell, config in suite.plans(asked, preset, {}):
                if config is None:
                    continue
                task = registry.find("tasks", config.task)[0]
                registry.find("generators", config.generator)
                registry.expand("encoders", config.encoders)
                registry.expand("metrics", config.metrics or ())
                assert not config.experiment or (task.experiments / f"{config.experiment}.toml").is_file(), cell.name
                assert config.downstream or not config.experiment, cell.name  # an experiment is made of training mixes


@pytest.mark.parametrize("name", sorted({*PAPERS, "embedded"}))
def test_the_options_of_shipped_suites_belong_to_somebody(name: str) -> None:
    asked = suite.find(name)
    for preset in asked.preset:
        for _, config in suite.plans(asked, preset, {"": "embedded"}):
            if config is not None:
                load_components(config)


def test_the_embedded_suite_never_leaves_embedded_data() -> None:
    plans = [config for _, config in suite.plans(suite.find("embedded"), "tiny", {"": "DIR"})]
    assert {config.data for config in plans if config} == {"embedded"}


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


def test_command_lists_suites_and_refuses_two_folders_of_one_task() -> None:
    listed = CliRunner().invoke(command, []).output
    assert all(name in listed for name in PAPERS)
    twice = CliRunner().invoke(command, ["heterotissue-fd", "--data", "cam16-seg=a", "--data", "cam16-seg=b"])
    assert isinstance(twice.exception, UsageError) and "cam16-seg" in str(twice.exception)


def sources(name: str, data: dict[str, str], datasets: dict[str, str]) -> dict[str, tuple[str, str] | None]:
    """Task -> folder and dataset of its cells, None where they cannot be run."""
    planned = suite.plans(suite.find(name), "tiny", data, datasets=datasets)
    return {cell.task: (config.data, config.dataset) if config else None for cell, config in planned}


def test_datasets_of_tasks_have_priority_over_those_of_all() -> None:
    found = sources("heterotissue-seg", {"": "DIR"}, {"panda-seg": "phantom-panda"})
    assert found == {"cam16-seg": ("DIR", ""), "panda-seg": ("", "phantom-panda")}
    found = sources("heterotissue-seg", {"panda-seg": "DIR"}, {"": "phantom-cam16"})
    assert found == {"cam16-seg": ("", "phantom-cam16"), "panda-seg": ("DIR", "")}
    for place in ("", "cam16-seg"):
        with pytest.raises(UsageError, match="leave out one"):
            sources("heterotissue-seg", {place: "DIR"}, {place: "phantom-cam16"})


def test_the_embedded_suite_takes_no_dataset() -> None:
    with pytest.raises(UsageError, match="leave out --dataset"):
        sources("embedded", {}, {"": "folder:DIR"})


def test_the_rows_of_tcga_need_data_of_their_own() -> None:
    assert sources("heterotissue-fd", {}, {})["tcga-seg"] is None
    assert sources("heterotissue-fd", {"": "DIR"}, {})["tcga-seg"] is None
    assert sources("heterotissue-fd", {"tcga-seg": "DIR"}, {})["tcga-seg"] == ("DIR", "")
    assert sources("heterotissue-fd", {}, {"tcga-seg": "folder:DIR"})["tcga-seg"] == ("", "folder:DIR")
    (cell, *_) = [c for c, config in suite.plans(suite.find("heterotissue-fd"), "tiny", {}) if config is None]
    assert cell.status == "skipped" and "--data tcga-seg=DIR" in cell.reason


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["cam16-seg=folder:here"], "data folder:here"),
        (["folder:a=b"], "data folder:a=b"),
        (["./a=b.py:Mine"], "data ./a=b.py:Mine"),
    ],
)
def test_the_plan_names_the_dataset(words: list[str], shown: str) -> None:
    given = [word for text in words for word in ("--dataset", text)]
    lines = CliRunner().invoke(command, ["heterotissue-seg", "--plan", *given]).output.splitlines()
    assert {shown in line for line in lines if "cam16-seg" in line} == {True}


def test_a_dataset_is_given_once() -> None:
    twice = CliRunner().invoke(command, ["heterotissue-fd", "--dataset", "a", "--dataset", "b"])
    assert isinstance(twice.exception, UsageError) and "a dataset for all tasks was given before" in str(twice.exception)


def test_options_of_layouts_are_for_cells_that_have_any(mine: suite.Suite) -> None:
    planned = suite.plans(mine, "tiny", {}, given={"": {"layouts.steps": "2"}})
    assert [cell.name for cell, _ in planned if "layouts.steps" in cell.options] == ["c--sampled--t"]

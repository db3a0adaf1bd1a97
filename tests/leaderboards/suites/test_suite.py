"""Suites: what TOML may say, what it becomes, and how cells end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import registry
from bench.config import RunConfig
from bench.errors import GatedError, MissingError, NotComparableError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from leaderboards.cli.leaderboard import leaderboard
from leaderboards.cli.suite import suite as command
from leaderboards.suites import suite

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
prompt sources = ["slide", "self"]
training mixes = true
[[cells]]
generators = ["c"]
tasks = ["t"]
layouts = ["", "drawn"]
seeds = [7]
options = { "generator.steps" = "5" }
[[cells]]
generators = ["a"]
tasks = ["v"]
absent = "no reader"
"""


def line(config: RunConfig, **more: object) -> ResultRecord:
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
        *("c--t", "c--drawn--t", "a--v"),
    ]
    first, drawn = planned[1][1], planned[9][1]
    assert first is not None and (first.prompt_source, first.seeds, first.data, first.mixes) == ("self", (3,), "T", True)
    assert planned[2][1] is not None and planned[2][1].data == "ALL"
    assert drawn is not None and (drawn.layouts, drawn.seeds, drawn.mixes) == ("drawn", (7,), False)
    assert drawn.options == {"dataset.size": "64", "generator.steps": "5"}
    assert planned[-1][1] is None and planned[-1][0].reason == "missing: no reader"
    assert [config.seeds for _, config in suite.plans(mine, "large", {}) if config][0] == (0, 1)


@pytest.mark.parametrize(
    ("preset", "data", "message"),
    [("tinny", {}, "Did you mean 'tiny'"), ("tiny", {"w": "W"}, "has no task 'w'")],
)
def test_wrong_words_are_answered(mine: suite.Suite, preset: str, data: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(suite.plans(mine, preset, data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        (MINE.replace("training mixes = true", "arm = true"), "mix"),
        (MINE.replace("seeds = [3]", 'seeds = ["three"]'), "seeds"),
        (MINE.replace('"mine"', '"../mine"'), "can be a folder"),
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


def runner(config: RunConfig, out: Path) -> tuple[tuple[ResultRecord, ...], Path, tuple[str, ...]]:
    """Writes one line; generators that are named after a fate meet it."""
    fates = {
        "broken": ValueError("what"),
        "usage": UsageError("which"),
        "gated": GatedError("ask"),
        "other": NotComparableError("else"),
    }
    if config.generator in fates:
        raise fates[config.generator]
    statuses = {"half": ("ok", "skipped"), "none": ("skipped",), "bad": ("ok", "error"), "apart": ("not-comparable",)}
    lines = tuple(
        line(config) if status == "ok" else line(config, value=None, status=status, reason="why", seed=1)
        for status in statuses.get(config.generator, ("ok",))
    )
    folder = out / f"{config.generator}--{config.task}"
    schema.write(lines, folder / "results.jsonl")
    return lines, folder, ("picture.png was not written: why",) if config.generator == "blind" else ()


def ended(tmp_path: Path, *generators: str) -> list[suite.Cell]:
    planned: list[tuple[suite.Cell, RunConfig | None]] = [
        (suite.Cell(g, g, "t", "slide", {}), RunConfig(g, "t")) for g in generators
    ]
    asked = suite.Suite("s", "", {"tiny": suite.Preset((0,))}, ())
    return suite.run(asked, "tiny", planned, runner, lambda text: None, tmp_path)


@pytest.mark.parametrize(
    ("generator", "status", "reason"),
    [
        ("good", "ok", ""),
        ("half", "ok", "1 of 2 numbers skipped: why"),
        ("none", "skipped", "1 of 1 numbers skipped: why"),
        ("apart", "not-comparable", "why"),
        ("bad", "error", "1 of 2 numbers error: why"),
        ("blind", "error", "picture.png was not written: why"),
        ("broken", "error", "ValueError: what"),
        ("usage", "error", "UsageError: which"),
        ("gated", "skipped", "gated: ask"),
        ("other", "not-comparable", "else"),
    ],
)
def test_every_cell_ends_as_something_and_stops_no_other(tmp_path: Path, generator: str, status: str, reason: str) -> None:
    cell, after = ended(tmp_path, generator, "good")
    assert cell.status == status and reason in cell.reason and (cell.reason == "") == (reason == "")
    assert after.status == "ok"
    assert suite.index(tmp_path / "s") == ("tiny", [cell, after])


def test_the_index_tells_what_an_interrupted_run_had_done(tmp_path: Path) -> None:
    def interrupted(config: RunConfig, out: Path) -> tuple[tuple[ResultRecord, ...], Path, tuple[str, ...]]:
        if config.generator == "second":
            raise KeyboardInterrupt
        return runner(config, out)

    planned: list[tuple[suite.Cell, RunConfig | None]] = [
        (suite.Cell(g, g, "t", "slide", {}), RunConfig(g, "t")) for g in ("first", "second", "third")
    ]
    asked = suite.Suite("s", "", {"tiny": suite.Preset((0,))}, ())
    with pytest.raises(KeyboardInterrupt):
        suite.run(asked, "tiny", planned, interrupted, lambda text: None, tmp_path)
    _, cells = suite.index(tmp_path / "s")
    assert [cell.status for cell in cells] == ["ok", "skipped", "skipped"]
    assert cells[2].reason.startswith("pending")


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    schema.write([], tmp_path / "secret" / "results.jsonl")
    cells = [suite.Cell("x", "x", "t", "slide", {}, folder="../secret")]
    (tmp_path / "s").mkdir()
    with pytest.raises(MissingError, match="outside"):
        suite.result_files(tmp_path / "s", cells)


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
                folder = getattr(task, "experiments", None)
                assert not config.experiment or (folder / f"{config.experiment}.toml").is_file(), cell.name
                assert config.mixes or not config.experiment, cell.name  # an experiment is made of training mixes


@pytest.mark.parametrize("name", sorted({*PAPERS, "embedded"}))
def test_the_options_of_shipped_suites_belong_to_somebody(name: str) -> None:
    from bench import config as planning

    asked = suite.find(name)
    for preset in asked.preset:
        for _, config in suite.plans(asked, preset, {"": "embedded"}):
            if config is not None:
                planning.components(config)


def test_the_embedded_suite_never_leaves_embedded_data() -> None:
    plans = [config for _, config in suite.plans(suite.find("embedded"), "tiny", {"": "DIR"})]
    assert {config.data for config in plans if config} == {"embedded"}


def test_command_runs_a_suite_and_prints_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'name = "s"\nsummary = "x"\npreset.tiny.seeds = [0]\n[[cells]]\ngenerators = ["good", "broken"]\ntasks = ["t"]\n'
    table = (
        '[[table]]\ntitle = "T"\nrows = [{ label = "G", generator = "good" }, { label = "B", generator = "broken" }]\n'
        'columns = [{ label = "D", task = "t", measure = "fd" }]\n'
    )
    (tmp_path / "s.toml").write_text(text + table)
    monkeypatch.setattr("leaderboards.cli.suite._run", runner)
    asked, out = str(tmp_path / "s.toml"), str(tmp_path / "out")
    assert "broken--t" in CliRunner().invoke(command, [asked, "--config"]).output
    done = CliRunner().invoke(command, [asked, "--out", out])
    assert done.exit_code == 4 and "1 ok, 1 error" in done.output and "ValueError: what" in done.output
    shown = CliRunner().invoke(leaderboard, [asked, "--results", out])
    assert "1.000" in shown.output and "error(ValueError)" in shown.output
    assert json.loads((tmp_path / "out" / "s" / "suite.json").read_text())["cells"][1]["status"] == "error"
    absent = CliRunner().invoke(leaderboard, ["embedded", "--results", out])
    assert isinstance(absent.exception, MissingError) and "bench suite embedded" in str(absent.exception)


def test_command_lists_suites_and_refuses_two_folders_of_one_task() -> None:
    listed = CliRunner().invoke(command, []).output
    assert all(name in listed for name in PAPERS)
    twice = CliRunner().invoke(command, ["heterotissue-fd", "--data", "cam16-seg=a", "--data", "cam16-seg=b"])
    assert isinstance(twice.exception, UsageError) and "cam16-seg" in str(twice.exception)


def test_options_of_layouts_are_for_cells_that_have_any(mine: suite.Suite) -> None:
    planned = suite.plans(mine, "tiny", {}, given={"": {"layouts.steps": "2"}})
    assert [cell.name for cell, _ in planned if "layouts.steps" in cell.options] == ["c--drawn--t"]

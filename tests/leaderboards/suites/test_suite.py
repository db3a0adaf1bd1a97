"""Suites: what TOML may say, what it becomes, and their index."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import MissingError, UsageError
from bench.results import schema
from leaderboards.suites import suite

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


def test_options_of_layouts_are_for_cells_that_have_any(mine: suite.Suite) -> None:
    planned = suite.plans(mine, "tiny", {}, given={"": {"layouts.steps": "2"}})
    assert [cell.name for cell, _ in planned if "layouts.steps" in cell.options] == ["c--sampled--t"]


def test_names_in_suites_are_matched_whatever_their_case(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nsummary = ""\n[preset.tiny]\nseeds = [0]\n[preset.tiny.tasks.CAM16-seg]\n"generator.steps" = "5"\n'
        '[[cells]]\ngenerators = ["LDM-Prompt"]\ntasks = ["Cam16-Seg"]\nencoders = ["STAIN"]\n'
    )
    found = suite.find(str(tmp_path / "mine.toml"))
    ((cell, config),) = suite.plans(found, "tiny", {"cam16-SEG": "D"}, given={"CAM16-SEG": {"dataset.size": "32"}})
    assert (cell.name, cell.generator, cell.task) == ("ldm-prompt--cam16-seg", "ldm-prompt", "cam16-seg")
    assert config is not None and (config.data, config.encoders) == ("D", ("stain",))
    assert config.options == {"generator.steps": "5", "dataset.size": "32"}
    assert suite.find("EMBEDDED").name == "embedded"

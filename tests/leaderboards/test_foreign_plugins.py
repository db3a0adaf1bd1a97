"""No command runs code that a manifest, a suite or a record names, unless the user says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.results import schema
from bench.results.terms import Status
from leaderboards.suites import suite
from tests.small_run import SMALL, WORDS, bench, run

PLUGIN = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
import numpy as np
from bench.types import Card
class Mine:
    card = Card("mine", "1", "A test.")
    def generate(self, conditions, seeds):
        return np.stack([np.full((conditions.size, conditions.size, 3), seed % 251, np.uint8) for seed in seeds])
"""
PLACES: dict[str, Callable[[dict[str, Any], str], object]] = {
    "generator": lambda config, name: config.update(generator=name),
    "task": lambda config, name: config.update(task=name),
    "encoder": lambda config, name: config.update(encoders=["stain", name]),
    "metric": lambda config, name: config.update(metrics=[name]),
    "metrics as an object": lambda config, name: config.update(metrics={name: 1}),
    "control": lambda config, name: config.update(controls=["real", name]),
    "layout generator": lambda config, name: config.update(layout_generator=name),
    "argument of a name": lambda config, name: config.update(metrics=[f"nuclei-f1:{name}"]),
    "option": lambda config, name: config["options"].update({"generator.encoder": name}),
    "one of several values": lambda config, name: config["options"].update({"encoder.parts": f"a,{name}"}),
    "file without a class": lambda config, name: config.update(generator=name.partition(":")[0]),
}
"""Where a config may name a plug-in."""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "evil.py").write_text(PLUGIN)
    return tmp_path / "evil.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and its store."""
    home = tmp_path_factory.mktemp("foreign") / "home"
    words = ["-g", "blur", *WORDS, "--controls", "none", "--seeds", "0"]
    return run(*words, home=home, out=home.parent / "results"), home


def change(folder: Path, place: str, name: str) -> None:
    held = json.loads((folder / "manifest.json").read_text())
    PLACES[place](held["config"], name)
    (folder / "manifest.json").write_text(json.dumps(held))


@pytest.mark.parametrize("place", PLACES)
def test_no_name_in_a_manifest_is_imported(place: str, made: tuple[Path, Path], plugin: Path, tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "run")
    change(tmp_path / "run", place, f"{plugin}:Mine")
    empty = tmp_path / "home"
    for words in (("verify", tmp_path / "run"), ("export", "samples", tmp_path / "run", "--out", tmp_path / "png")):
        done = bench(*words, home=empty)
        if place == "metrics as an object":  # no manifest that a run writes
            assert done.exit_code == 3 and "manifest.json is damaged" in done.stderr
        else:
            assert done.exit_code == 2 and f"--allow-plugin {plugin}" in done.stderr and "manifest.json names" in done.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "png").exists()


def test_other_files_allow_nothing(made: tuple[Path, Path], plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("")
    shutil.copytree(made[0], tmp_path / "run")
    change(tmp_path / "run", "generator", f"{plugin}:Mine")
    done = bench("verify", tmp_path / "run", "--allow-plugin", tmp_path / "other.py", home=made[1])
    assert done.exit_code == 2 and not (tmp_path / "ran").exists()
    done = bench("verify", tmp_path / "run", "--allow-plugin", tmp_path / "gone.py", home=made[1])
    assert done.exit_code == 2 and "does not exist" in done.stderr


def test_a_plugin_that_the_user_names_runs_and_one_that_is_allowed_is_verified(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the manifest names it relative to the folder in which the run was started."""
    monkeypatch.chdir(tmp_path)
    words = ["-g", "evil.py:Mine", *WORDS, "--controls", "none", "--seeds", "0"]
    folder = run(*words, home=tmp_path / "home", out=tmp_path / "results")
    (tmp_path / "ran").unlink()
    assert bench("verify", folder, home=tmp_path / "home").exit_code == 2
    assert not (tmp_path / "ran").exists()
    done = bench("verify", folder, "--allow-plugin", plugin, home=tmp_path / "home")
    assert done.exit_code == 0 and "HOLDS" in done.stdout, done.stderr
    shutil.rmtree(tmp_path / "home" / "generated")
    out = ["--out", tmp_path / "png"]
    assert bench("export", "samples", folder, *out, home=tmp_path / "home").exit_code == 2
    assert bench("export", "samples", folder, *out, "--allow-plugin", "evil.py", home=tmp_path / "home").exit_code == 0
    assert list((tmp_path / "png" / "mine-seed0" / "samples").iterdir())


SUITE = """
name = "theirs"
summary = "s"
[preset.tiny]
seeds = [0]
{preset}
[[cells]]
generators = ["blur"]
tasks = ["cam16-seg"]
controls = []
encoders = ["stain"]
metrics = ["fd"]
{cells}
"""
CELLS = ("generators", "tasks", "encoders", "metrics", "controls", "layout_generators")


@pytest.mark.parametrize("place", [*CELLS, "options", "preset options", "preset tasks"])
def test_no_name_in_a_suite_is_imported(place: str, plugin: Path, tmp_path: Path) -> None:
    name, cells, preset = f"{plugin}:Mine", "", ""
    if place == "options":
        cells = f'options = {{ "generator.encoder" = "{name}" }}'
    elif place == "preset options":
        preset = f'options = {{ "generator.encoder" = "{name}" }}'
    elif place == "preset tasks":
        preset = f'tasks = {{ "{name}" = {{ "task.steps" = "1" }} }}'
    else:
        cells = f'{place} = ["{name}"]'
    text = SUITE.format(cells=cells, preset=preset)
    lines = [line for line in text.splitlines() if not (place in CELLS and line.startswith(place) and name not in line)]
    (tmp_path / "theirs.toml").write_text("\n".join(lines))
    done = bench("suite", tmp_path / "theirs.toml", "--out", tmp_path / "out", home=tmp_path / "home")
    assert done.exit_code == 2 and f"--allow-plugin {plugin}" in done.stderr and "suite theirs" in done.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_a_suite_runs_plugins_that_are_allowed(plugin: Path, tmp_path: Path) -> None:
    text = SUITE.format(cells="", preset="").replace('"blur"', f'"{plugin}:Mine"')
    (tmp_path / "theirs.toml").write_text(text)
    words = ["suite", tmp_path / "theirs.toml", "--out", tmp_path / "out", "--allow-plugin", plugin, *SMALL]
    done = bench(*words, home=tmp_path / "home")
    assert done.exit_code == 0 and "1 ok" in done.stdout, done.stderr


def test_options_of_the_command_line_are_the_users(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.toml").write_text(SUITE.format(cells="", preset=""))
    given = {"": {"generator.encoder": f"{plugin}:Mine"}}
    ((_, config),) = suite.plans(suite.find(str(tmp_path / "theirs.toml")), "tiny", {}, given=given)
    assert config is not None and config.options["generator.encoder"] == f"{plugin}:Mine"


def test_a_table_of_a_suite_imports_no_task(plugin: Path, tmp_path: Path) -> None:
    table = f'[[table]]\ntitle = "t"\ntask = "{plugin}:Mine"\nexperiment = "addition"\n'
    (tmp_path / "theirs.toml").write_text(SUITE.format(cells="", preset="") + table)
    done = bench("leaderboard", tmp_path / "theirs.toml", "--results", tmp_path, home=tmp_path / "home")
    assert done.exit_code == 2 and "evil.py" in done.stderr and not (tmp_path / "ran").exists()


def test_commands_that_read_records_import_nothing_of_them(made: tuple[Path, Path], plugin: Path, tmp_path: Path) -> None:
    name = f"{plugin}:Mine"
    experiment = tmp_path / "theirs.toml"
    experiment.write_text('name = "x')
    described = {kind: {"name": name, "version": "1"} for kind in ("generator", "dataset", "encoder", "metric", "task")}
    first = next(iter(schema.read([made[0] / "results.jsonl"])))
    named = replace(first, generator=name, task=name, described=described, replicates=(), reason="", status=Status.OK)
    score = replace(named, encoder="", measure="iou", direction="higher", protocol="p", value=0.5, low=0.4, high=0.6)
    records = [
        replace(named, value=1.0, low=0.5, high=1.5),
        replace(score, mix="real"),
        replace(score, mix="real", described={**described, "experiment": {"name": str(experiment)}}),
        replace(score, mix="real", task="cam16-seg", described={**described, "experiment": {"name": str(experiment)}}),
    ]
    file = tmp_path / "theirs.jsonl"
    schema.write(records, file)
    for words in (
        ("report", file, "--out", tmp_path / "report", "--patches", "0"),
        ("merge", file, "--out", tmp_path / "all.jsonl"),
        ("leaderboard", "--results", file),
        ("compare", file, file),
        ("gate", "--baseline", file, "--candidate", file),
    ):
        done = bench(*words, home=tmp_path / "home")
        assert done.exit_code in (0, 3, 7), (words, done.stderr)
    assert not (tmp_path / "ran").exists()


def test_a_refused_name_is_shown_as_text(tmp_path: Path) -> None:
    text = SUITE.format(cells="", preset="").replace('"blur"', '"\\u001b[31m.py:X"')
    (tmp_path / "theirs.toml").write_text(text)
    with pytest.raises(UsageError, match=r"'\\x1b\[31m.py'"):
        list(suite.plans(suite.find(str(tmp_path / "theirs.toml")), "tiny", {}))

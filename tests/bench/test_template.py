"""`bench new` writes packages of every kind that install, are listed, pass their check as written, and give a table."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli.new import command
from bench.errors import UsageError
from bench.templates import WORDS, write_plugin
from tests.small_run import SMALL, bench, run

ROOT = Path(__file__).parents[2]


def new(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments))


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Word -> path.py:Class of what `bench new` writes."""
    folder = tmp_path_factory.mktemp("written")
    found = {word: write_plugin(word, f"my-{word}2", folder) for word in WORDS}
    return {word: f"{file}:My{word.capitalize()}2" for word, file in found.items()}


def test_new_writes_a_package_of_two_files(tmp_path: Path) -> None:
    done = new("Generator", "example-plugin", "--dir", str(tmp_path / "deep/er"))
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "deep/er/example_plugin")
    assert "bench check example-plugin" in done.stderr
    assert files(tmp_path / "deep/er") == {"example_plugin/pyproject.toml", "example_plugin/example_plugin.py"}


@pytest.mark.parametrize("word", WORDS)
def test_what_new_writes_passes_its_check_uninstalled(word: str, written: dict[str, str], tmp_path: Path) -> None:
    done = bench("check", written[word], "--size", "32", "--json", home=tmp_path)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0 and {outcome["kind"] for outcome in outcomes} == {WORDS[word]}, done.stdout
    tree = ast.parse(Path(written[word].partition(":")[0]).read_text())
    assert all(ast.get_docstring(node) for node in tree.body if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize(
    ("word", "option", "wrong", "right"),
    [
        ("generator", "grain", "0", "20"),
        ("encoder", "bins", "1", "4"),
        ("metric", "quantiles", "0", "3"),
        ("task", "pixels", "1", "200"),
        ("dataset", "slides", "1", "3"),
        ("layout", "radius", "0", "2"),
    ],
)
def test_what_new_writes_checks_its_option(word: str, option: str, wrong: str, right: str, written: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"my-{word}2: .*{option}|my-{word}2: at least 2 slides"):
        registry.load(WORDS[word], written[word], **{option: wrong})
    assert getattr(registry.load(WORDS[word], written[word], **{option: right}), option) == float(right)


def test_what_new_writes_makes_a_table(written: dict[str, str], tmp_path: Path) -> None:
    """Own generator, encoder, metric, task and dataset in one run."""
    words = ["-g", written["generator"], "-t", written["task"], "-e", written["encoder"], "-m", written["metric"]]
    folder = run(*words, "--dataset", written["dataset"], "--controls", "NOISE", "--seeds", "0", home=tmp_path, out=tmp_path)
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert {record["status"] for record in records} == {"ok"}
    values = {(r["generator"], r["measure"], r["encoder"]): r["value"] for r in records}
    ours, noise = (values[name, "my-metric2", "my-encoder2"] for name in ("my-generator2", "noise"))
    assert 0 < ours < noise
    assert {(record["task"], record["dataset"]) for record in records} == {("my-task2", "my-dataset2")}
    assert "my-metric2 my-encoder2" in (folder / "table.txt").read_text()


def test_a_layout_generator_that_new_writes_makes_a_table(written: dict[str, str], tmp_path: Path) -> None:
    words = ["-g", "Flat-Colour", "-t", "LIZARD-nuclei", "--layout-generator", written["layout"], "-e", "STAIN", "-m", "FD"]
    small = [*SMALL, "-o", "dataset.pool_slides=2", "--controls", "none", "--no-downstream", "--seeds", "0"]
    folder = run(*words, *small, home=tmp_path, out=tmp_path)
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert "layout-counts" in {record["measure"] for record in records if record["status"] == "ok"}
    assert {record["generator"] for record in records} == {"flat-colour + my-layout2"}
    assert {record["task"] for record in records} == {"lizard-nuclei"}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("MyGan", "small letters"),
        ("my_gan", "small letters"),
        ("my--gan", "small letters"),
        ("../gan", "small letters"),
        ("färbung", "small letters"),
        ("g" * 81, "at most 80"),
        ("", "small letters"),
        ("class", "a word of Python"),
        ("con", "is a device on some systems"),
        ("lpt1", "is a device on some systems"),
        ("noise", "installed already"),
        ("random", "Python already has a module 'random'"),
        ("tasks", "Python already has a module 'tasks'"),
    ],
)
def test_a_name_that_would_not_work_is_refused(name: str, complaint: str, tmp_path: Path) -> None:
    done = new("generator", name, "--dir", str(tmp_path))
    assert isinstance(done.exception, UsageError) and complaint in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_gan").mkdir()
    done = new("generator", "my-gan", "--dir", str(tmp_path))
    assert isinstance(done.exception, UsageError) and "exists already" in str(done.exception)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = new("metric", "my-metric", "--dir", str(tmp_path / "file" / "below"))
    assert isinstance(done.exception, UsageError) and "cannot be written" in str(done.exception)


def test_what_new_writes_installs_and_is_found(tmp_path: Path) -> None:
    for word in WORDS:
        assert new(word, f"example-{word}", "--dir", str(tmp_path / "source")).exit_code == 0
    sources, target = sorted((tmp_path / "source").iterdir()), tmp_path / "target"
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(target), *map(str, sources)]
    installed = subprocess.run(install, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    script = (
        "from bench import registry\nfrom bench.cli.check import command\nfrom bench.templates import WORDS\n"
        "for word, kind in WORDS.items():\n"
        "    assert f'example-{word}' in registry.names(kind)\n"
        "    command([f'Example-{word}', '--size', '32'], standalone_mode=False)"
    )
    environment = os.environ | {"PYTHONPATH": f"{target}{os.pathsep}{ROOT}", "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("✓ card complete") == len(WORDS) and "✗" not in done.stdout

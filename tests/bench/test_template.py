"""`bench new` writes a package that installs, is listed, and passes its check as written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli.new import command
from bench.contracts import check_generator
from bench.errors import UsageError

ROOT = Path(__file__).parents[2]


def new(*arguments: str) -> Any:
    return CliRunner().invoke(command, ["generator", *arguments])


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_new_writes_a_package_of_two_files(tmp_path: Path) -> None:
    done = new("example-plugin", "--dir", str(tmp_path))
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "example_plugin")
    assert "bench check example-plugin" in done.stderr
    assert files(tmp_path) == {"example_plugin/pyproject.toml", "example_plugin/example_plugin.py"}


def test_what_new_writes_passes_its_check_uninstalled(tmp_path: Path) -> None:
    new("my-gan2", "--dir", str(tmp_path / "deep/er"))
    file = tmp_path / "deep/er/my_gan2/my_gan2.py"

    def make(**options: object) -> Any:
        return registry.load("generators", f"{file}:MyGan2", **options)

    outcomes = check_generator(make, f"{file}:MyGan2", 32)
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []
    with pytest.raises(UsageError, match="grain is a positive number"):
        make(grain=0)
    assert make(grain="20").grain == 20.0


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("MyGan", "small letters"),
        ("my_gan", "small letters"),
        ("my--gan", "small letters"),
        ("../gan", "small letters"),
        ("class", "a word of Python"),
        ("noise", "installed already"),
        ("random", "Python already has a module 'random'"),
    ],
)
def test_a_name_that_would_not_work_is_refused(name: str, complaint: str, tmp_path: Path) -> None:
    done = new(name, "--dir", str(tmp_path))
    assert isinstance(done.exception, UsageError) and complaint in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_gan").mkdir()
    done = new("my-gan", "--dir", str(tmp_path))
    assert isinstance(done.exception, UsageError) and "exists already" in str(done.exception)


def test_what_new_writes_installs_and_is_found(tmp_path: Path) -> None:
    assert new("example-plugin", "--dir", str(tmp_path / "source")).exit_code == 0
    source, target = tmp_path / "source" / "example_plugin", tmp_path / "target"
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(target), str(source)]
    installed = subprocess.run(install, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    script = (
        "from bench import registry\nfrom bench.cli.check import command\n"
        "assert 'example-plugin' in registry.names('generators')\ncommand(['example-plugin', '--size', '32'])"
    )
    environment = os.environ | {"PYTHONPATH": f"{target}{os.pathsep}{ROOT}", "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "✓ batch independent" in done.stdout and "✗" not in done.stdout

"""Dockerfile, action and workflows, which cannot run here: read as data, and compared with the README and the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.test_docs import ROOT, blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
TAG = re.compile(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*")


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each instruction of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def steps(file: Path) -> list[dict[str, Any]]:
    held = read(file)
    if file == ACTION:
        return list(held["runs"]["steps"])
    return [step for job in held["jobs"].values() for step in job["steps"]]


def test_the_image_is_installed_by_the_command_of_the_readme() -> None:
    first, _ = blocks(ROOT / "README.md", "install")
    install, _, run = first.rpartition(" && ")
    ran = [rest for word, rest in instructions() if word == "RUN"]
    assert ran == [install, "bench list"]
    assert run.startswith(".venv/bin/bench run")
    words = [word for word, _ in instructions()]
    assert words.index("COPY") < words.index("RUN") and words[0] == "FROM"
    assert ("ENTRYPOINT", '["bench"]') in instructions() and "bench" in PROJECT["scripts"]


def test_the_image_has_a_python_that_the_package_takes() -> None:
    found = re.fullmatch(r"python:(\d+\.\d+)-slim", dict(instructions())["FROM"])
    assert found and SpecifierSet(PROJECT["requires-python"]).contains(found[1])


def test_what_the_image_leaves_out_is_not_needed_to_build() -> None:
    ignored = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text().split()}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml"}
    assert not ignored & needed
    assert {path for path in ignored if path.startswith("leaderboards/")} <= set(wheel["exclude"])


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_actions_are_pinned_by_tag(file: Path) -> None:
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert used and [name for name in used if name != "./" and not TAG.fullmatch(name)] == []


def test_the_page_pins_the_action_by_the_tag_of_this_version() -> None:
    used = re.findall(r"uses: (\S+)", (ROOT / "docs" / "gate.md").read_text())
    assert f"histobench/histobench@v{PROJECT['version']}" in used
    assert [name for name in used if not TAG.fullmatch(name)] == []


def test_workflows_give_the_action_what_it_declares() -> None:
    action = read(ACTION)
    for file in WORKFLOWS:
        for step in steps(file):
            if step.get("uses") == "./":
                given = set(step["with"])
                assert given <= set(action["inputs"])
                assert {name for name, about in action["inputs"].items() if about.get("required")} <= given
                assert (ROOT / step["with"]["baseline"]).is_file()


def test_inputs_of_the_action_reach_its_shell_through_the_environment() -> None:
    """An expression inside a script would be run as code of whoever wrote the value."""
    for step in steps(ACTION):
        assert "${{" not in step.get("run", "")
        for name in re.findall(r"inputs\.([\w-]+)", str(step)):
            assert name in read(ACTION)["inputs"]


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_workflows_pass_actionlint() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

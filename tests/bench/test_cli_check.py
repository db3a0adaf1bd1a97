"""`bench check` prints what it found, and ends with 4 where a check fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli.check import command
from bench.errors import UsageError


def check(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments))


def test_command_prints_a_mark_for_each_check() -> None:
    done = check("noise", "--size", "32")
    assert done.exit_code == 0
    assert "✓ batch independent" in done.stdout
    assert "– save load round trip: nothing is trained" in done.stdout


def test_command_ends_with_4_where_a_check_fails(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nfrom bench.types import Card\nclass Mine:\n    card = Card('mine', '1', 'S', licence='MIT')\n"
        "    def generate(self, conditions, seeds):\n        return np.zeros((len(conditions), 8, 8, 3), np.uint8)\n"
    )
    done = check(f"{file}:Mine", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 4
    failed = [line for line in lines if line["status"] == "failed"]
    assert [line["name"] for line in failed] == ["generates"]
    assert failed[0]["kind"] == "generators" and failed[0]["plugin"] == f"{file}:Mine"
    assert "✗ generates: generate gives" in check(f"{file}:Mine").stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["stain"], "is the name of encoders and metrics: say which, --kind encoders or --kind metrics"),
        (["flat-colour", "-o", "stes=1"], "has no option 'stes'"),
        (["nois"], "nothing is called 'nois'. Did you mean 'noise'"),
        (["noise", "--size", "7"], "multiple of 8"),
    ],
)
def test_command_leaves_mistakes_to_the_command_line(arguments: list[str], complaint: str) -> None:
    done = check(*arguments)
    assert isinstance(done.exception, UsageError) and complaint in str(done.exception)


def test_the_kind_of_a_file_is_found_by_its_methods(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from bench.types import Card\n"
        "class Nothing:\n    card = Card('nothing', '1', 'No method.')\n"
        "class Both(Nothing):\n    def generate(self): ...\n    def encode(self): ...\n"
        "class Metric(Nothing):\n    def compare(self): ...\n"
    )
    for name, complaint in (("Nothing", "none of the methods"), ("Both", "generators and encoders")):
        done = check(f"{file}:{name}")
        assert isinstance(done.exception, UsageError) and complaint in str(done.exception)
    assert json.loads(check(f"{file}:Metric", "--json").stdout.splitlines()[0])["kind"] == "metrics"


def test_names_are_matched_whatever_their_case() -> None:
    lines = [json.loads(line) for line in check("Flat-COLOUR", "--size", "32", "--json").stdout.splitlines()]
    assert {line["plugin"] for line in lines} == {"flat-colour"}
    assert {line["status"] for line in lines} <= {"passed", "skipped"}


def test_options_reach_the_plugin() -> None:
    options = ("train_slides=3", "validation_slides=2", "test_slides=2", "per_slide=2", "size=32")
    done = check("phantom-cam16", *[word for option in options for word in ("-o", option)])
    assert done.exit_code == 0, done.stdout
    assert "✓ splits read: 6 train of 3 slides, 4 validation of 2 slides, 4 test of 2 slides" in done.stdout

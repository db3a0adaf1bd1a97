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
        "import numpy as np\nfrom bench.types import Card\nclass Mine:\n    card = Card('mine', '1', 'Small images.')\n"
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
    [(["nois"], "unknown generator 'nois'. Did you mean 'noise'"), (["noise", "--size", "7"], "multiple of 8")],
)
def test_command_leaves_mistakes_to_the_command_line(arguments: list[str], complaint: str) -> None:
    done = check(*arguments)
    assert isinstance(done.exception, UsageError) and complaint in str(done.exception)

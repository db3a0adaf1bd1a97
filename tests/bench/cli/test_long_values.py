"""Values of any length in options and files are cut where a message shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import LONGEST_LINE, DamagedError
from tests import command_run
from tests.small_run import bench
from tests.tasks.datasets.importing import sources
from tests.tasks.datasets.importing.sources import refusal

DIGITS = "9" * 4000
"""Fewer than Python refuses to read."""
RUN = "run -t cam16-seg -g blur"


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "9" * 5000],
        ["--seeds", ",".join(["0"] * 5000)],
        ["--seeds", DIGITS],
        ["--fit-seeds", DIGITS],
        ["--workers", DIGITS],
        ["-o", f"task.steps={DIGITS}"],
        ["-o", DIGITS],
        ["-o", f"{DIGITS}=1"],
        ["--experiment", DIGITS],
    ],
)
def test_a_long_value_of_an_option(tmp_path: Path, words: list[str]) -> None:
    done = bench(*RUN.split(), *words, home=tmp_path / "home")
    assert done.exit_code == 2, done.stderr
    assert "999999" in done.stderr or "0,0,0" in done.stderr
    assert len(done.stderr) < 1000


def test_a_long_value_that_click_refuses(tmp_path: Path) -> None:
    done = command_run.bench(*RUN.split(), "--workers", "9" * 5000, home=tmp_path / "home")
    assert done.returncode == 2 and f"'{'9' * 20}... (5000 digits)' is not a valid integer" in done.stderr


def test_more_workers_than_a_machine_can_have(tmp_path: Path) -> None:
    done = bench(*RUN.split(), "--workers", 1025, home=tmp_path / "home")
    assert done.exit_code == 2 and "--workers takes at most 1024 processes, not 1025" in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [{"id": DIGITS, "file_name": "s0.png"}, {"id": DIGITS, "file_name": "s1.png"}]},
        {"annotations": [{"image_id": 0, "category_id": DIGITS}]},
        {"annotations": [{"image_id": DIGITS, "category_id": 7}]},
        {"annotations": [{"image_id": 0, "category_id": 7, "segmentation": {"size": [DIGITS, 4], "counts": [1]}}]},
        {"annotations": [{"image_id": 0, "category_id": 7}], "categories": [{"id": 7, "name": "a word " * 5000}]},
    ],
)
def test_a_long_value_of_a_coco_file(tmp_path: Path, changes: dict[str, object]) -> None:
    source = sources.coco(tmp_path / "source", **changes)
    assert len(refusal(source, tmp_path / "out").replace(str(tmp_path), "")) < LONGEST_LINE + 200


def test_a_long_value_of_an_index(tmp_path: Path) -> None:
    source = sources.table(tmp_path / "source", mpp=DIGITS + "x")
    message = refusal(source, tmp_path / "out")
    assert "mpp" in message and len(message.replace(str(tmp_path), "")) < 1000


def test_what_was_cut_is_counted_also_in_records() -> None:
    message = str(DamagedError(f"the id {DIGITS} of {'x ' * 5000}"))
    assert f"the id {DIGITS[:20]}... (4000 digits) of" in message and message.endswith("characters)")
    assert len(message) <= LONGEST_LINE and str(DamagedError(message)) == message
    assert json.dumps(DamagedError(1, 2).args) == "[1, 2]"

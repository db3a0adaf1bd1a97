"""Sets of images made elsewhere: one set counts as one seed, seed0/, seed1/ are sets of those run seeds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.results import schema
from bench.results.schema import ResultRecord
from leaderboards.tables import build, reading
from tests.small_run import WORDS, bench, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`noise` exported with two seeds: DIR/sets/seed0, DIR/sets/seed1, and its records in DIR/noise."""
    place = tmp_path_factory.mktemp("sets")
    folder = run("-g", "noise", *WORDS, "--controls", "none", "--seeds", "0,1", home=place / "home", out=place / "noise")
    assert bench("export", "samples", folder, "--out", place / "exported", home=place / "home").exit_code == 0
    for seed in (0, 1):
        shutil.copytree(place / "exported" / f"noise-seed{seed}", place / "sets" / f"seed{seed}")
    return place


def measured(made: Path, folder: Path, seeds: str, tmp_path: Path, *words: str) -> tuple[list[ResultRecord], str]:
    """Records of the folder, and what was logged."""
    asked = (
        "run",
        "-g",
        f"folder:{folder}",
        *WORDS,
        "--controls",
        "none",
        "--seeds",
        seeds,
        *words,
        "--out",
        tmp_path / "out",
    )
    done = bench(*asked, home=made / "home")
    assert done.exit_code == 0, done.stderr
    return reading.read_records([Path(done.stdout.splitlines()[-1])]), done.output


def values(records: list[ResultRecord], measure: str = "fd") -> dict[int, float | None]:
    return {record.seed: record.value for record in records if record.measure == measure}


def test_one_set_is_one_seed_whatever_is_asked_for(made: Path, tmp_path: Path) -> None:
    records, text = measured(made, made / "sets" / "seed0", "0,1", tmp_path)
    assert {record.seed for record in records} == {0}
    assert "one set of images counts as one seed" in text and "nothing for seed 1" in text
    (board,) = build.boards(records)
    shown = build.as_text(board)
    assert {cell.seeds for _, row in board.rows for cell in row.values() if cell.value is not None} == {
        1
    } and "2 seeds" not in shown
    assert "folder: one seed: one set of images made elsewhere" in shown


def test_each_seed_has_its_own_set(made: Path, tmp_path: Path) -> None:
    records, text = measured(made, made / "sets", "0,1", tmp_path)
    noise = reading.read_records([made / "noise"])
    assert values(records) == pytest.approx(values(noise)) and values(records)[0] != values(records)[1]
    (board,) = build.boards(records)
    assert [name for name, _ in board.rows] == ["folder"] and "one set" not in text + build.as_text(board)
    assert {cell.seeds for _, row in board.rows for cell in row.values() if cell.value is not None} == {2}


def test_workers_read_the_set_of_their_seed(made: Path, tmp_path: Path) -> None:
    """Each worker builds the generator again from its options."""
    home = tmp_path / "fresh"
    asked = ("run", "-g", f"folder:{made / 'sets'}", *WORDS, "--controls", "none", "--seeds", "0,1", "--workers", "2")
    done = bench(*asked, "--out", tmp_path / "out", home=home)
    assert done.exit_code == 0, done.stderr
    records = list(schema.read([Path(done.stdout.splitlines()[-1]) / "results.jsonl"]))
    assert values(records) == pytest.approx(values(reading.read_records([made / "noise"])))


def test_a_seed_without_a_set_is_refused_before_anything_is_computed(made: Path, tmp_path: Path) -> None:
    asked = ("run", "-g", f"folder:{made / 'sets'}", *WORDS, "--seeds", "0,2", "--out", tmp_path / "out")
    done = bench(*asked, home=made / "home")
    assert done.exit_code == 3 and "sets of the seeds 0, 1, none of 2" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["same", "beside"])
def test_sets_that_are_none_are_refused(made: Path, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "sets"
    shutil.copytree(made / "sets" / "seed0", folder / "seed0")
    shutil.copytree(made / "sets" / "seed0", folder / "seed1" if change == "same" else folder / "more")
    if change == "beside":
        (folder / "more" / "samples").rename(folder / "samples")
    done = bench("run", "-g", f"folder:{folder}", *WORDS, "--seeds", "0", "--out", tmp_path / "out", home=made / "home")
    text = "hold the same images" if change == "same" else "has images of its own beside seed0"
    assert done.exit_code == 3 and text in done.stderr

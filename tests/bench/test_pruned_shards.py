"""A store of which some entries were pruned: what reads them makes them again, also where a list of shards hides them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import small_run

WORDS = ["-g", "flat-colour", "--controls", "noise", "--seeds", "0", *small_run.WORDS, "-o", "dataset.per_slide=24"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The store of a finished run, and the values of its records."""
    folder = tmp_path_factory.mktemp("finished")
    return folder / "home", records(small_run.run(*WORDS, home=folder / "home", out=folder / "out"))


def records(folder: Path) -> list[str]:
    return [record.split('"stamp"')[0] for record in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "kinds",
    [
        ("measured", "encoded"),
        ("measured", "generated"),
        ("measured", "encoded", "generated"),
        ("measured", "features", "generated"),
        ("measured", "encoded", "generated", "data"),
    ],
    ids=" ".join,
)
def test_pruned_entries_are_made_again(finished: tuple[Path, list[str]], kinds: tuple[str, ...], tmp_path: Path) -> None:
    home, expected = finished
    shutil.copytree(home, tmp_path / "home")
    for kind in kinds:
        assert len(list((tmp_path / "home" / kind).glob("*/entry.json"))) > 1
        shutil.rmtree(tmp_path / "home" / kind)
    folder = small_run.run(*WORDS, home=tmp_path / "home", out=tmp_path / "out")
    assert records(folder) == expected

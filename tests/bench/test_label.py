"""`bench run --label`: another name in tables, the same numbers, keys and folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import RunConfig
from bench.errors import UsageError
from bench.results import schema
from bench.results.identity import label_of, result_key
from bench.results.schema import ResultRecord
from tests.small_run import WORDS, bench, run

RUN = ["-g", "flat-colour", *WORDS, "--controls", "noise", "--seeds", "0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("label") / "home"


def records(folder: Path) -> list[ResultRecord]:
    return list(schema.read([folder / "results.jsonl"]))


def test_a_label_names_the_row_and_changes_no_identity(home: Path, tmp_path: Path) -> None:
    plain = run(*RUN, home=home, out=tmp_path / "plain")
    named = run(*RUN, "--label", "ours v2", home=home, out=tmp_path / "named")
    assert plain.name == named.name
    assert [result_key(one) for one in records(plain)] == [result_key(one) for one in records(named)]
    assert {label_of(one) for one in records(named) if one.generator == "flat-colour"} == {"ours v2"}
    assert {label_of(one) for one in records(named) if one.generator == "noise"} == {""}
    for folder, shown, hidden in ((plain, "flat-colour", "ours v2"), (named, "ours v2", "flat-colour")):
        head = (folder / "table.txt").read_text().splitlines()[1]
        assert shown in head and hidden not in head
        board = bench("leaderboard", "--results", folder, home=home).stdout
        assert shown in board and f"\n{hidden}" not in board
    compared = bench("compare", "ours v2", "noise", "--results", tmp_path / "named", home=home)
    assert compared.exit_code == 0 and "ours v2" in compared.stdout


def test_two_rows_of_one_label_are_distinguished(home: Path, tmp_path: Path) -> None:
    run(*RUN, "--label", "ours", home=home, out=tmp_path / "one")
    words = ["-g", "crop-paste", *WORDS, "--controls", "none", "--seeds", "0"]
    run(*words, "--label", "ours", home=home, out=tmp_path / "other")
    shown = bench("leaderboard", "--results", tmp_path, home=home).stdout
    assert "ours (flat-colour)" in shown and "ours (crop-paste)" in shown


@pytest.mark.parametrize(
    ("label", "message"),
    [("a/b", "has a separator of folders"), ("..", "means another folder"), ("nul", "is a device"), ("real", "name of a gen")],
)
def test_what_is_no_name_is_refused(label: str, message: str, home: Path) -> None:
    with pytest.raises(UsageError, match=message):
        RunConfig("flat-colour", "cam16-seg", label=label)
    assert bench("run", *RUN, "--label", label, home=home).exit_code == 2

"""Answer files: joined with the key, or refused in a sentence, by `bench study unblind`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboards.studies import schema
from leaderboards.studies.answers import read_table
from leaderboards.studies.schema import REAL
from tests.leaderboards.studies.small_study import Made, answer_file, make, write_signed
from tests.small_run import bench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("study"))


def unblind(made: Made, out: Path, *files: Path, key: Path | None = None) -> Any:
    words = [word for file in files for word in ("--answers", file)]
    return bench(
        "study", "unblind", made.folder, "--key", key or made.key_file, "--out", out, *words, home=out.parent / "home"
    )


def test_answers_are_joined_with_the_key_and_read_back(made: Made, tmp_path: Path) -> None:
    def value(image: schema.Image, question: schema.Question) -> int:
        return int(image.arm != REAL) if question.kind == "yes-no" else 5 if image.arm == REAL else 2

    files = [answer_file(made, tmp_path / f"{i}.json", i, value=value) for i in (1, 2, 3)]
    done = unblind(made, tmp_path / "table.jsonl", *files)
    assert done.exit_code == 0, done.stderr
    table = read_table(tmp_path / "table.jsonl")
    assert len(table) == 3 * 16 * 5 and table.reader.unique().tolist() == ["Dr 1", "Dr 2", "Dr 3"]
    assert (table[table.question == "synthetic"].value == (table[table.question == "synthetic"].arm != REAL)).all()
    assert (table[table.question == "overall"].groupby("arm").value.mean() == [2, 2, 5]).all()
    assert (table[table.question == "overall"].groupby(["reader", "repeat"]).size() == [12, 4] * 3).all()
    assert (table.seconds == 1.5).all() and (table.regions.str.len() == (table.question == "hallucination")).all()
    twice = table[table.repeat == 1]
    for row in twice.itertuples():
        same = table[(table.reader == row.reader) & (table.image == row.image) & (table.question == row.question)]
        assert sorted(same.repeat) == [0, 1] and same.item.nunique() == 2
    again = unblind(made, tmp_path / "table.jsonl", *files)
    assert again.exit_code == 2 and "unblinded before" in again.stderr


Edit = Callable[[dict[str, Any]], None]
EDITS: dict[str, tuple[Edit, int, str]] = {
    "another study": (lambda held: held.update(study="0" * 16), 7, "is of the study 0000"),
    "another commitment": (lambda held: held.update(commitment="0" * 64), 7, "another commitment"),
    "another page": (lambda held: held.update(page="reader-9"), 7, "from the page reader-9"),
    "fewer items": (lambda held: held["answers"].pop(), 3, "lacks 1 of 18 images"),
    "an item twice": (lambda held: held["answers"].append(held["answers"][0]), 2, "twice"),
    "a strange item": (lambda held: held["answers"][0].update(item="f" * 16), 7, "which the page reader-1 does not show"),
    "a question left out": (lambda held: held["answers"][0]["values"].pop("nuclei"), 3, "no answer to nuclei"),
    "a value beyond": (lambda held: held["answers"][0]["values"].update(overall=6), 2, "the values are 1 to 5"),
    "a strange question": (lambda held: held["answers"][0]["values"].update(beauty=1), 7, "does not ask"),
    "a region outside": (lambda held: held["answers"][0]["regions"][0].update(x=30), 2, "outside the image"),
    "no answer file": (lambda held: held.pop("answers"), 3, "is no answers file"),
}


@pytest.mark.parametrize("name", EDITS)
def test_answers_that_do_not_fit_are_refused_in_a_sentence(made: Made, tmp_path: Path, name: str) -> None:
    """With a digest that fits the content, as whoever edits on purpose would write it."""
    edit, code, text = EDITS[name]
    held = json.loads(answer_file(made, tmp_path / "1.json").read_text())
    edit(held)
    write_signed(tmp_path / "1.json", held)
    done = unblind(made, tmp_path / "table.jsonl", tmp_path / "1.json")
    assert done.exit_code == code and text in done.stderr and "1.json" in done.stderr
    assert not (tmp_path / "table.jsonl").exists()


def test_an_edited_file_is_refused_by_its_digest(made: Made, tmp_path: Path) -> None:
    file = answer_file(made, tmp_path / "1.json")
    file.write_text(file.read_text().replace('"overall": 1', '"overall": 5', 1))
    done = unblind(made, tmp_path / "table.jsonl", file)
    assert done.exit_code == 3 and "was edited after the page exported it" in done.stderr


def test_two_readers_of_one_name_and_one_page_twice_are_refused(made: Made, tmp_path: Path) -> None:
    one, two = answer_file(made, tmp_path / "1.json", 1, "Ann"), answer_file(made, tmp_path / "2.json", 2, " ann")
    done = unblind(made, tmp_path / "table.jsonl", one, two)
    assert done.exit_code == 2 and "both of the reader" in done.stderr
    same = answer_file(made, tmp_path / "3.json", 1, "Bea")
    done = unblind(made, tmp_path / "table.jsonl", one, same)
    assert done.exit_code == 2 and "both of the page 'reader-1'" in done.stderr


def test_a_key_and_a_study_that_were_edited_are_refused(made: Made, tmp_path: Path) -> None:
    file, held = answer_file(made, tmp_path / "1.json"), json.loads(made.key_file.read_text())
    held["images"][0]["arm"], held["images"][1]["arm"] = held["images"][1]["arm"], held["images"][0]["arm"]
    assert held["images"][0]["arm"] != held["images"][1]["arm"]
    (tmp_path / "key.json").write_text(json.dumps(held))
    done = unblind(made, tmp_path / "table.jsonl", file, key=tmp_path / "key.json")
    assert done.exit_code == 7 and "is not the key" in done.stderr
    other = make(tmp_path / "other")
    assert unblind(made, tmp_path / "table.jsonl", file, key=other.key_file).exit_code == 7
    study = other.folder / "study.json"
    study.write_text(study.read_text().replace("very poor", "not bad"))
    done = unblind(other, tmp_path / "table.jsonl", file, key=other.key_file)
    assert done.exit_code == 3 and "was edited after the study was made" in done.stderr

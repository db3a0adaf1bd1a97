"""Two records are of one number when one function says so; its words are those that stand on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import MissingError
from bench.results import schema
from bench.results.identity import Quantity, is_absent, quantity, result_key
from bench.results.schema import ResultRecord
from bench.results.terms import Reason, State, Status

RECORD = ResultRecord("g", "d", "none", "t", "fd", "lower", "p", encoder="conv", value=1.0, described={"generator": {"a": 1}})


@pytest.mark.parametrize(
    "change",
    [
        *(
            {name: "other"}
            for name in ("generator", "dataset", "prompt_source", "task", "measure", "encoder", "mix", "protocol")
        ),
        {"seed": 1},
        {"source": "a paper"},
        {"keys": {"weights": "w"}},
        {"described": {"generator": {"a": 2}}},
        {"described": {"generator": {"a": 1}, "layouts": {"name": "discs"}}},
        {"described": {"generator": {"a": 1}, "experiment": {"name": "addition"}}},
    ],
)
def test_every_part_of_a_key_tells_records_apart(change: dict[str, object]) -> None:
    assert result_key(replace(RECORD, **change)) != result_key(RECORD)  # type: ignore[arg-type]


def test_how_a_number_came_out_is_no_part_of_its_key() -> None:
    other = replace(RECORD, value=2.0, low=1.0, n=7, state=State.VERIFIED, stamp={"made": "later"}, flags=("embedded",))
    assert result_key(other) == result_key(RECORD)


def test_a_quantity_outlives_seed_protocol_and_options() -> None:
    again = replace(RECORD, seed=3, protocol="q", described={"generator": {"a": 2}})
    assert quantity(again) == quantity(RECORD) == Quantity("t", "d", "none", "g", "fd conv")


def test_the_words_stand_on_disk_as_ever(tmp_path: Path) -> None:
    schema.write([RECORD], tmp_path / "r.jsonl")
    held = json.loads((tmp_path / "r.jsonl").read_text())
    assert (held["status"], held["state"]) == ("ok", "measured")
    assert [*Status] == ["ok", "error", "skipped", "not-comparable"]
    assert [*State] == ["reported", "measured", "reproduced", "verified"]
    (read,) = schema.read([tmp_path / "r.jsonl"])
    assert read.status is Status.OK and read.state is State.MEASURED and read == RECORD


def test_a_word_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    text = schema.to_json(RECORD).replace('"measured"', '"guessed"')
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(MissingError, match=r"r.jsonl:1: state 'guessed'; known are reported, measured, reproduced, verified"):
        list(schema.read([tmp_path / "r.jsonl"]))


def test_a_reason_is_known_by_its_first_word_and_not_by_its_first_letters() -> None:
    assert Reason.INVALID.begins("invalid: n") and not Reason.INVALID.begins("invalidated: n")
    assert is_absent("gated") and is_absent("missing: no weights") and not is_absent("missingness is no code")

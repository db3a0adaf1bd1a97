"""What may stand in a result record: rules that a true number keeps, versions known to be wrong, files that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import MissingError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import Reason
from leaderboards.tables import reading
from tests.small_run import bench

ROOT = Path(__file__).parents[3]


def record(measure: str, value: float | None, **more: object) -> ResultRecord:
    base = ResultRecord(
        generator="g",
        dataset="d",
        prompt_source="slide",
        task="t",
        measure=measure,
        direction="higher",
        protocol="p",
        mix="real",
        value=value,
        n=10,
        n_real=10,
        groups=5,
        keys={"test": "k"},
        stamp={"made": "2026-01-01", "histobench": "0.1.0"},
    )
    return replace(base, **more)  # type: ignore[arg-type]


def read(tmp_path: Path, *made: ResultRecord, invalidated: str = "") -> list[ResultRecord]:
    schema.write(made, tmp_path / "run" / "results.jsonl")
    (tmp_path / "invalidated.toml").write_text(invalidated)
    return reading.read_records([tmp_path], tmp_path / "invalidated.toml")


def test_true_records_come_back_as_they_were(tmp_path: Path) -> None:
    made = [
        record("iou", 0.5, low=0.4, high=0.6, least=0.0, most=1.0),
        record("fd-normalised", -0.01),
        record("density", 1.7),
        record("dice:a", 2 / 3),
        record("iou:a", 0.5),
        record("pq-pooled", 0.35),
        record("dq-pooled", 0.5),
        record("sq-pooled", 0.7),
        record("is", None, status="skipped", reason="missing: weights"),
    ]
    assert read(tmp_path, *made) == made


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([record("fd", -3.0)], "fd = -3 lies outside [0, inf]"),
        ([record("fd-lower-reference", -0.1)], "outside [0, inf]"),
        ([record("precision", 1.01)], "outside [0, 1]"),
        ([record("recall", 1.5)], "outside [0, 1]"),
        ([record("coverage", 1.5)], "outside [0, 1]"),
        ([record("iou:tumour", 1.5)], "outside [0, 1]"),
        ([record("pq-pooled", 1.5)], "outside [0, 1]"),
        ([record("anything", 1.5, most=1.0)], "outside [-inf, 1]"),
        ([record("iou", 0.5, low=0.6, high=0.7)], "outside its interval [0.6, 0.7]"),
        ([record("iou", 0.5, low=0.3, high=0.4)], "outside its interval"),
        ([record("iou", 0.5, n=9)], "9 patches where 10 were planned"),
        ([record("dice:a", 0.5), record("iou:a", 0.5)], "dice:a 0.5, iou:a 0.5 contradict"),
        ([record("dice-binary", 0.5), record("iou-binary", 0.5)], "contradict"),
        ([record("pq-pooled", 0.4), record("dq-pooled", 0.5), record("sq-pooled", 0.7)], "contradict"),
    ],
)
def test_what_cannot_be_true_is_withdrawn_with_its_place(tmp_path: Path, wrong: list[ResultRecord], message: str) -> None:
    found = read(tmp_path, record("unrelated", 0.1), *wrong)
    assert found[0].status == "ok"
    for number, entry in enumerate(found[1:], start=2):
        assert entry.status == "not-comparable" and entry.value is None and entry.low is None and entry.replicates == ()
        assert entry.reason.startswith("invalid: ") and message in entry.reason
        assert f"results.jsonl:{number}" in entry.reason


def test_no_number_is_beyond_what_can_be_squared(tmp_path: Path) -> None:
    (found,) = read(tmp_path, record("fd-normalised", 1e200))
    assert found.value is None and "lie beyond 1e+100" in found.reason


def test_means_of_dice_and_iou_need_not_agree(tmp_path: Path) -> None:
    made = [record("dice-pooled", 0.5), record("iou-pooled", 0.4), record("pq", 0.4), record("dq", 0.9), record("sq", 0.9)]
    assert read(tmp_path, *made) == made


def test_rules_hold_within_one_model_only(tmp_path: Path) -> None:
    made = [
        record("dice:a", 0.5),
        record("iou:a", 0.9, seed=1),
        record("iou:a", 0.8, mix="real+synthetic"),
        record("iou:a", 0.7, generator="h"),
    ]
    assert read(tmp_path, *made) == made


def test_records_of_one_test_set_have_as_many_patches_and_slides(tmp_path: Path) -> None:
    short = record("iou", 0.5, seed=2, n=9, n_real=9)
    other = record("iou", 0.5, n=7, n_real=7, keys={"test": "another"}, protocol="of the other set")
    found = read(tmp_path, record("iou", 0.5), record("iou", 0.6, seed=1), short, other)
    assert [entry.status for entry in found] == ["ok", "ok", "not-comparable", "ok"]
    assert "9 patches of 5 slides, the same test set elsewhere has 10 of 5" in found[2].reason


INVALIDATIONS = '[[invalidated]]\nmeasure = "{}"\nversions = "{}"\nreason = "made of patches"\n'


@pytest.mark.parametrize(
    ("measure", "versions", "stamped"),
    [("iou", "<0.2", "0.1.0"), ("iou", "<0.2", "absent")],
)
def test_known_wrong_versions_are_withdrawn_visibly(tmp_path: Path, measure: str, versions: str, stamped: str) -> None:
    made = record("iou", 0.5, stamp={"histobench": stamped})
    (found,) = read(tmp_path, made, invalidated=INVALIDATIONS.format(measure, versions))
    assert found.status == "not-comparable" and found.value is None
    assert found.reason == f"invalidated: histobench {stamped} is within {versions}: made of patches"


@pytest.mark.parametrize(
    ("measure", "versions", "stamped"),
    [
        ("iou", ">=0.2", "0.1.0"),
        ("iou", "<0.2", "0.2.0"),
        ("iou", "<0.2", "0.2.0.dev3"),
        ("iou:tumour", "<0.2", "0.1.0"),
        ("fd", "<0.2", "0.1.0"),
    ],
)
def test_other_versions_and_measures_stay(tmp_path: Path, measure: str, versions: str, stamped: str) -> None:
    made = record("iou", 0.5, stamp={"histobench": stamped})
    assert read(tmp_path, made, invalidated=INVALIDATIONS.format(measure, versions)) == [made]


def test_a_measure_takes_its_classes_along(tmp_path: Path) -> None:
    (found,) = read(tmp_path, record("iou:tumour", 0.5), invalidated=INVALIDATIONS.format("iou", "<1"))
    assert found.value is None


@pytest.mark.parametrize(
    "invalidated",
    ["[[invalidated", '[[invalidated]]\nmeasure = "fd"\n', INVALIDATIONS.format("fd", "younger"), "invalid = 1\n"],
)
def test_a_broken_list_of_withdrawn_numbers_is_refused(tmp_path: Path, invalidated: str) -> None:
    with pytest.raises(UsageError, match="invalidated.toml"):
        read(tmp_path, record("iou", 0.5), invalidated=invalidated)


def test_the_shipped_list_of_withdrawn_numbers_can_be_read() -> None:
    assert all(entry.reason for entry in reading.invalidations())


@pytest.mark.parametrize(("field", "value"), [("value", "high"), ("seed", "one"), ("direction", "up")])
def test_wrong_types_stop_the_reading_by_place(tmp_path: Path, field: str, value: object) -> None:
    held = {**json.loads(schema.to_json(record("iou", 0.5))), field: value}
    (tmp_path / "r.jsonl").write_text("\n" + json.dumps(held) + "\n")
    with pytest.raises(MissingError, match="r.jsonl:2"):
        reading.read_records([tmp_path])


def test_reported_records_stay_apart(tmp_path: Path) -> None:
    schema.write([record("iou", 0.7, state="reported"), record("iou", 0.5)], tmp_path / "r.jsonl")
    assert [entry.value for entry in reading.read_records([tmp_path])] == [0.5]
    assert [entry.value for entry in reading.reported([tmp_path])] == [0.7]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    schema.write([record("iou", 0.5)], tmp_path / "r.jsonl")
    assert len(reading.read_records([tmp_path, tmp_path / "r.jsonl"])) == 1


def test_verified_records_stand_in_for_those_of_their_run(tmp_path: Path) -> None:
    measured = record("iou", 0.5)
    assert [found.state for found in read(tmp_path, measured)] == ["measured"]
    schema.write([replace(measured, state="verified")], tmp_path / "run" / "verified.jsonl")
    assert [found.state for found in read(tmp_path, measured)] == ["verified"]


AGAIN = {"stamp": {"made": "2026-02-01", "histobench": "0.1.0", "machine": "another"}}


@pytest.mark.parametrize("value", [0.5, 0.5 + 1e-9, 0.5004])
def test_the_same_number_made_again_stands_once_and_the_first_stays(tmp_path: Path, value: float) -> None:
    first, again = record("iou", 0.5, low=0.4, high=0.6), record("iou", value, low=0.4, high=0.6, **AGAIN)
    assert read(tmp_path, again, first) == [first]


def test_distances_of_a_set_from_itself_differ_only_by_rounding(tmp_path: Path) -> None:
    first, again = record("fd", 3e-15), record("fd", 9e-14, **AGAIN)
    assert read(tmp_path, first, again) == [first]


def test_a_number_takes_the_place_of_a_skip(tmp_path: Path) -> None:
    skipped = record("iou", None, status="skipped", reason="missing: weights")
    made = record("iou", 0.5, **AGAIN)
    assert read(tmp_path, skipped, made) == read(tmp_path, made, skipped) == [made]


CONTRADICTIONS: list[dict[str, object]] = [
    {"value": 4.0, "low": 3.5, "high": 4.5},
    {"low": 1.0},
    {"replicates": (1.5, 2.9)},
    {"n": 11, "n_real": 11, "keys": {"weights": "w"}},
]


@pytest.mark.parametrize("change", CONTRADICTIONS)
@pytest.mark.parametrize("verb", ["leaderboard", "report", "compare", "gate", "merge"])
def test_two_records_of_one_number_that_contradict_each_other_stop_every_command(
    tmp_path: Path, verb: str, change: dict[str, object]
) -> None:
    """A distance that another file doubles was shown doubled by every table, and refused by `merge` alone."""
    first = record("fd", 2.0, low=1.5, high=2.5, replicates=(1.5, 2.5), direction="lower", keys={"weights": "w"})
    for name, made in (("a", first), ("b", replace(first, **{**change, **AGAIN})), ("c", first)):  # type: ignore[arg-type]
        schema.write([replace(first, measure="kid", direction="lower"), made], tmp_path / "runs" / f"{name}.jsonl")
    runs, one = tmp_path / "runs", tmp_path / "runs" / "a.jsonl"
    words: dict[str, tuple[object, ...]] = {
        "leaderboard": ("--results", runs),
        "report": (runs, "--out", tmp_path / "page", "--patches", "0"),
        "compare": (runs, one),
        "gate": ("--baseline", one, "--candidate", runs),
        "merge": (runs, "--out", tmp_path / "all.jsonl"),
    }
    done = bench(verb, *words[verb], home=tmp_path)
    assert done.exit_code == 7, done.output
    assert f"{runs / 'a.jsonl'}:2" in done.stderr and f"{runs / 'b.jsonl'}:2" in done.stderr
    assert "g fd real seed 0" in done.stderr and "bench verify" in done.stderr and not (tmp_path / "all.jsonl").exists()


def test_nothing_to_read_is_stated(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="bench run"):
        reading.read_records([tmp_path])
    with pytest.raises(MissingError, match="nowhere"):
        reading.read_records([tmp_path / "nowhere"])


def test_the_shipped_records_keep_every_rule() -> None:
    for folder in ("measured/phantom", "measured/real", "baselines"):
        files = list((ROOT / "leaderboards" / folder).glob("*.jsonl"))
        assert files, folder
        for file in files:
            found = reading.read_records([file])
            assert found and not [entry.reason for entry in found if entry.reason.startswith((Reason.INVALID, "error"))], file

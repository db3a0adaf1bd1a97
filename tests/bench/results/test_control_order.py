"""The first line of a table says where controls are out of order, and says nothing where they may be in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.results import tables
from bench.results.schema import ResultRecord
from leaderboards.tables import build

FD = ResultRecord("ldm", "d", "none", "seg", "fd", "lower", "p", encoder="conv", value=1.5, low=1.0, high=2.0, n=8, groups=6)
Value = tuple[float, float | None, float | None]


def record(generator: str, measure: str, value: Value, encoder: str = "conv") -> ResultRecord:
    return replace(FD, generator=generator, measure=measure, encoder=encoder, value=value[0], low=value[1], high=value[2])


def first_lines(*records: ResultRecord) -> set[str]:
    """Of a run's table and of a leaderboard, without what these call the data."""
    run = tables.plain(tables.make_tables(records, "ldm")).splitlines()[0]
    (board,) = build.boards(records)
    text, markdown = build.as_text(board).splitlines()[0], build.as_markdown(board).splitlines()[0]
    return {line.strip("*").partition("; ")[2] for line in (run, text, markdown)}


NEAR, MIDDLE, FAR = (0.1, 0.0, 0.2), (0.5, 0.4, 0.6), (0.9, 0.8, 1.0)


@pytest.mark.parametrize("measure", ["fd", "fd-pca16", "fd-inf", "mind", "kid", "cmmd"])
def test_distances(measure: str) -> None:
    right = [record("real", measure, NEAR), record("blur", measure, MIDDLE), record("noise", measure, FAR)]
    assert first_lines(*right) == {""}
    wrong = [record("real", measure, MIDDLE), record("blur", measure, NEAR), record("noise", measure, FAR)]
    assert first_lines(*wrong) == {f"CONTROLS OUT OF ORDER in {measure} conv (blur before real)"}
    assert first_lines(record("real", measure, FAR), record("noise", measure, NEAR)) == {
        f"CONTROLS OUT OF ORDER in {measure} conv (noise before real)"
    }


@pytest.mark.parametrize("value", [(0.5, 0.15, 0.9), (0.5, None, None)])
def test_what_is_not_certain_is_not_claimed(value: Value) -> None:
    assert first_lines(record("real", "fd", value), record("blur", "fd", NEAR)) == {""}


@pytest.mark.parametrize(
    ("control", "measure", "right", "wrong", "text"),
    [
        ("copy-train", "memorized", (1.0, 1.0, 1.0), (0.1, 0.0, 0.2), "memorized (copy-train below 0.5)"),
        ("crop-paste", "copied-fraction", (0.9, 0.8, 1.0), (0.1, 0.0, 0.2), "copied-fraction (crop-paste below 0.5)"),
        ("real", "memorized-over-real", (0.0, 0.0, 0.0), (0.1, 0.05, 0.2), "memorized-over-real (real above 0)"),
        ("shuffle", "map-iou-of-real", (0.4, 0.3, 0.5), (1.2, 1.1, 1.3), "map-iou-of-real (shuffle above 1)"),
    ],
)
def test_what_a_control_must_show(control: str, measure: str, right: Value, wrong: Value, text: str) -> None:
    assert first_lines(record(control, measure, right, encoder="")) == {""}
    assert first_lines(record(control, measure, wrong, encoder="")) == {f"CONTROLS OUT OF ORDER in {text}"}
    assert first_lines(record("ldm", measure, wrong, encoder="")) == {""}, "generators may be anywhere"


def test_many_are_counted() -> None:
    wrong = [record(name, "fd", value, encoder) for encoder in "abcde" for name, value in (("real", FAR), ("noise", NEAR))]
    (line,) = first_lines(*wrong)
    assert (
        line
        == "CONTROLS OUT OF ORDER in fd a (noise before real), fd b (noise before real), fd c (noise before real) and 2 more"
    )


def test_other_measures_have_no_order() -> None:
    assert first_lines(record("real", "precision", NEAR), record("noise", "precision", FAR)) == {""}

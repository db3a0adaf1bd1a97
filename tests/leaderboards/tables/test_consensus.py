"""What encoders agree on: ranks, intervals of ranks, conflicts, disagreements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as any_

from bench.results.tables import Cell
from benchmarks.ranks import STUDY
from benchmarks.ranks_simulation import Setting, settings, simulate
from leaderboards.tables.consensus import Consensus, consensus, sentences


def cell(encoder: str, value: float | None, half: float | None = 0.1, **more: object) -> Cell:
    bounds = (None, None) if value is None or half is None else (value - half, value + half)
    made = Cell("g", "slide", f"fd {encoder}", "lower", "p", value, *bounds, 100, 20, 3, "ok", "", ())
    return replace(made, **more)  # type: ignore[arg-type]


def table(values: dict[str, tuple[float | None, ...]], half: float | None = 0.1) -> dict[str, dict[str, Cell]]:
    return {name: {f"fd e{i}": cell(f"e{i}", v, half) for i, v in enumerate(row)} for name, row in values.items()}


def of(rows: dict[str, dict[str, Cell]]) -> Consensus:
    columns = tuple(dict.fromkeys(column for found in rows.values() for column in found))
    found = consensus(rows, columns)
    assert found is not None
    return found


def test_clear_differences_give_whole_ranks_without_width() -> None:
    found = of(table({"c": (3.0, 30.0), "a": (1.0, 10.0), "b": (2.0, 20.0)}))
    assert [(p.generator, p.rank, p.low, p.high) for p in found.places] == [("a", 1, 1, 1), ("b", 2, 2, 2), ("c", 3, 3, 3)]
    assert not found.disagreements


def test_overlapping_distances_widen_ranks() -> None:
    found = of(table({"a": (1.0, 1.0), "b": (1.05, 1.05)}))
    assert found.places[0].rank == 1 and found.places[0].low == 1 and found.places[0].high == 2
    assert of(table({"a": (1.0, 1.0), "b": (1.05, 1.05)})) == found, "the same table says the same"


def test_equal_distances_share_a_rank() -> None:
    assert [p.rank for p in of(table({"a": (1.0, 1.0), "b": (1.0, 1.0)}, half=0.0)).places] == [1.5, 1.5]


def test_an_encoder_that_knew_one_generator_is_left_out_for_all() -> None:
    rows = table({"a": (1.0, 1.0, 9.0), "b": (2.0, 2.0, 1.0)})
    assert of(rows).disagreements[0].after == ("e2",)
    rows["b"]["fd e2"] = cell("e2", 1.0, flags=("encoder-conflict",))
    found = of(rows)
    assert found.encoders == ("e0", "e1") and found.left_out == ("e2",) and not found.disagreements
    assert "without e2" in sentences(found)[0]


def test_disagreements_name_the_encoders_of_either_side() -> None:
    (pair,) = of(table({"a": (1.0, 1.0, 5.0), "b": (2.0, 2.0, 4.0)})).disagreements
    assert (pair.first, pair.second, pair.before, pair.after) == ("a", "b", ("e0", "e1"), ("e2",))


def test_a_generator_without_a_number_stands_apart() -> None:
    assert [p.generator for p in of(table({"a": (1.0, 1.0), "b": (2.0, 2.0), "c": (None, 3.0)})).places] == ["a", "b"]


def test_without_intervals_ranks_have_none() -> None:
    assert all(p.low is None for p in of(table({"a": (1.0, 1.0), "b": (2.0, 2.0)}, half=None)).places)


@pytest.mark.parametrize("values", [{"a": (1.0,), "b": (2.0,)}, {"a": (1.0, 2.0)}])
def test_one_encoder_or_one_generator_is_no_consensus(values: dict[str, tuple[float | None, ...]]) -> None:
    rows = table(values)
    assert consensus(rows, tuple(rows["a"])) is None


@given(any_.lists(any_.tuples(any_.integers(0, 4), any_.integers(0, 4)), min_size=2, max_size=6))
def test_ranks_count_what_is_smaller_and_share_what_is_equal(distances: list[tuple[int, int]]) -> None:
    places = of(table({f"g{i}": row for i, row in enumerate(distances)}, half=None)).places
    for place in places:
        own = distances[int(place.generator[1:])]
        columns = list(zip(zip(*distances, strict=True), own, strict=True))
        smaller = [sum(other < value for other in column) for column, value in columns]
        equal = [sum(other == value for other in column) for column, value in columns]
        assert place.rank == sum(s + (e + 1) / 2 for s, e in zip(smaller, equal, strict=True)) / 2


def test_the_rank_that_is_shown_lies_in_its_interval() -> None:
    """A bootstrap of these distances gave [1.67, 7.67] for a rank of 1."""
    rows = table({"best": (1.0, 1.0, 1.0), **{f"g{i}": (1.02 + i / 200,) * 3 for i in range(8)}})
    places = of(rows).places
    assert places[0].generator == "best" and places[0].rank == 1.0
    for place in places:
        assert place.low is not None and place.high is not None and place.low <= place.rank <= place.high


@given(any_.lists(any_.tuples(any_.floats(0, 1), any_.floats(0, 1)), min_size=2, max_size=5), any_.floats(0.01, 1))
def test_any_rank_lies_in_its_interval(distances: list[tuple[float, float]], half: float) -> None:
    for place in of(table({f"g{i}": row for i, row in enumerate(distances)}, half=half)).places:
        assert place.low is not None and place.high is not None and place.low <= place.rank <= place.high


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("gaps", ["close", "equal"])
def test_intervals_of_ranks_hold_the_true_rank(gaps: str, shared: bool) -> None:
    found = simulate(Setting(4, 3, 12, gaps, shared, 120))  # type: ignore[arg-type]
    assert found.inside == found.places == 480
    assert found.held >= 0.93 * found.places


def test_clear_differences_leave_no_width_and_shared_slides_are_no_more_evidence() -> None:
    clear = simulate(Setting(4, 3, 40, "clear", False, 20))
    assert clear.width < 0.5
    page = STUDY.held()
    assert set(page) == set(settings())
    for setting, kept in page.items():
        assert kept.held >= 0.93 * kept.places and kept.inside == kept.places, setting

"""Agreement with the implementations that papers used: every line of docs/parity.md."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import parity
from benchmarks.parity import Case

TOLERANCE = 1e-6
IDS = [f"{case.label} and {case.reference}" for case in parity.CASES]


@pytest.fixture(scope="module")
def tissue() -> tuple[parity.Table, parity.Table]:
    sides = parity.tissue()
    if sides is None:
        pytest.skip("no real patches: ../shared/data/regions/camelyon is not there")
    return sides


@pytest.mark.parametrize("case", parity.CASES, ids=IDS)
def test_on_random_features(case: Case) -> None:
    for n, d in ((300, 48), (150, 12)):
        found = parity.row(case, *parity.clouds(n, d), "random")
        assert found.theirs != 0
        assert found.error <= TOLERANCE, found


@pytest.mark.parametrize("case", parity.CASES, ids=IDS)
def test_on_real_patches(case: Case, tissue: tuple[parity.Table, parity.Table]) -> None:
    assert parity.row(case, *tissue, "camelyon").error <= TOLERANCE


HARD = parity.hard_sets(160, 12)


@pytest.mark.parametrize("data", HARD)
@pytest.mark.parametrize("case", parity.HARD_CASES, ids=[case.label for case in parity.HARD_CASES])
def test_on_features_of_difficult_kinds(case: Case, data: str) -> None:
    assert parity.row(case, *HARD[data], data).error <= TOLERANCE


def test_an_error_is_relative_to_the_reference_and_absolute_at_nothing() -> None:
    case = parity.CASES[0]
    assert parity.Row(case, "", 3.0, 2.0).error == 0.5
    assert parity.Row(case, "", 3.0, 0.0).error == 3.0


def test_the_page_names_every_metric_and_no_place_on_a_machine() -> None:
    text = parity.PAGE.read_text()
    assert parity.page([]).splitlines()[0] == text.splitlines()[0]
    assert {case.label for case in (*parity.CASES, *parity.HARD_CASES)} == set(re.findall(r"^\| `(.+?)`", text, re.MULTILINE))
    assert all(data.partition(",")[0] in text for data in parity.hard_sets())
    errors = [float(line.split("|")[-2]) for line in text.splitlines() if line.startswith("| `")]
    assert max(errors) <= TOLERANCE
    assert "/work" not in text and "/home" not in text


def test_clouds_differ_and_are_drawn_again_the_same() -> None:
    (a, b), (c, _) = parity.clouds(50, 5), parity.clouds(50, 5)
    np.testing.assert_array_equal(a, c)
    assert not np.allclose(a, b)

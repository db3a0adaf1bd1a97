"""Policies of the gate: which files are accepted, and the shipped one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import MissingError, UsageError
from leaderboards.gate import policy
from leaderboards.gate.gate import measured
from leaderboards.gate.policy import Margin, Policy
from tests.leaderboards.runs import run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha = [", "is not TOML"),
        ("", "margin"),
        ('[[margin]]\nmeasures = "*"', "needs a margin"),
        ('[[margin]]\nmeasures = "*"\nabsolute = 1\nrelative = -1', "needs a margin"),
        ('[[margin]]\nmeasures = "*"\nabsolute = -1', "needs a margin"),
        ('alfa = 1\n[[margin]]\nmeasures = "*"\nabsolute = 1', "alfa"),
        ('alpha = 0.7\n[[margin]]\nmeasures = "*"\nabsolute = 1', "alpha lies between"),
    ],
)
def test_a_policy_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        policy.read(str(tmp_path / "p.toml"))


def test_policies_are_found_by_name_and_the_shipped_one_has_a_margin_for_everything() -> None:
    shipped = policy.read()
    assert shipped.margin[-1].measures == "*" and shipped.alpha == 0.05
    with pytest.raises(UsageError, match="Did you mean 'default'"):
        policy.read("defalt")
    with pytest.raises(MissingError, match="copy it"):
        policy.read("absent.toml")
    with pytest.raises(UsageError, match="no margin for 'fd conv'"):
        measured(run(), run(), Policy((Margin("iou*", absolute=1.0), Margin("prec*", absolute=1.0))))

"""Experiments from TOML: ours are sound, faults are named with their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.errors import MissingError, UsageError
from bench.measurements.experiment_files import find, read

SHELF: Path = registry.find("tasks", "lizard-nuclei")[0].experiments
GOOD = """
name = "mine"
summary = "one real, one painted"
pool = "R2"
measures = ["dice"]
[[diet]]
name = "real"
real = 1.0
[[diet]]
name = "painted"
synthetic = 1.0
reported = { dice = 0.8 }
[[comparison]]
diet = "painted"
against = "real"
claim = "non-inferior"
margin = 0.01
"""


def test_the_papers_numbers_stand_in_ours() -> None:
    addition, replacement, annotation = (find(name, SHELF, "t") for name in ("addition", "replacement", "annotation"))
    reported = {serving.name: serving.reported for serving in addition.diet if serving.reported}
    assert [value["dice"] for value in reported.values()] == [0.7713, 0.7869, 0.7993, 0.8092, 0.8091]
    assert [value["miou"] for value in reported.values()] == [0.6409, 0.6608, 0.6771, 0.6889, 0.6890]
    assert [s.reported["dice"] for s in replacement.diet if s.reported] == [0.8091, 0.8098, 0.8097, 0.8092, 0.8087]
    assert [s.reported["miou"] for s in annotation.diet if s.reported] == [0.6854, 0.6840]
    assert addition.pool == replacement.pool == "R2" and annotation.pool == "R1"


@pytest.mark.parametrize("name", ["addition", "replacement", "annotation"])
def test_ours_hold_the_controls_that_the_paper_lacks(name: str) -> None:
    found = find(name, SHELF, "t")
    fillings = {serving.filling for serving in found.diet}
    assert "shuffled" in fillings
    if name == "addition":
        assert fillings == {"painted", "shuffled", "copied", "augmented"}
        assert {serving.real for serving in found.diet if not serving.synthetic} == {0.25, 0.5, 0.75, 1.0}
    if name == "replacement":
        assert all(s.real + s.synthetic == 1 for s in found.diet if s.synthetic)  # same masks, same count


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    found = find(str(tmp_path / "mine.toml"), None, "t")
    assert found.diet[1].diet.synthetic == 1.0 and found.comparison[0].margin == 0.01


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('pool = "R2"', 'pool = "R9"', "pool"),
        ("real = 1.0", 'real = "much"', r"diet\.0\.real"),
        ("real = 1.0", "reel = 1.0", "reel"),
        ('against = "real"', 'against = "reel"', "Did you mean 'real'"),
        ("margin = 0.01", "", "state a margin"),
        ("margin = 0.01", "margin = nan", r"comparison\.0\.margin is not a finite number"),
        ("real = 1.0", "real = inf", r"diet\.0\.real is not a finite number"),
        ('name = "painted"\nsyn', 'name = "real"\nsyn', "names of their own"),
        ('claim = "non-inferior"', 'claim = "good"', "claim"),
        ("measures = [", "measures = ", "not TOML"),
    ],
)
def test_faults_are_named_with_their_file(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in GOOD
    (tmp_path / "mine.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(UsageError, match=rf"mine\.toml.*{said}"):
        read(tmp_path / "mine.toml")


def test_unknown_names_are_answered_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'addition'.*annotation, replacement"):
        find("adition", SHELF, "lizard-nuclei")
    with pytest.raises(UsageError, match="cam16-seg has no experiment"):
        find("addition", None, "cam16-seg")
    with pytest.raises(MissingError, match="absent.toml"):
        find(str(tmp_path / "absent.toml"), None, "t")

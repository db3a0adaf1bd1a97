"""Experiments from TOML: ours are sound, faults are named with their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.errors import MissingError, UsageError
from bench.measurements.experiment_files import find, read

FOLDER: Path = registry.find("tasks", "lizard-nuclei")[0].experiments
GOOD = """
name = "mine"
summary = "one real, one generated"
pool = "R2"
measures = ["dice"]
[[arm]]
name = "real"
real = 1.0
[[arm]]
name = "generated"
synthetic = 1.0
reported = { dice = 0.8 }
[[comparison]]
arm = "generated"
against = "real"
claim = "non-inferior"
margin = 0.01
"""


def test_the_papers_numbers_stand_in_ours() -> None:
    addition, replacement, annotation = (find(name, FOLDER, "t") for name in ("addition", "replacement", "annotation"))
    reported = {arm.name: arm.reported for arm in addition.arm if arm.reported}
    assert [value["dice"] for value in reported.values()] == [0.7713, 0.7869, 0.7993, 0.8092, 0.8091]
    assert [value["miou"] for value in reported.values()] == [0.6409, 0.6608, 0.6771, 0.6889, 0.6890]
    assert [s.reported["dice"] for s in replacement.arm if s.reported] == [0.8091, 0.8098, 0.8097, 0.8092, 0.8087]
    assert [s.reported["miou"] for s in annotation.arm if s.reported] == [0.6854, 0.6840]
    assert addition.pool == replacement.pool == "R2" and annotation.pool == "R1"


@pytest.mark.parametrize("name", ["addition", "replacement", "annotation"])
def test_ours_hold_the_controls_that_the_paper_lacks(name: str) -> None:
    found = find(name, FOLDER, "t")
    synthetic_sources = {arm.synthetic_source for arm in found.arm}
    assert "shuffled" in synthetic_sources
    if name == "addition":
        assert synthetic_sources == {"generated", "shuffled", "copied", "augmented"}
        assert {arm.real for arm in found.arm if not arm.synthetic} == {0.25, 0.5, 0.75, 1.0}
    if name == "replacement":
        assert all(s.real + s.synthetic == 1 for s in found.arm if s.synthetic)  # same masks, same count


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    found = find(str(tmp_path / "mine.toml"), None, "t")
    assert found.arm[1].mix.synthetic == 1.0 and found.comparison[0].margin == 0.01


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('pool = "R2"', 'pool = "R9"', "pool"),
        ("real = 1.0", 'real = "much"', r"arm\.0\.real"),
        ("real = 1.0", "reel = 1.0", "reel"),
        ('against = "real"', 'against = "reel"', "Did you mean 'real'"),
        ("margin = 0.01", "", "state a margin"),
        ("margin = 0.01", "margin = nan", r"comparison\.0\.margin is not a finite number"),
        ("real = 1.0", "real = inf", r"arm\.0\.real is not a finite number"),
        ('name = "generated"\nsyn', 'name = "real"\nsyn', "names of their own"),
        ('claim = "non-inferior"', 'claim = "good"', "claim"),
        ("measures = [", "measures = ", "not TOML"),
    ],
)
def test_faults_are_named_with_their_file(old: str, new: str, text: str, tmp_path: Path) -> None:
    assert old in GOOD
    (tmp_path / "mine.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(UsageError, match=rf"mine\.toml.*{text}"):
        read(tmp_path / "mine.toml")


def test_unknown_names_are_answered_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'addition'.*annotation, headroom, replacement"):
        find("adition", FOLDER, "lizard-nuclei")
    with pytest.raises(UsageError, match="cam16-seg has no experiment"):
        find("addition", None, "cam16-seg")
    with pytest.raises(MissingError, match="absent.toml"):
        find(str(tmp_path / "absent.toml"), None, "t")


def test_experiments_on_embedded_data_are_as_small_as_headroom_asks() -> None:
    segmentation: Path = registry.find("tasks", "region-seg")[0].experiments
    for folder in (FOLDER, segmentation):
        sizes = {path.stem: read(path).embedded for path in folder.glob("*.toml")}
        assert set(map(str, sizes.values())) == {str({"task.patches": 40})}, "chosen once, by the experiment headroom"
        shares = {(arm.real, arm.synthetic) for arm in read(folder / "headroom.toml").arm}
        assert shares == {(0.25, 0.0), (1.0, 0.0)}, "real patches alone"

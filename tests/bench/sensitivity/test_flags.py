"""Flags of shipped metrics: tied to versions, and shown in lists, on cards and in tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import registry
from bench.errors import DamagedError
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.tables import make_tables
from bench.sensitivity import flags
from bench.sensitivity.claims import Claims
from bench.types import ConditionMetric, FeatureMetric, IsCorruption, TrainedMetric
from tests.leaderboards import runs
from tests.small_run import bench

FLAGGED = flags.Examined("fd", "1", "fd", "texture", "9", "cam16-seg", "mine", 64, 8, ("jpeg",), ("blur",), ("stain-shift",))
HELD = replace(FLAGGED, metric="kid", version="2", measure="kid", not_seen=(), reversed=())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the shipped flags: one of fd, none of kid."""
    monkeypatch.setattr(flags, "examined", lambda: (FLAGGED, HELD))
    flags._flagged_places.cache_clear()
    yield  # type: ignore[misc]
    flags._flagged_places.cache_clear()


def test_shipped_flags_are_of_the_versions_and_claims_of_today() -> None:
    held = flags.examined()
    assert held
    for one in held:
        assert registry.card("metrics", one.metric).version == one.version, f"{one.metric}: bench sensitivity --flags"
        if one.encoder:
            assert registry.card("encoders", one.encoder).version == one.encoder_version
        for corruption in (*one.seen, *one.not_seen, *one.reversed):
            assert Claims().claims(one.metric, one.measure, one.encoder, corruption)


def test_every_shipped_metric_of_images_claims_corruptions_that_exist_or_says_nothing() -> None:
    known = {name for name in registry.names("generators") if isinstance(registry.find("generators", name)[0], IsCorruption)}
    claimed = {}
    for name in registry.names("metrics"):
        cls = registry.find("metrics", name)[0]
        if isinstance(cls, FeatureMetric | TrainedMetric | ConditionMetric):
            claimed[name] = {sees.rpartition(":")[2] for sees in cls.card.sees}
    assert set().union(*claimed.values()) <= known
    assert {name for name, sees in claimed.items() if not sees} == {"is", "prompt-faithfulness"}


def test_a_claim_of_a_measure_is_of_that_measure_alone() -> None:
    assert Claims().claims("nuclei-faithfulness", "nuclei-kept", "", "nuclei-removed")
    assert not Claims().claims("nuclei-faithfulness", "nuclei-excess", "", "nuclei-removed")
    assert not Claims().claims("fd", "fd", "stain", "blur"), "the encoder excludes it"
    assert not Claims().claims("of-nobody", "x", "texture", "blur")


def test_lists_mark_metrics_with_a_flag(known: None, tmp_path: Path) -> None:
    done = bench("list", "metrics", home=tmp_path)
    assert " fd! " in done.stdout and " kid " in done.stdout and "bench info METRIC" in done.stderr
    rows = [json.loads(line) for line in bench("list", "--json", home=tmp_path).stdout.splitlines()]
    assert {row["name"] for row in rows if row.get("flagged")} == {"fd"}
    assert "!" not in bench("list", "encoders", home=tmp_path).stdout


def test_cards_show_claims_and_what_does_not_hold(known: None, tmp_path: Path) -> None:
    text = bench("info", "fd", home=tmp_path).stdout
    assert "sees           jpeg, blur" in text and "seen           fd texture: jpeg (mine)" in text
    assert "fd texture does not see blur; goes back under stain-shift (mine, 64 patches of 8 slides)" in text
    assert "flagged" not in bench("info", "kid", home=tmp_path).stdout


def test_a_flag_of_another_version_only_asks_to_measure_again(
    known: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags, "examined", lambda: (replace(FLAGGED, version="0"),))
    flags._flagged_places.cache_clear()
    text = bench("info", "fd", home=tmp_path).stdout
    assert "version 0 was examined, this one was not" in text and "does not see" not in text
    assert not flags.is_flagged(fd_record())


def fd_record(version: str = "1", encoder_version: str = "9") -> ResultRecord:
    (made,) = runs.run("ldm", seeds=1, measures={"fd texture": "lower"})
    metric, encoder = {"name": "fd", "version": version}, {"name": "texture", "version": encoder_version}
    return replace(made, described={**made.described, "metric": metric, "encoder": encoder})


def test_tables_name_measures_with_a_flag(known: None, tmp_path: Path) -> None:
    (table,) = make_tables([fd_record()], "ldm")
    assert "! fd texture: a claim of the metric's card does not hold (bench info METRIC)" in table.notes
    for other in (fd_record(version="2"), fd_record(encoder_version="8")):
        assert not any(note.startswith("!") for note in make_tables([other], "ldm")[0].notes)
    schema.write([fd_record()], tmp_path / "made.jsonl")
    assert "! fd texture: a claim of the metric's card" in bench("leaderboard", "--results", tmp_path, home=tmp_path).stdout
    schema.write([fd_record(version="2")], tmp_path / "made.jsonl")
    assert "claim of" not in bench("leaderboard", "--results", tmp_path, home=tmp_path).stdout


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flags.json").write_text('{"examined": [{"metric": "fd"}]}')
    with pytest.raises(DamagedError, match="bench sensitivity --flags"):
        flags.examined(tmp_path / "flags.json")

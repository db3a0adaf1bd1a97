"""Verdicts and equivalents of responses that are known by construction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.sensitivity.claims import Claims
from bench.sensitivity.flags import examined
from leaderboards.sensitivity.equivalents import equivalents
from leaderboards.sensitivity.ladders import corruptions
from leaderboards.sensitivity.responses import Response, holm, place_of, responses
from tests.leaderboards import runs
from tests.small_run import bench

JPEG, BLUR = corruptions()["jpeg"], corruptions()["blur"]
CLAIMS = Claims({("metrics", "mine"): ("jpeg", "other:blur"), ("encoders", "conv"): ()})


def record(name: str, value: float, noise: float = 0.01, measure: str = "mine", direction: str = "lower") -> ResultRecord:
    """One record of a generator or of a corruption's strength: a value, which differs a little from slide to slide."""
    corruption, colon, strength = name.partition(":")
    rng = np.random.default_rng(len(name) * 1000 + sum(map(ord, name)))
    values = value + rng.normal(0, noise, runs.SLIDES).repeat(runs.PATCHES)
    made = runs.line(name, f"{measure} conv", direction, 0, values - values.mean() + value)
    option = {"jpeg": "quality", "blur": "sigma"}.get(corruption, "steps")
    described = {
        "generator": {"name": corruption, "version": "1", "options": {option: float(strength)} if colon else {}},
        "metric": {"name": "mine", "version": "7", "options": {}},
        "encoder": {"name": "conv", "version": "3", "options": {}},
    }
    return replace(made, described=described)


def ladder(values: Sequence[float], corruption: str = "jpeg", start: float = 0.0, **more: object) -> list[ResultRecord]:
    """The start and one record for each strength of a corruption."""
    strengths = {"jpeg": JPEG, "blur": BLUR}[corruption].strengths
    named = [f"{corruption}:{strength:g}" for strength in strengths[: len(values)]]
    pairs = [("unchanged", start), *zip(named, values, strict=True)]
    return [record(name, value, **more) for name, value in pairs]  # type: ignore[arg-type]


def only(records: list[ResultRecord]) -> Response:
    (found,) = responses(records, CLAIMS)
    return found


def test_a_measure_that_rises_with_every_step_is_seen_from_the_first_sure_strength() -> None:
    found = only(ladder([0.001, 0.1, 0.2, 0.3, 0.4, 0.5]))
    assert (found.verdict, found.sure_from, found.wrong_at, found.is_flagged) == ("seen", 85.0, None, False)


def test_higher_is_better_must_fall() -> None:
    assert only(ladder([0.9, 0.8, 0.7, 0.6], start=1.0, direction="higher")).verdict == "seen"
    assert only(ladder([1.1, 1.2, 1.3, 1.4], start=1.0, direction="higher")).verdict == "reversed"


def test_a_step_back_is_reversed_and_flagged_where_the_card_claims() -> None:
    found = only(ladder([0.1, 0.2, 0.1, 0.3]))
    assert (found.verdict, found.wrong_at, found.is_flagged) == ("reversed", 75.0, True)
    assert not only(ladder([0.1, 0.2, 0.1, 0.3], "blur")).is_flagged, "the card claims blur of another measure only"
    assert only(ladder([0.1, 0.2, 0.1, 0.3], "blur", measure="other")).is_flagged


def test_a_small_step_back_within_the_noise_is_no_reversal() -> None:
    assert only(ladder([0.1, 0.2, 0.199, 0.3], noise=0.05)).verdict == "seen"


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.001, -0.001, 0.001]])
def test_what_does_not_move_is_not_seen_and_flagged(values: list[float]) -> None:
    found = only(ladder(values))
    assert (found.verdict, found.is_flagged) == ("not seen", True)


def test_differences_of_rounding_are_none() -> None:
    exact = [replace(r, replicates=(r.value,) * 20) for r in ladder([1 + 1e-12, 1 - 1e-12, 1 + 2e-12], start=1.0, noise=0)]
    assert only(exact).verdict == "not seen"


def test_strengths_without_intervals_are_left_out_with_the_reason() -> None:
    records = ladder([0.1, 0.2, 0.3])
    blank = replace(records[0], replicates=(), low=None, high=None, reason="underpowered: extrapolated")
    found = only([blank, *records[1:]])
    assert (found.verdict, len(found.points)) == ("seen", 3) and "underpowered" in found.reason
    assert only([replace(r, replicates=()) for r in records]).verdict == "undecided"


def test_other_forms_of_a_measure_are_not_tested() -> None:
    records = ladder([0.1, 0.2, 0.3])
    more = [replace(r, measure=f"mine{end}") for r in records for end in ("-normalised", "-lower-reference", ":tumour")]
    assert [found.of.measure for found in responses([*records, *more], CLAIMS)] == ["mine"]


def test_records_without_corruptions_are_refused_with_the_command() -> None:
    with pytest.raises(MissingError, match="bench sensitivity --task"):
        responses([record("ldm", 0.3)])


def test_equivalents_interpolate_what_is_known() -> None:
    measured = responses(ladder([0.1, 0.2, 0.4, 0.5, 0.7, 0.9]), CLAIMS)  # 95, 85, 75, 60, 45, 30
    (worth,), refused = equivalents([replace(record("ldm", 0.3), low=0.25, high=0.45)], measured)
    assert worth.strength.value == pytest.approx(80) and not refused
    assert worth.ends is not None and [end.value for end in worth.ends] == pytest.approx([82.5, 67.5])
    assert str(worth) == "80 [82.5, 67.5]"


def test_a_response_is_made_monotone_before_it_is_inverted() -> None:
    measured = responses(ladder([0.1, 0.21, 0.19, 0.3], noise=0.1), CLAIMS)
    (worth,), _ = equivalents([replace(record("ldm", 0.2), low=None, high=None)], measured)
    assert worth.strength.value == pytest.approx(85), "the weakest strength of the level part at 0.2"


def test_scores_outside_of_what_was_measured_lie_beyond_its_ends() -> None:
    measured = responses(ladder([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), CLAIMS)
    made = [replace(record("near", 0.05), low=0.01, high=0.15), replace(record("far", 0.8), low=0.55, high=0.9)]
    (near, far), _ = equivalents(made, measured)
    assert str(near) == "weaker than 95 [weaker than 95, 90]"
    assert str(far) == "stronger than 30 [37.5, stronger than 30]"
    claims = Claims({("metrics", "mine"): ("blur",)})
    (worth,), _ = equivalents(
        [replace(record("near", -0.1), low=-0.2, high=0.05)], responses(ladder([0.1, 0.2], "blur"), claims)
    )
    assert str(worth) == "0 [0, 0.25]", "nothing is weaker than no blur"


def test_scores_of_another_protocol_are_refused_with_the_reason() -> None:
    measured = responses(ladder([0.1, 0.2, 0.3]), CLAIMS)
    found, (sentence,) = equivalents([replace(record("ldm", 0.2), protocol="of other patches")], measured)
    assert not found and "another protocol" in sentence and sentence.startswith("ldm")


def test_what_is_not_seen_has_no_equivalent() -> None:
    assert equivalents([record("ldm", 0.2)], responses(ladder([0.0, 0.0, 0.0]), CLAIMS)) == ([], [])


def test_the_place_of_a_record_does_not_depend_on_how_its_strength_was_written() -> None:
    assert place_of(record("jpeg:80.0", 1), corruptions()) == "jpeg:80" and place_of(record("ldm", 1), corruptions()) == "ldm"


def test_holm_is_that_of_statsmodels() -> None:
    from bench.statistics import claims

    for values in ([0.01, 0.04, 0.03], [0.5, 0.001, 0.02, 0.02], [0.2]):
        assert holm(values) == pytest.approx(claims.holm(values))


def test_the_command_reads_records_writes_figure_and_flags_and_translates_scores(tmp_path: Path) -> None:
    records = [replace(r, measure="fd", encoder="texture", protocol="p") for r in ladder([0.1, 0.2, 0.4, 0.5])]
    records = [replace(r, described={**r.described, "metric": {"name": "fd", "version": "1"}}) for r in records]
    blurred = [replace(r, measure="fd", encoder="texture", protocol="p") for r in ladder([0.0, 0.0], "blur")[1:]]
    blurred = [replace(r, described={**r.described, "metric": {"name": "fd", "version": "1"}}) for r in blurred]
    schema.write([*records, *blurred], tmp_path / "ladders.jsonl")
    scores = [replace(r, generator="ldm", described={"generator": {"name": "ldm"}}) for r in records[:1]]
    scores = [replace(r, value=0.3, low=0.25, high=0.45) for r in scores]
    schema.write(scores, tmp_path / "ldm.jsonl")
    words = ["sensitivity", "--records", tmp_path / "ladders.jsonl", "--against", tmp_path / "ldm.jsonl", "--json"]
    files = ["--figure", tmp_path / "made.svg", "--flags", tmp_path / "flags.json"]
    done = bench(*words, *files, home=tmp_path)
    assert done.exit_code == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["corruption"]: row["verdict"] for row in found if "verdict" in row} == {"jpeg": "seen", "blur": "not seen"}
    assert [row["strength"]["value"] for row in found if "strength" in row] == pytest.approx([80])
    assert (tmp_path / "made.svg").read_text().startswith("<?xml")
    (flag,) = examined(tmp_path / "flags.json")
    assert (flag.metric, flag.seen, flag.not_seen, flag.is_flagged) == ("fd", ("jpeg",), ("blur",), True)
    kept = bench(
        *words[:1], "--records", tmp_path / "ladders.jsonl", "--keep", tmp_path / "kept.jsonl", "--json", home=tmp_path
    )
    assert kept.stdout == bench(*words[:1], "--records", tmp_path / "kept.jsonl", "--json", home=tmp_path).stdout
    both = bench(*words[:-1], home=tmp_path).stdout
    assert "what metrics see" in both and "what scores are worth" in both
    for only, other in (("responses", "what scores are worth"), ("equivalents", "what metrics see")):
        assert other not in bench(*words[:-1], "--only", only, home=tmp_path).stdout
    assert bench(*words, "--measures", "fd", home=tmp_path).stdout == done.stdout
    assert "no measure 'kid'" in bench(*words, "--measures", "kid", home=tmp_path).stderr
    fewer = bench(*words, "--corruptions", "jpeg", home=tmp_path)
    assert "blur" not in fewer.stdout and "jpeg" in fewer.stdout
    page = bench(*words[:-1], "--format", "markdown", home=tmp_path)
    assert "| fd texture ↓ | not seen ! | 95 |" in page.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "give --task"),
        (["--task", "cam16-seg", "--records", "x"], "not both"),
        (["--task", "cam16-seg", "--figure", "x.bmp"], ".png"),
        (["--task", "cam16-seg", "--strengths", "jpeg=a"], "CORRUPTION=1,2,3"),
        (["--task", "cam16-seg", "--strengths", "blur=1,2", "--corruptions", "jpeg"], "'blur'"),
        (["--task", "cam16-seg", "--strengths", "jpeg=50", "--corruptions", "jpeg"], "two strengths"),
        (["--task", "cam16-seg", "--corruptions", "jpg"], "Did you mean"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_work(words: list[str], wanted: str, tmp_path: Path) -> None:
    done = bench("sensitivity", *words, home=tmp_path)
    assert done.exit_code == UsageError.exit_code and wanted in done.stderr

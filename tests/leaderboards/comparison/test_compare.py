"""Comparisons: sentences that can be quoted, ties, p-values for as many measures as there are, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome
from hypothesis import given
from hypothesis import strategies as any_

from bench.errors import MissingError, NotComparableError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.statistics.claims import holm
from leaderboards.cli.compare import command
from leaderboards.comparison.compare import Comparisons, Side, compared, sentence, text, two_sided
from tests.leaderboards.runs import MEASURES, run


def against(first: list[ResultRecord], second: list[ResultRecord], *measures: str) -> Comparisons:
    return compared(Side("a", tuple(first)), Side("b", tuple(second)), measures)


def message(found: Comparisons, measure: str) -> str:
    return next(sentence(found, one) for one in found.made if one.where.measure == measure)


def test_what_is_better_is_stated_by_the_direction_of_the_measure() -> None:
    found = against(run("a", worse=0.1), run("b"))
    assert message(found, "fd conv").startswith("a has a higher (worse) fd conv than b by 0.1")
    assert message(found, "iou synthetic").startswith("a has a lower (worse) iou synthetic than b by 0.09974 [")
    assert "(n = 320 patches of 40 slides, 3 seeds, p < .001 after Holm over 3 measures)." in message(found, "fd conv")


def test_turned_around_it_says_the_same_the_other_way() -> None:
    there, back = against(run("a", worse=0.1), run("b")), against(run("b"), run("a", worse=0.1))
    assert message(back, "fd conv").startswith("a has a lower (better) fd conv than b by")
    gaps = [one.difference.value for one in there.made], [-one.difference.value for one in back.made]
    assert gaps[0] == pytest.approx(gaps[1])
    brackets = [message(found, "fd conv").split("(n")[0].split("by ")[1] for found in (there, back)]
    assert brackets[0] == brackets[1]


def test_a_tie_is_stated_as_a_tie_and_equality_as_equality() -> None:
    assert message(against(run("a"), run("b")), "fd conv").startswith("a and b tie in fd conv: difference ")
    same = against(run("a"), run("a"))
    assert message(same, "fd conv").startswith("a and b have the same fd conv, bit by bit")
    assert same.tested == 0


def test_holm_by_hand_and_in_any_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


@given(any_.lists(any_.floats(0, 1), max_size=20))
def test_holm_is_what_the_paper_defines_bit_by_bit(p_values: list[float]) -> None:
    """Holm 1979: the i-th smallest of n times n - i + 1, at least as large as the one before, at most 1."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    expected, least = [0.0] * len(p_values), 0.0
    for step, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - step) * p_values[i]))
        expected[i] = least
    assert holm(p_values) == expected


def test_more_measures_make_each_harder_to_tell_apart() -> None:
    many = {f"precision {i}": "higher" for i in range(12)}
    alone = against(run("a", 0.004, measures=many), run("b", measures=many), "precision 7")
    among = against(run("a", 0.004, measures=many), run("b", measures=many))
    p_alone = alone.made[0].adjusted
    (p_among,) = (one.adjusted for one in among.made if one.where.measure == "precision 7")
    assert p_alone == pytest.approx(two_sided(alone.made[0].difference)) and p_alone < p_among
    assert alone.tested == 1 and among.tested == 12


def test_equal_measures_are_no_part_of_the_family() -> None:
    first, second = run("a", worse=0.1), run("b")
    lower_references = [replace(line, generator="b") for line in first if line.measure == "fd"]
    found = against(first, [line for line in second if line.measure != "fd"] + lower_references)
    assert found.tested == 2 and "over 2 measures" in message(found, "iou synthetic")


def test_protocols_that_differ_are_listed_with_the_entries_that_differ() -> None:
    other = [
        replace(line, protocol="q", described={**line.described, "dataset": {"options": {"size": 128}}}) for line in run("b")
    ]
    found = against(run("a"), other)
    assert not found.made and len(found.refused) == len(MEASURES)
    assert "protocols differ: dataset.options.size: 64 and 128" in text(found)
    assert "generator" not in found.refused[0][1], "generators may differ: they are what is compared"


def test_fewer_patches_are_named_where_descriptions_agree() -> None:
    assert "n: 320 and 10" in text(against(run("a"), [replace(line, protocol="q", n=10) for line in run("b")]))
    keyed = [replace(line, protocol="q", keys={"test": "other"}) for line in run("b")]
    assert "test patches: None and other" in text(against(run("a"), keyed))


def test_prompt_sources_are_not_mixed_but_a_generator_without_prompts_meets_each() -> None:
    own = [replace(line, prompt_source="self") for line in run("a")]
    slide = [replace(line, prompt_source="slide") for line in run("b")]
    assert "prompt sources differ: self and slide" in text(against(own, slide))
    both = against([*own, *(replace(line, prompt_source="slide") for line in run("a"))], run("b"))
    assert {one.where.prompt_source for one in both.made} == {"self", "slide"} and len(both.made) == 6


def test_lines_without_replicates_or_value_are_refused_with_the_reason() -> None:
    bare = [replace(line, replicates=()) for line in run("b")]
    assert "without each block" in text(against(run("a"), bare))
    failed = [replace(line, value=None, replicates=(), status="error", reason="Boom: it broke") for line in run("b")]
    assert "b has error for seed 0: Boom: it broke" in text(against(run("a"), failed))


def test_reported_lines_and_what_has_no_direction_are_never_compared() -> None:
    paper = [replace(line, state="reported") for line in run("b")]
    assert not against(run("a"), paper).made
    assert not against([replace(line, direction="none") for line in run("a")], run("b")).made


def test_one_seed_and_a_encoder_that_knew_are_stated_in_the_sentence() -> None:
    found = against(run("a", 0.1, seeds=1), [replace(line, flags=("encoder-conflict",)) for line in run("b", seeds=1)])
    assert "1 seed, p" in message(found, "fd conv") and "not an independent encoder" in message(found, "fd conv")
    assert "noise of training and sampling is left out" in message(found, "fd conv")


def test_classes_are_left_out_unless_asked_for() -> None:
    first, second = ([*run(g), *(replace(r, measure="iou:tumour", encoder="") for r in run(g)[:3])] for g in ("a", "b"))
    assert "iou:tumour synthetic" not in text(against(first, second))
    assert [one.where.measure for one in against(first, second, "iou:*").made] == ["iou:tumour synthetic"]


def bench(*asked: str) -> Outcome:
    return CliRunner().invoke(command, list(asked))


@pytest.fixture()
def place(tmp_path: Path) -> Path:
    for name, worse in (("a", 0.1), ("b", 0.0)):
        schema.write([*run(name, worse), *run("noise", 0.4)], tmp_path / name / "results.jsonl")
    return tmp_path


def test_runs_are_compared_by_the_generator_that_was_asked_for(place: Path) -> None:
    by_folder = bench(str(place / "a"), str(place / "b"))
    assert by_folder.exit_code == 0 and by_folder.output.count("a has a ") == 3
    by_name = bench("a", "b", "--results", str(place))
    assert by_name.output == by_folder.output
    assert "noise has a" in bench("noise", "b", "--results", str(place)).output


def test_json_is_one_object_with_the_same_sentences(place: Path) -> None:
    found = json.loads(bench("a", "b", "--results", str(place), "--json").output)
    assert [one["verdict"] for one in found["compared"]] == ["second"] * 3
    assert found["compared"][0]["sentence"] in bench("a", "b", "--results", str(place)).output
    assert found["compared"][0]["low"] < found["compared"][0]["difference"] < found["compared"][0]["high"]


def test_two_runs_of_one_generator_are_called_by_their_options(tmp_path: Path) -> None:
    described = {"generator": {"name": "a", "options": {"steps": 6}, "digest": "0a1b"}}
    schema.write(run("a"), tmp_path / "twelve.jsonl")
    fewer = [replace(r, described={**r.described, **described}) for r in run("a", 0.1, noise="other")]
    schema.write(fewer, tmp_path / "six.jsonl")
    shown = bench(str(tmp_path / "twelve.jsonl"), str(tmp_path / "six.jsonl")).output
    assert "a (steps 12) has a lower (better) fd conv than a (steps 6) by" in shown
    ambiguous = bench("a", "a", "--results", str(tmp_path))
    assert isinstance(ambiguous.exception, UsageError) and "more than one set of options" in str(ambiguous.exception)
    assert "generator.options.steps: 6 and 12" in str(ambiguous.exception)


def test_a_wrong_name_and_nothing_in_common_are_errors(place: Path) -> None:
    wrong = bench("nois", "b", "--results", str(place)).exception
    assert isinstance(wrong, UsageError) and "Did you mean 'noise'" in str(wrong)
    none = bench("a", "b", "--results", str(place), "-m", "kid *").exception
    assert isinstance(none, MissingError) and "share no measure that match kid *" in str(none)
    schema.write([replace(line, replicates=()) for line in run("c")], place / "c.jsonl")
    refused = bench("a", "c", "--results", str(place))
    assert isinstance(refused.exception, NotComparableError) and "without each block" in refused.output


def test_a_folder_named_like_a_generator_does_not_stand_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.write([*run("mine", worse=0.1), *run("other")], tmp_path / "results" / "results.jsonl")
    schema.write(run("third"), tmp_path / "mine" / "results.jsonl")
    named = CliRunner().invoke(command, ["Mine", "OTHER", "--json"])
    assert named.exit_code == 0, named.output
    assert [json.loads(named.stdout)[side] for side in ("first", "second")] == ["mine", "other"]
    folder = CliRunner().invoke(command, ["./mine", "other", "--json"])
    assert json.loads(folder.stdout)["first"] == "third"
    schema.write(run("third"), tmp_path / "third-run" / "results.jsonl")
    assert json.loads(CliRunner().invoke(command, ["third-run", "other", "--json"]).stdout)["first"] == "third"


def test_generators_that_differ_by_case_alone_are_refused(tmp_path: Path) -> None:
    schema.write([*run("gan", worse=0.1), *run("GAN"), *run("other")], tmp_path / "results.jsonl")
    done = CliRunner().invoke(command, ["Gan", "other", "--results", str(tmp_path)])
    assert isinstance(done.exception, UsageError) and "may be GAN or gan" in str(done.exception)
    assert CliRunner().invoke(command, ["gan", "GAN", "--results", str(tmp_path)]).exit_code == 0

"""Correlations of metrics with targets that are known by construction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from bench.errors import MissingError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from leaderboards.evidence.correlations import Correlation, correlations, kendall, least_sure, resamples, spearman
from leaderboards.evidence.values import Row, studies
from tests.leaderboards import runs
from tests.small_run import bench

GENERATORS = tuple("abcdefgh")


def record(generator: str, measure: str, value: float, direction: str = "higher") -> ResultRecord:
    made = runs.line(generator, measure, direction, 0, np.full(runs.SLIDES * runs.PATCHES, value))
    name, colon, strength = generator.partition(":")
    options = {"sigma": float(strength)} if colon else {}
    return replace(made, described={"generator": {"name": name, "options": options}})


def records(generators: tuple[str, ...] = GENERATORS) -> list[ResultRecord]:
    """Generator i has the score i alone and beside real patches, a distance that follows it, and a metric that does not."""
    made = []
    for i, name in enumerate(generators):
        score = i / 10
        made += [record(name, "iou synthetic", score), record(name, "iou real", 0.5)]
        made += [record(name, "iou real+synthetic", 0.5 + score / 2)]
        made += [record(name, "fd conv", 10 - i, "lower"), record(name, "odd conv", [3, 1, 2, 2, 1, 3, 1, 2][i])]
        made += [record(name, "reader-quality", [5, 1, 4, 2, 3, 6, 8, 7][i])]
    return made


def found(made: list[ResultRecord], metric: str, target: str, seed: int = 0) -> Correlation:
    (study,) = studies(made)
    (one,) = [one for one in correlations(study, seed) if (one.metric, one.target) == (metric, target)]
    return one


def test_a_metric_that_orders_generators_as_the_target_does_has_1_with_an_interval() -> None:
    for target in ("gain iou", "iou synthetic"):
        one = found(records(), "fd conv", target)
        assert (one.spearman.value, one.spearman.low, one.kendall.value) == pytest.approx((1, 1, 1))
        assert (one.generators, one.families) == (8, 8)


def test_the_direction_of_metric_and_target_counts() -> None:
    turned = [replace(r, direction="higher") if r.measure == "fd" else r for r in records()]
    assert found(turned, "fd conv", "gain iou").spearman.value == pytest.approx(-1)


def test_coefficients_are_those_of_scipy_with_ties_in_every_draw() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 12).astype(float), rng.normal(size=12)
    draws = rng.integers(0, 4, (20, 12)).astype(float)
    ours = spearman(x, y, draws), kendall(x, y, draws)
    for i, draw in enumerate(draws):
        a, b = (np.repeat(side, draw.astype(int)) for side in (x, y))
        assert (ours[0][i], ours[1][i]) == pytest.approx((spearmanr(a, b).statistic, kendalltau(a, b).statistic))


def test_readers_scores_and_faithfulness_are_targets_and_scores_of_metrics_are_not() -> None:
    read = [record(name, f"map-iou{end}", i / 8) for i, name in enumerate(GENERATORS) for end in ("", "-of-real", ":tumour")]
    read = [replace(r, described={**r.described, "metric": {"name": "map-faithfulness"}}) for r in read]
    made = records() + read + [record(name, "fd-normalised conv", 1, "lower") for name in GENERATORS]
    (study,) = studies(made)
    assert set(study.targets) == {"gain iou", "iou synthetic", "reader-quality", "map-iou"}
    assert set(study.metrics) == {"fd conv", "odd conv", "map-iou"}
    assert not [one for one in correlations(study) if one.metric == one.target], "nothing is its own target"
    assert found(made, "fd conv", "reader-quality").spearman.value == pytest.approx(
        spearmanr(range(8), [5, 1, 4, 2, 3, 6, 8, 7])[0]
    )


def test_gain_is_the_score_beside_real_patches_less_that_of_real_patches_alone() -> None:
    made = [r for r in records() if not (r.mix == "real" and r.generator in "cd")]
    (study,) = studies(made)
    values = {row.generator: value for row, value in study.targets["gain iou"].items()}
    assert values == pytest.approx({name: i / 20 for i, name in enumerate(GENERATORS)}), "the usual score where it is missing"


def test_strengths_of_one_corruption_are_one_family_and_are_drawn_together() -> None:
    names = ("blur:1", "blur:2", "blur:3", "d", "e", "f", "g", "h")
    one = found(records(generators=names), "odd conv", "gain iou")
    assert (one.generators, one.families) == (8, 6)
    rows = [Row(name, "none", name.partition(":")[0]) for name in names]
    draws = resamples(rows, 0)
    assert (draws[:, 0] == draws[:, 1]).all() and (draws[:, 0] == draws[:, 2]).all() and len(np.unique(draws[:, 3])) > 3
    assert (draws[:, [0, 3, 4, 5, 6, 7]].sum(axis=1) == 6).all(), "as many families as there are"


def test_few_families_have_no_interval() -> None:
    one = found(records(generators=("blur:1", "blur:2", "c", "d", "e"))[:], "fd conv", "gain iou")
    assert one.families == 4 and one.spearman.low is None and one.kendall.high is None
    with pytest.raises(MissingError, match="bench suite evidence"):
        studies([record("a", "fd conv", 1, "lower")])


def test_few_families_need_a_large_correlation_to_be_sure() -> None:
    made = [r for r in records() if r.generator in "abcde"]
    assert found(made, "fd conv", "gain iou").is_sure
    swapped = [replace(r, value=10 - [0, 2, 1, 4, 3]["abcde".index(r.generator)]) if r.measure == "fd" else r for r in made]
    one = found(swapped, "fd conv", "gain iou")
    assert one.spearman.value == pytest.approx(0.8) and not one.is_sure


def test_what_few_generators_allow_is_that_of_the_t_test() -> None:
    assert least_sure(10) == pytest.approx(0.632, abs=1e-3)  # tables of the critical values of r
    assert least_sure(3) == 1


def test_the_command_prints_tables_and_draws(tmp_path: Path) -> None:
    schema.write(records(), tmp_path / "made.jsonl")
    text = bench("evidence", tmp_path / "made.jsonl", "--figure", tmp_path / "e.png", home=tmp_path)
    assert text.exit_code == 0, text.stderr
    assert "which metrics follow gain iou" in text.stdout and (tmp_path / "e.png").stat().st_size > 3000
    first, again, other = (
        bench(
            "evidence", tmp_path / "made.jsonl", "--json", "--targets", "reader-quality", "--seed", seed, home=tmp_path
        ).stdout
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert {json.loads(line)["target"] for line in first.splitlines()} == {"reader-quality"}
    wrong = bench("evidence", tmp_path / "made.jsonl", "--targets", "gain pq", home=tmp_path)
    assert wrong.exit_code == UsageError.exit_code and "gain iou" in wrong.stderr
    markdown = bench("evidence", tmp_path / "made.jsonl", "--format", "markdown", home=tmp_path).stdout
    assert "| fd conv | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | 8 | 8 |" in markdown
    assert "below 0.71 could not be distinguished" in markdown

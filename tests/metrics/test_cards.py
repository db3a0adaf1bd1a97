"""What `bench info METRIC` prints: the whole card of every metric."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli import group
from bench.contracts import check_metric

METRICS = (
    *("cmmd", "coverage", "density", "fd", "fd-inf", "fd-pca16", "fls", "is", "kid", "mind", "precision", "recall", "stain"),
    "vendi",
)


def info(name: str, *words: str) -> str:
    done = CliRunner().invoke(group, ["info", name, "--kind", "metrics", *words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", METRICS)
def test_info_prints_the_whole_card(name: str) -> None:
    card, text = registry.card("metrics", name), info(name)
    assert card.cost and card.notes and card.source
    for message in (card.summary, card.source, card.cost, card.notes, f"version {card.version}"):
        assert message in text
    metric = registry.load("metrics", name)
    assert f"{metric.direction} is better" in text
    for d in (8, 64, 1024):
        assert f"{metric.minimum_n(d)} for {d} features" in text
    if encoder := getattr(metric, "encoder", ""):
        assert f"{encoder}, always" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [("fd", "0 to any number"), ("kid", "any number to any number"), ("recall", "0 to 1"), ("is", "1 to any number")],
)
def test_info_prints_the_range(name: str, message: str) -> None:
    assert f"  range          {message}\n" in info(name)
    assert json.loads(info(name, "--json"))["range"] == message


def test_other_kinds_have_no_direction() -> None:
    done = CliRunner().invoke(group, ["info", "texture"])
    assert done.exit_code == 0 and "is better" not in done.output


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_contract(name: str) -> None:
    outcomes = check_metric(lambda **options: registry.load("metrics", name, **options), name)
    assert not [outcome for outcome in outcomes if outcome.status == "failed"]

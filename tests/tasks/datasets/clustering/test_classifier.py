"""The classifier: what it learns, its temperature and calibration."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import MissingError, UsageError
from tasks.datasets.clustering.classifier import Cells, ClassifierRule, calibration_error, find_temperature, logits, train

TINY = "vit_tiny_patch16_224"


def cells(units: int = 10, each: int = 30) -> Cells:
    """Two clusters that differ in colour."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, units * each)
    images = rng.normal(140, 20, (len(labels), 16, 16, 3)) + np.where(labels, 60, -60)[:, None, None, None] * [1, 0, -1]
    names = np.repeat([f"p{n}" for n in range(units)], each)
    return Cells(np.clip(images, 0, 255).astype(np.uint8), labels, names)


def test_clusters_of_other_units_are_learned() -> None:
    net, report = train(cells(), 2, ClassifierRule(TINY, steps=25), lambda done, total, what: None)
    assert report["accuracy"] > 0.95 > 0.7 > report["most_frequent"]
    assert (report["trained_on"], report["measured_on"], report["measured_units"]) == (240, 30, 1)
    assert logits(net, cells().images[:5]).shape == (5, 2)
    _, other = train(cells(), 2, ClassifierRule(TINY, steps=1), lambda done, total, what: None)
    assert other["calibration_error"] != report["calibration_error"]


def test_the_temperature_mends_confidences() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (4000, 5))
    chances = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    labels = (rng.uniform(size=(4000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert find_temperature(true * 3, labels) == pytest.approx(3, rel=0.1)
    assert calibration_error(true, labels) < 0.03 < 0.1 < calibration_error(true * 3, labels)


def test_a_calibration_error_by_hand() -> None:
    """Confidences of .9 and .6, of which half and all are right."""
    found = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]))
    assert calibration_error(found, np.array([0, 1, 0, 1])) == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)


def test_what_cannot_be_trained_is_named() -> None:
    with pytest.raises(MissingError, match="four patients, cases or slides at least.*There are 3"):
        train(cells(3), 2, ClassifierRule(TINY, 1), lambda done, total, what: None)
    with pytest.raises(UsageError, match="timm makes no classifier 'resnet18'|timm makes no classifier 'nothing'"):
        train(cells(), 2, ClassifierRule("nothing", 1), lambda done, total, what: None)
    with pytest.raises(UsageError, match="for 1 step or more"):
        ClassifierRule(steps=0)

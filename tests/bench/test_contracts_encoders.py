"""The checks of encoders and metrics pass what keeps their rules and find what breaks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contracts import Outcome, check_encoder, check_metric
from bench.types import Card, Direction, Features, Images, ImageSet, Progress, Tally


class Pixels:
    """An encoder that keeps every rule: mean colour and corner pixel."""

    card = Card("pixels", "1", "Mean colour and corner.", licence="MIT")
    dim = 6

    def encode(self, images: Images) -> Features:
        return np.concatenate([images.mean(axis=(1, 2)), images[:, 0, 0]], axis=1).astype(np.float32)


class WrongDim(Pixels):
    dim = 7


class Doubles(Pixels):
    def encode(self, images: Images) -> Any:
        return super().encode(images).astype(np.float64)


class NotANumber(Pixels):
    def encode(self, images: Images) -> Features:
        return super().encode(images) * np.float32("nan")


class Centred(Pixels):
    def encode(self, images: Images) -> Features:
        features = super().encode(images)
        return features - features.mean(0)


class RandomProjection(Pixels):
    def __init__(self) -> None:
        self._matrix = np.random.default_rng().normal(size=(6, 6)).astype(np.float32)

    def encode(self, images: Images) -> Features:
        return np.stack([row @ self._matrix for row in super().encode(images)])


class Blind(Pixels):
    def encode(self, images: Images) -> Features:
        return super().encode(images) * 0


class Normalises(Pixels):
    def encode(self, images: Images) -> Features:
        images -= 1
        return super().encode(images)


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (WrongDim, "encodes", r"float32 \(12, 6\), not float32 \(12, 7\)"),
        (Doubles, "encodes", "float64"),
        (NotANumber, "encodes", "72 features are not finite"),
        (Normalises, "encodes", "read-only"),
        (Centred, "batch_independent", "encoded one by one, features change by"),
        (RandomProjection, "same_in_new_object", "second object"),
        (Blind, "tells_images_apart", "the same features"),
    ],
)
def test_encoders(cls: Any, check: str, reason: str) -> None:
    assert {outcome.status for outcome in check_encoder(Pixels, size=16)} == {"passed"}
    outcome = {outcome.name: outcome for outcome in check_encoder(cls, size=16)}[check]
    assert outcome.status == "failed"
    assert re.search(reason, outcome.reason), outcome.reason


class MeanDistance:
    """A feature metric that keeps every rule."""

    card = Card("mean-distance", "1", "Distance of means.", licence="MIT")
    direction: Direction = "lower"

    def minimum_n(self, d: int) -> int:
        return 2

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        return float(np.linalg.norm(real.mean(0, np.float64) - fake.mean(0, np.float64)))


class Brightness:
    """A condition metric that keeps every rule."""

    card = Card("brightness", "1", "Mean grey value.", licence="MIT")
    directions: Mapping[str, Direction] = {"brightness": "higher"}

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        (folder / "nothing").touch()

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        return self.tally(patches.images.mean(axis=(1, 2, 3))[:, None])

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        return Tally(("level",), counts, {"brightness": lambda sums: sums["level"]})


class WrongWay(MeanDistance):
    direction = "higher"


class NoWay(MeanDistance):
    direction = "down"  # type: ignore[assignment]


class Infinite(MeanDistance):
    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        return float("inf")


class NumpyScalar(MeanDistance):
    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> Any:
        return real.mean() - fake.mean()


class FirstRow(MeanDistance):
    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        return float(np.abs(real[0] - fake[0]).sum())


class Subset(MeanDistance):
    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        return super().compare(rng.permutation(real)[:50], rng.permutation(fake)[:50], rng)


class Novelty:
    """A metric that keeps every rule and asks for training patches."""

    card = Card("novelty", "1", "Distance of means, of training patches too.", licence="MIT")
    direction: Direction = "lower"

    def minimum_n(self, d: int) -> int:
        return 2

    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        means = [side.mean(0, np.float64) for side in (real, fake, train)]
        return float(np.linalg.norm(means[1] - means[0]) + 0.1 * np.linalg.norm(means[1] - means[2]))


class Trainless(Novelty):
    def compare_trained(self, real: Features, fake: Features, train: Features, rng: np.random.Generator) -> float:
        return float("nan")


class ReadsTexture(MeanDistance):
    """Takes the features of one encoder alone."""

    encoder = "texture"

    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        if real.shape[1] != 54:
            raise ValueError(f"{real.shape[1]} columns")
        return super().compare(real, fake, rng)


class ReadsNothing(MeanDistance):
    encoder = "no-such-encoder"


class GeneratedAlone(MeanDistance):
    def compare(self, real: Features, fake: Features, rng: np.random.Generator) -> float:
        return float(fake.std(dtype=np.float64))


class OneNumber(Brightness):
    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        return self.tally(super().agree(patches, segmenter).counts.mean(axis=0))


class Dark(Brightness):
    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        return self.tally(np.full((len(patches), 1), np.nan))


class NoDirection(Brightness):
    directions: Mapping[str, Direction] = {"darkness": "lower"}


class ByRank(Brightness):
    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        return self.tally(np.arange(len(patches), dtype=np.float64)[:, None])


class Neither:
    card = Card("neither", "1", "Measures nothing.", licence="MIT")


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (WrongWay, "identity", "real against itself gives 0, against a shifted cloud the better"),
        (NoWay, "direction_valid", "'down', not one of lower, higher"),
        (Infinite, "measures", "inf, not a finite float"),
        (NumpyScalar, "measures", "not a finite float"),
        (Trainless, "measures", "nan, not a finite float"),
        (ReadsNothing, "measures", "unknown encoder 'no-such-encoder'"),
        (FirstRow, "order_independent", "another order of rows"),
        (OneNumber, "measures", r"counts \(1,\), not a row for each of 12 patches"),
        (Dark, "measures", "not finite"),
        (NoDirection, "measures", "differ in names"),
        (ByRank, "order_independent", "another order of rows"),
        (Neither, "measures", "neither"),
    ],
)
def test_metrics(cls: Any, check: str, reason: str) -> None:
    outcome = {outcome.name: outcome for outcome in check_metric(cls, size=16)}[check]
    assert outcome.status == "failed"
    assert re.search(reason, outcome.reason), outcome.reason


def test_metrics_that_keep_the_rules() -> None:
    no_maps = Outcome("accepts_not_annotated", "skipped", "it compares features and gets no maps")
    for cls in (MeanDistance, Novelty, ReadsTexture):
        assert [outcome for outcome in check_metric(cls, size=16) if outcome.status != "passed"] == [no_maps]
    alone = [outcome for outcome in check_metric(GeneratedAlone, size=16) if outcome.status != "passed"]
    assert alone == [Outcome("identity", "skipped", "it does not use the real side"), no_maps]
    skipped = [outcome.name for outcome in check_metric(Brightness, size=16) if outcome.status != "passed"]
    assert skipped == ["identity"]
    subset = [outcome for outcome in check_metric(Subset, size=16) if outcome.status != "passed"]
    assert subset == [Outcome("order_independent", "skipped", "it uses random subsets"), no_maps]

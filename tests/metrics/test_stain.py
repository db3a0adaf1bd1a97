from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.histology.stain import restain
from bench.types import FeatureMetric, ImageSet
from metrics.encoders.builtin.stain import COLUMNS, Stain
from metrics.stain import WIDTH, StainDistance, effect_sizes, wasserstein

Table = NDArray[np.float64]


def table(seed: int, n: int = 100) -> Table:
    return np.random.default_rng(seed).normal(0.5, 0.1, size=(n, len(COLUMNS)))


def measure(real: Table, fake: Table, **options: str) -> float:
    return StainDistance(**options).compare(real, fake, np.random.default_rng(0))  # type: ignore[arg-type]


def test_it_is_registered_reads_one_encoder_and_lower_is_better() -> None:
    metric = registry.load("metrics", "stain:effect")
    assert isinstance(metric, FeatureMetric)
    assert (metric.card.name, metric.direction, metric.encoder, metric.measure) == ("stain", "lower", "stain", "effect")
    assert [COLUMNS[0], COLUMNS[WIDTH]] == ["hematoxylin, mean", "eosin, mean"]


def test_a_shift_of_every_column_is_the_distance() -> None:
    real = table(0)
    assert measure(real, real[::-1] + 0.25) == pytest.approx(0.25, rel=1e-12)
    assert measure(real, real[::-1]) == 0.0


def test_columns_of_two_lengths_by_hand() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[0.0], [1.0], [5.0]])
    assert wasserstein(a, b)[0] == pytest.approx((0 + 1 / 6 * 1 + 1 / 3 * 4), rel=1e-12)


def test_sides_and_order_do_not_matter_and_worse_is_farther() -> None:
    a, b = table(0), table(1, n=60)
    assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-12)
    assert measure(a, b[::-1]) == pytest.approx(measure(a, b), rel=1e-12)
    assert measure(a, b) < measure(a, b + 0.1) < measure(a, b + 0.3)


def test_one_stain_alone() -> None:
    real = table(0)
    fake = real.copy()
    fake[:, WIDTH:] += 0.4
    assert measure(real, fake, stains="hematoxylin") == 0.0
    assert measure(real, fake, stains="eosin") == pytest.approx(0.4)
    assert measure(real, fake) == pytest.approx(0.2)
    assert measure(real, fake, measure="effect", stains="hematoxylin") == 0.0


def test_an_effect_is_the_shift_in_pooled_standard_deviations() -> None:
    real = table(0)
    fake = real.copy()
    fake[:, 0] -= 0.05
    fake[:, WIDTH] += 0.1
    spread = real.std(axis=0, ddof=1)
    sizes = effect_sizes(real, fake)
    np.testing.assert_allclose(sizes, [-0.05 / spread[0], 0.1 / spread[WIDTH]], rtol=1e-9)
    assert measure(real, fake, measure="effect") == pytest.approx(np.abs(sizes).mean(), rel=1e-12)


def test_features_of_another_encoder_are_refused() -> None:
    with pytest.raises(UsageError, match="12 columns of the encoder stain, found 8"):
        measure(table(0)[:, :8], table(1)[:, :8])


def test_on_tissue_it_orders_stain_shifts_and_does_not_see_structure(tissue: ImageSet) -> None:
    half = len(tissue) // 2
    images, other = tissue.images[:half], tissue.images[half:]
    encode = Stain().encode
    real, shuffled = encode(images).astype(float), images.copy()
    np.random.default_rng(0).shuffle(shuffled.reshape(half, -1, 3)[0])
    lower_reference = measure(real, encode(other).astype(float))
    shifts = [measure(real, encode(restain(other, np.full(3, factor))).astype(float)) for factor in (1.2, 1.6)]
    assert lower_reference < shifts[0] < shifts[1]
    assert measure(real, encode(shuffled).astype(float)) < 0.05 * lower_reference

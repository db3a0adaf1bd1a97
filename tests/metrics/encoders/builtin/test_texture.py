from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.types import Images, ImageSet
from metrics.encoders.builtin.texture import UNITS, Texture, measured_units, unmix
from tasks.datasets.phantom.tissue import EOSIN, HEMATOXYLIN

TEXTURE = Texture()


def column(images: Images, name: str) -> NDArray[np.float64]:
    """One column in its own measure, not in units."""
    values = TEXTURE.encode(images)[:, TEXTURE.columns.index(name)]
    return values.astype(np.float64) * UNITS[name.partition(":")[0]]


def stained(hematoxylin: NDArray[np.float64], eosin: NDArray[np.float64]) -> Images:
    """Light through the given amounts of both stains (Beer-Lambert)."""
    h, e = (vector / np.linalg.norm(vector) for vector in (HEMATOXYLIN, EOSIN))
    density = hematoxylin[..., None] * h + eosin[..., None] * e
    return np.rint(255 * np.exp(-density)).astype(np.uint8)


def stripes(angle: float) -> Images:
    y, x = np.mgrid[:64, :64]
    wave = np.sin(0.4 * (x * np.cos(angle) + y * np.sin(angle)))
    return stained(0.6 + 0.4 * wave, np.zeros((64, 64)))[None]


def noise(seed: int = 0, smooth: float = 0.0) -> Images:
    field = np.random.default_rng(seed).uniform(0.2, 1.2, (1, 64, 64))
    return stained(gaussian_filter(field, (0, smooth, smooth)), np.zeros((1, 64, 64)))


def test_every_column_has_a_name_of_its_own_and_a_family_with_a_unit() -> None:
    assert len(set(TEXTURE.columns)) == TEXTURE.dim == 54
    assert {name.partition(":")[0] for name in TEXTURE.columns} == set(UNITS)


def test_unmixing_finds_the_amounts_that_were_mixed() -> None:
    rng = np.random.default_rng(0)
    h, e = rng.uniform(0.1, 1.0, (2, 3, 32, 32))
    hematoxylin, eosin, rest = unmix(stained(h, e))
    np.testing.assert_allclose(hematoxylin, h, atol=0.03)
    np.testing.assert_allclose(eosin, e, atol=0.03)
    assert abs(rest).max() < 0.03


def test_amounts_are_optical_densities_of_their_stain() -> None:
    half = np.repeat([0.2, 0.8], 32)[None, None, :] * np.ones((1, 64, 1))
    patch = stained(half, np.full((1, 64, 64), 0.3))
    assert column(patch, "amount: hematoxylin, mean") == pytest.approx(0.5, abs=0.02)
    assert column(patch, "amount: hematoxylin, deviation") == pytest.approx(0.3, abs=0.02)
    assert column(patch, "amount: hematoxylin, 10 % quantile") == pytest.approx(0.2, abs=0.02)
    assert column(patch, "amount: hematoxylin, 90 % quantile") == pytest.approx(0.8, abs=0.02)
    assert column(patch, "amount: eosin, mean") == pytest.approx(0.3, abs=0.02)
    assert column(patch, "amount: rest, mean") == pytest.approx(0.0, abs=0.02)


def test_correlation_tells_stains_together_from_stains_apart() -> None:
    field = np.random.default_rng(0).uniform(0.2, 1.0, (1, 64, 64))
    assert column(stained(field, field), "correlation: hematoxylin and eosin") > 0.95
    assert column(stained(field, 1.2 - field), "correlation: hematoxylin and eosin") < -0.95


def test_blur_takes_energy_from_the_finest_scale_first() -> None:
    lost = [
        float((column(noise(smooth=1), name) - column(noise(smooth=2), name))[0])
        for name in ("energy: hematoxylin at 1 px", "energy: hematoxylin at 8 px")
    ]
    assert lost[0] > 2 * lost[1] > 0


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2])
def test_stripes_are_coherent_in_any_direction_and_noise_is_not(angle: float) -> None:
    assert column(stripes(angle), "coherence: hematoxylin at 2 px") > 0.8
    assert column(noise(), "coherence: hematoxylin at 2 px") < 0.2


def test_a_flat_patch_has_no_denser_neighbours() -> None:
    flat = np.full((1, 64, 64, 3), 180, dtype=np.uint8)
    assert column(flat, "pattern: hematoxylin at 2 px, 0 of 8") == pytest.approx(1.0)
    assert column(flat, "pattern: hematoxylin at 2 px, 4 of 8") == 0.0
    assert column(flat, "energy: eosin at 1 px") == pytest.approx(np.log(0.02), rel=1e-3)


def test_patterns_do_not_turn_with_the_patch(tissue: ImageSet) -> None:
    images = tissue.images[:16]
    chosen = [i for i, name in enumerate(TEXTURE.columns) if name.startswith("pattern")]
    turned = TEXTURE.encode(np.rot90(images, axes=(1, 2)))
    np.testing.assert_allclose(turned[:, chosen], TEXTURE.encode(images)[:, chosen], atol=1e-5)


def test_isolated_dense_dots_are_pits_of_their_neighbours() -> None:
    amount = np.full((1, 64, 64), 0.2)
    amount[:, 8::8, 8::8] = amount[:, 9::8, 8::8] = amount[:, 8::8, 9::8] = amount[:, 9::8, 9::8] = 1.0
    patch = stained(amount, np.zeros_like(amount))
    # each dot of 2 x 2 px is one cell at 2 px; its 8 neighbours each see one denser neighbour
    share = column(patch, "pattern: hematoxylin at 2 px, 1 of 8")[0] ** 2
    assert share == pytest.approx(8 * 49 / 30**2, rel=0.01)


def test_rows_have_the_same_bytes_in_any_batch(tissue: ImageSet) -> None:
    images = tissue.images[:40]
    whole = TEXTURE.encode(images)
    alone = np.concatenate([TEXTURE.encode(images[i : i + 1]) for i in range(40)])
    np.testing.assert_array_equal(alone, whole)
    np.testing.assert_array_equal(TEXTURE.encode(images[::-1]), whole[::-1])
    np.testing.assert_array_equal(TEXTURE.encode(images[3:10]), whole[3:10])


def test_units_are_what_the_phantom_measures(tissue: ImageSet) -> None:
    measured = measured_units(tissue.images)  # of other slides than the units were
    measured["pattern"] *= 2
    for family, unit in UNITS.items():
        assert measured[family] == pytest.approx(unit, rel=0.35)

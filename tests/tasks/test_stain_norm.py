"""Stain normalisation: known mixtures are recovered, targets are met, white stays white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.histology.stain import from_optical_density, optical_density
from tasks.datasets.pixels import read_image
from tasks.datasets.stain_norm import REFERENCE, Stains, brighten, normalise, separate, sparse_amounts, stains

LIZARD6 = Path(__file__).parents[2] / "../shared/data/nuclei/lizard6/images"
VIOLET = np.array([0.60, 0.70, 0.39])
PINK = np.array([0.15, 0.90, 0.41])
COLOURS = np.stack([VIOLET / np.linalg.norm(VIOLET), PINK / np.linalg.norm(PINK)])


def mixture(n: int, seed: int = 0) -> NDArray[np.float64]:
    """Amounts (n, 2) as in tissue: a third of one stain alone, a third of the other, a third of both."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.3, 1.8, (n, 2))
    amounts[: n // 3, 0] = 0
    amounts[n // 3 : 2 * n // 3, 1] = 0
    return amounts


def picture(scale: float = 1.0, colours: NDArray[np.float64] = COLOURS, side: int = 60) -> NDArray[np.uint8]:
    """An H&E image with a white frame of a sixth of its area, whose amounts are multiplied by `scale`."""
    density = (scale * mixture(side * side)) @ colours
    image = from_optical_density(density.reshape(side, side, 3).astype(np.float32))
    image[: side // 6] = 255
    return image


def test_known_colours_are_recovered_hematoxylin_first() -> None:
    found = separate(mixture(3000) @ COLOURS)
    assert (found * COLOURS).sum(axis=1) == pytest.approx([1, 1], abs=2e-3)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1]) and (found >= 0).all() and found[0, 0] > found[1, 0]
    noisy = mixture(3000) @ COLOURS + np.random.default_rng(1).normal(0, 0.02, (3000, 3))
    assert (separate(noisy) * COLOURS).sum(axis=1) == pytest.approx([1, 1], abs=1e-2)


def test_amounts_are_the_least_of_their_cost_over_a_fine_grid() -> None:
    density = np.abs(np.random.default_rng(2).normal(0.4, 0.4, (40, 3)))
    grid = np.stack(np.meshgrid(np.arange(0, 2, 0.02), np.arange(0, 2, 0.02)), axis=-1).reshape(-1, 2)
    for penalty in (0.0, 0.1):

        def cost(h: NDArray[np.float64], v: NDArray[np.float64], weight: float = penalty) -> NDArray[np.float64]:
            return ((v - h @ COLOURS) ** 2).sum(axis=-1) / 2 + weight * h.sum(axis=-1)

        found = sparse_amounts(density, COLOURS, penalty)
        assert (found >= 0).all() and (found == 0).any()
        for v, h in zip(density, found, strict=True):
            assert cost(h, v) <= cost(grid, v).min() + 1e-12


def test_a_larger_penalty_leaves_fewer_and_smaller_amounts() -> None:
    density = mixture(300) @ COLOURS
    none, some = sparse_amounts(density, COLOURS, 0.0), sparse_amounts(density, COLOURS, 0.2)
    assert none == pytest.approx(mixture(300), abs=1e-9)
    assert some.sum() < none.sum() and (some == 0).sum() >= (np.round(none, 9) == 0).sum()


def test_the_stains_of_the_target_are_met() -> None:
    other = np.stack([[0.75, 0.60, 0.28], [0.10, 0.95, 0.29]])
    target = Stains(other / np.linalg.norm(other, axis=1, keepdims=True), np.array([1.2, 0.9]))
    met = stains(normalise(picture(), target))
    assert met is not None
    assert (met.colours * target.colours).sum(axis=1) == pytest.approx([1, 1], abs=0.01)
    assert met.amounts == pytest.approx(target.amounts, rel=0.2)  # the penalty pulls the colours towards each other


def test_slides_of_different_strength_and_colour_become_alike() -> None:
    pale, strong = picture(0.5), picture(1.3, REFERENCE.colours / np.linalg.norm(REFERENCE.colours, axis=1, keepdims=True))

    def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        return float(np.abs(one.astype(float) - other).mean())

    made = normalise(pale, REFERENCE), normalise(strong, REFERENCE)
    assert apart(*made) < apart(pale, strong) / 5


def test_twice_is_as_once_and_white_stays_white() -> None:
    image = picture()
    once = normalise(image, REFERENCE)
    again, first = (np.abs(a.astype(int) - b).mean() for a, b in ((normalise(once, REFERENCE), once), (once, image)))
    assert again < 4 < 10 < first
    assert (once[:10] == 255).all() and (once[10:] < 255).any(axis=-1).all()
    white = np.full((40, 40, 3), 255, np.uint8)
    assert np.array_equal(normalise(white, REFERENCE), white) and stains(white) is None


def test_structure_is_kept() -> None:
    image = picture()
    before, after = (optical_density(i).sum(axis=-1).ravel() for i in (image, normalise(image, REFERENCE)))
    assert np.corrcoef(before, after)[0, 1] > 0.9


def test_brightness_takes_the_ninetieth_percentile_for_white() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    image[:8], image[8:] = 60, 200
    bright = brighten(image)
    assert (bright[8:] == 255).all() and (bright[:8] == round(60 * 255 / 200)).all()
    assert np.array_equal(brighten(bright), bright) and not brighten(np.zeros_like(image)).any()


def test_images_that_others_normalised_to_one_target_have_one_pair_of_stains() -> None:
    """The published patches of lizard6 went through Vahadane's own method with the target dpath_11."""
    if not LIZARD6.is_dir():
        pytest.skip("no ../shared/data/nuclei/lizard6")
    names = ("glas_5", "glas_57", "pannuke_4", "pannuke_9", "consep_8", "dpath_63")
    found = [own.colours for name in names if (own := stains(read_image(LIZARD6 / f"{name}.webp")))]
    assert len(found) == len(names)
    middle = np.median(found, axis=0)
    alike = [(colours * middle).sum(axis=1).min() for colours in found]
    assert np.median(alike) > 0.999 and min(alike) > 0.99
    assert (middle[0] * middle[1]).sum() < 0.985  # while the two stains are apart

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.types import Images, ImageSet
from metrics.encoders.builtin.stain import COLUMNS, Stain
from tasks.datasets.phantom.tissue import EOSIN, HEMATOXYLIN

STAIN = Stain()


def stained(hematoxylin: NDArray[np.float64], eosin: NDArray[np.float64]) -> Images:
    """Light through the given amounts of both stains (Beer-Lambert)."""
    h, e = (vector / np.linalg.norm(vector) for vector in (HEMATOXYLIN, EOSIN))
    return np.rint(255 * np.exp(-(hematoxylin[..., None] * h + eosin[..., None] * e))).astype(np.uint8)


def column(images: Images, name: str) -> float:
    return float(STAIN.encode(images)[0, COLUMNS.index(name)])


def test_columns_are_the_amounts_that_were_mixed() -> None:
    ramp = np.linspace(0.1, 0.9, 64 * 64).reshape(1, 64, 64)
    patch = stained(ramp, np.full((1, 64, 64), 0.3))
    assert column(patch, "hematoxylin, mean") == pytest.approx(0.5, abs=0.01)
    for quantile in (5, 25, 50, 75, 95):
        assert column(patch, f"hematoxylin, {quantile} % quantile") == pytest.approx(0.1 + 0.008 * quantile, abs=0.02)
        assert column(patch, f"eosin, {quantile} % quantile") == pytest.approx(0.3, abs=0.03)


def test_white_has_no_stain_and_any_size_is_taken() -> None:
    np.testing.assert_allclose(STAIN.encode(np.full((2, 5, 9, 3), 255, np.uint8)), 0, atol=1e-6)


def test_where_in_the_patch_stain_is_does_not_matter(tissue: ImageSet) -> None:
    images = tissue.images[:5]
    np.testing.assert_allclose(STAIN.encode(images[:, ::-1, ::-1]), STAIN.encode(images), atol=1e-6)


def test_rows_have_the_same_bytes_in_any_batch(tissue: ImageSet) -> None:
    images = tissue.images[:9]
    alone = np.concatenate([STAIN.encode(images[i : i + 1]) for i in range(9)])
    np.testing.assert_array_equal(alone, STAIN.encode(images))
    assert STAIN.encode(images[:0]).shape == (0, STAIN.dim)

"""The amount of stain in each patch: optical density of hematoxylin and of eosin."""

from __future__ import annotations

import numpy as np

from bench.types import Card, Features, Images
from metrics.encoders.batches import check_images
from metrics.encoders.builtin.texture import Plane, unmix

QUANTILES = (5, 25, 50, 75, 95)
STAINS = ("hematoxylin", "eosin")
COLUMNS = tuple(f"{stain}, {what}" for stain in STAINS for what in ("mean", *(f"{q} % quantile" for q in QUANTILES)))
"""Columns 0 to 5 are hematoxylin, 6 to 11 eosin: the mean over the pixels of a patch, then quantiles over its pixels."""


class Stain:
    """12 columns, all in optical density (natural logarithm): of hematoxylin and then of eosin the mean over the patch and
    its 5, 25, 50, 75 and 95 % quantiles. NumPy only; any size; the same bytes in any batch.

    Stains are separated by the fixed vectors of Ruifrok and Johnston, each of length 1; a third channel, orthogonal to both,
    takes the residual and is dropped. For other colours of light, an amount can be below 0.
    """

    card = Card(
        "stain",
        "1",
        "Optical density of hematoxylin and eosin in each patch: mean and quantiles.",
        licence="Apache-2.0",
        source="Ruifrok and Johnston 2001, Anal Quant Cytol Histol 23: 291 (stain vectors)",
        sees=("stain-shift", "nuclei-removed"),
        notes="Fixed stain vectors: the colours of another scanner give other amounts. The position of stain in a patch has "
        "no effect.",
    )
    columns = COLUMNS
    dim = len(COLUMNS)

    def encode(self, images: Images) -> Features:
        """float32 (n, 12)."""
        check_images(self.card.name, images)
        features = np.empty((len(images), self.dim), np.float32)
        for i in range(len(images)):
            hematoxylin, eosin, _ = unmix(images[i : i + 1])
            features[i] = [*_amounts(hematoxylin), *_amounts(eosin)]
        return features


def _amounts(plane: Plane) -> list[float]:
    pixels = plane.astype(np.float64)
    return [float(pixels.mean()), *np.percentile(pixels, QUANTILES).tolist()]

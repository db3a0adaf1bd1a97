"""Stain normalisation after Vahadane et al. 2016: other colours, the same structure.

The optical density of a pixel is a sum of two stains, V = H W: W (2, 3) the colour of each, of unit length, and H (n, 2) its
amount. Neither is below 0, and H is sparse since most places hold one stain. W and H are estimated alternately (Mairal et al.
2010): the amounts exactly, by trying each subset of the two stains, and the colours one after the other. Then the amounts are
scaled to the range of a target and rendered in its colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.histology.stain import from_optical_density, optical_density
from tasks.datasets.nuclei_tiles import tissue
from tasks.datasets.phantom.tissue import EOSIN, HEMATOXYLIN

PENALTY = 0.1
"""Weight of the amounts beside half the squared error of the density while colours are sought; the published value."""
FAINT = 0.01
"""The same for the amounts that are rendered: a larger weight would bleach faint structures."""
WHITE = 90.0
"""Percentile of the grey values that becomes white."""
STRONG = 99.0
"""Percentile of the amounts of a stain that is taken for its greatest."""
PIXELS = 20_000
ROUNDS = 200
LEAST = 100
"""With fewer tissue pixels the stains cannot be estimated, and the image is left as it is."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stains:
    """How an image, or a target, is stained: hematoxylin first."""

    colours: Floats
    """float64 (2, 3), rows of unit length: optical density in red, green and blue."""
    amounts: Floats
    """float64 (2,): the greatest amounts."""


REFERENCE = Stains(np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]]), np.array([1.9705, 1.0308]))
"""A fixed target, for where no image is preferred: the reference of Veta's implementation of Macenko et al. 2009."""


def brighten(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image (h, w, 3) with the 90th percentile of its grey values at white, what is brighter cut there."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    level = max(float(np.percentile(grey, WHITE)), 1.0)
    return np.asarray(np.clip(np.rint(image * np.float32(255 / level)), 0, 255), dtype=np.uint8)


def stains(image: NDArray[np.uint8]) -> Stains | None:
    """The stains of an image (h, w, 3), None if it shows too little tissue."""
    density = optical_density(image)[tissue(image)].astype(np.float64)
    if len(density) < LEAST:
        return None
    colours = separate(density[:: -(-len(density) // PIXELS)])
    return Stains(colours, np.percentile(sparse_amounts(density, colours, FAINT), STRONG, axis=0))


def normalise(image: NDArray[np.uint8], target: Stains) -> NDArray[np.uint8]:
    """The brightened image in the stains of the target. White stays white. With too little tissue it is only brightened."""
    image = brighten(image)
    own = stains(image)
    if own is None or (own.amounts <= 0).any():
        return image
    amounts = sparse_amounts(optical_density(image).reshape(-1, 3).astype(np.float64), own.colours, FAINT)
    density = (amounts * (target.amounts / own.amounts)) @ target.colours
    return from_optical_density(density.reshape(image.shape).astype(np.float32))


def separate(density: Floats, penalty: float = PENALTY) -> Floats:
    """float64 (2, 3): the colours of the two stains in densities (n, 3), hematoxylin, the redder in density, first.

    Starts from Ruifrok and Johnston's hematoxylin and eosin; ends when no entry moves by 1e-5, or after 200 rounds.
    """
    colours = _unit(np.stack([HEMATOXYLIN, EOSIN]))
    for _ in range(ROUNDS):
        amounts = sparse_amounts(density, colours, penalty)
        new = _recolour(amounts.T @ amounts, amounts.T @ density, colours)
        moved, colours = np.abs(new - colours).max(), new
        if moved < 1e-5:
            break
    return colours[np.argsort(-colours[:, 0], kind="stable")]


def _recolour(overlap: Floats, pull: Floats, colours: Floats) -> Floats:
    """One round of block coordinate descent over the colours (Mairal et al. 2010, algorithm 2), none below 0."""
    colours = colours.copy()
    for own, other in ((0, 1), (1, 0)):
        if overlap[own, own] > 0:  # a stain that is in no pixel keeps its colour
            step = np.maximum(pull[own] - overlap[own, other] * colours[other], 0)
            colours[own] = _unit(step[None])[0] if step.any() else colours[own]
    return colours


def sparse_amounts(density: Floats, colours: Floats, penalty: float) -> Floats:
    """float64 (n, 2): argmin over h >= 0 of |v - h W|^2 / 2 + penalty (h1 + h2) for each density v (n, 3).

    Exact: both stains are there, or the one that remains when the other would be negative, or none.
    """
    alike = float(colours[0] @ colours[1])
    pulls = density @ colours.T - penalty
    both = (pulls - alike * pulls[:, ::-1]) / max(1 - alike**2, 1e-12)
    alone = np.maximum(pulls, 0)
    no_first, no_second = both[:, 0] < 0, both[:, 1] < 0
    first = np.where(no_first, 0, np.where(no_second, alone[:, 0], both[:, 0]))
    second = np.where(no_second, 0, np.where(no_first, alone[:, 1], both[:, 1]))
    return np.stack([first, second], axis=1)


def _unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

"""What the phantom is made of: types of nuclei, classes of tissue, and slides that differ.

Lengths are pixels; at 1 micron per pixel they are microns. Stain vectors are those of Ruifrok and Johnston 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]

HEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])


@dataclass(frozen=True)
class Nucleus:
    """How nuclei of one type look."""

    radius: float
    """Mean of the two half axes, pixels."""
    spread: float
    """Standard deviation of log radius: pleomorphism."""
    elongation: float
    """Mean ratio of the half axes."""
    hematoxylin: float
    """Mean amount of hematoxylin inside."""
    chromatin: float
    """Contrast of the clumps inside, as a share of the amount."""
    rim: float
    """Extra amount at the membrane, as a share: high for vesicular nuclei."""
    halo: float
    """Extra eosin around it."""


NEUTROPHIL, EPITHELIAL, LYMPHOCYTE, PLASMA, EOSINOPHIL, CONNECTIVE = range(1, 7)
TYPES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")

NUCLEI = {
    NEUTROPHIL: Nucleus(2.9, 0.10, 1.6, 1.50, 0.55, 0.0, 0.10),
    EPITHELIAL: Nucleus(5.2, 0.20, 1.35, 0.85, 0.35, 0.45, 0.10),
    LYMPHOCYTE: Nucleus(3.3, 0.08, 1.08, 1.45, 0.25, 0.0, 0.0),
    PLASMA: Nucleus(3.7, 0.08, 1.15, 1.20, 0.50, 0.2, 0.35),
    EOSINOPHIL: Nucleus(3.0, 0.10, 1.5, 1.20, 0.25, 0.0, 0.90),
    CONNECTIVE: Nucleus(3.4, 0.18, 3.0, 1.05, 0.20, 0.0, 0.0),
}


@dataclass(frozen=True)
class Tissue:
    """How one class of tissue looks."""

    name: str
    eosin: float
    """Mean amount of eosin between nuclei."""
    haze: float
    """Mean amount of hematoxylin between nuclei."""
    fibres: float
    """Contrast of oriented fibres."""
    density: float
    """Nuclei per 1000 square pixels before crowding removes some."""
    mix: dict[int, float]
    """Nucleus type -> share."""
    lumen: float = 0.0
    """Share of the region that is open lumen, which nuclei line."""
    scale: float = 1.0
    """Nuclear size relative to the type's own."""


@dataclass(frozen=True)
class Slide:
    """What varies from slide to slide, and can be inferred from a prompt only."""

    hematoxylin: Field
    """float64 (3,): stain vector, unit length."""
    eosin: Field
    amounts: tuple[float, float]
    """Factors on the amounts of hematoxylin and eosin."""
    light: Field
    """float64 (3,): white point in [0, 1]."""
    grain: float
    """Correlation length of cytoplasm texture, pixels."""
    contrast: float
    """Contrast of cytoplasm texture."""
    wave: float
    """Distance between fibres, pixels."""
    size: float
    """Factor on nuclear radii."""
    crowding: float
    """Factor on nuclear density."""
    clumping: float
    """Factor on chromatin contrast."""
    focus: float
    """Standard deviation of the optical blur, pixels."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Slide:
        """A slide from a laboratory of its own."""
        return Slide(
            hematoxylin=_unit(HEMATOXYLIN + rng.normal(0, 0.09, 3)),
            eosin=_unit(EOSIN + rng.normal(0, 0.09, 3)),
            amounts=(float(np.exp(rng.normal(0, 0.25))), float(np.exp(rng.normal(0, 0.35)))),
            light=rng.uniform(0.90, 1.0, 3),
            grain=float(rng.uniform(0.8, 2.6)),
            contrast=float(rng.uniform(0.10, 0.40)),
            wave=float(rng.uniform(5.0, 11.0)),
            size=float(np.exp(rng.normal(0, 0.13))),
            crowding=float(np.exp(rng.normal(0, 0.22))),
            clumping=float(rng.uniform(0.5, 1.6)),
            focus=float(rng.uniform(0.35, 0.75)),
        )

    def at(self, laboratory: Slide) -> Slide:
        """The same tissue fixed, cut, stained and scanned by another laboratory; the density of nuclei is unchanged.

        Fixation and thickness change the size of nuclei and the appearance of chromatin and stroma as much as stain changes
        colour, so all of these are mostly those of the laboratory.
        """

        def blend(name: str) -> float:
            return HABIT * getattr(laboratory, name) + (1 - HABIT) * getattr(self, name)

        ours, theirs = np.array(self.amounts), np.array(laboratory.amounts)
        mixed = HABIT * theirs + (1 - HABIT) * ours
        return Slide(
            hematoxylin=_unit(HABIT * laboratory.hematoxylin + (1 - HABIT) * self.hematoxylin),
            eosin=_unit(HABIT * laboratory.eosin + (1 - HABIT) * self.eosin),
            amounts=(float(mixed[0]), float(mixed[1])),
            light=HABIT * laboratory.light + (1 - HABIT) * self.light,
            crowding=self.crowding,
            **{name: blend(name) for name in ("grain", "contrast", "wave", "size", "clumping", "focus")},
        )


HABIT = 0.75
"""Share of a slide's preparation that is common to its laboratory."""


def _unit(vector: Field) -> Field:
    clipped = np.clip(vector, 0.01, None)
    return np.asarray(clipped / np.linalg.norm(clipped))

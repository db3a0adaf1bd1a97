"""What agreement simulated readers have over all images: the truth of its intervals.

The evidence of two readers in one image has a part in common, of its slide and of the image itself. Given that part, their
answers are independent, so that the expected sums of `agreement.sum_slides` are a quadrature over it.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from leaderboards.studies.analysis.agreement import COEFFICIENTS, Sums

Floats = NDArray[np.float64]
NODES = 60
MANY = 1e9
"""Images of the expected sums: corrections for few of them vanish."""


def true_agreement(d: Floats, c: Floats, cuts: Floats, shared: float) -> dict[str, float]:
    """Coefficient -> its value over all images of two arms of one size, for readers with sensitivities and criteria
    (readers,), answers between cuts, and `shared` of the variance of the evidence in common."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    middle = np.sqrt(shared) * nodes[None, :] + np.array([-0.5, 0.5])[:, None, None] * d[:, None] - c[:, None]
    reached = ndtr((middle[..., None] - cuts) / np.sqrt(1 - shared))
    ends = [np.full((*middle.shape, 1), end) for end in (1.0, 0.0)]
    answers = -np.diff(np.concatenate([ends[0], reached, ends[1]], axis=-1), axis=-1)
    with np.errstate(invalid="ignore"):
        found = {name: coefficient(_expected(answers, weights / weights.sum())) for name, coefficient in COEFFICIENTS.items()}
    return {name: float(value) for name, value in found.items()}


def _expected(answers: Floats, weights: Floats) -> Sums:
    """From probabilities (arms, readers, nodes, answers)."""
    arms, readers = answers.shape[:2]
    joint = np.einsum("arnx,asny,n->rsxy", answers, answers, weights) / arms
    pairs = list(itertools.permutations(range(readers), 2))
    both = np.asarray(sum(joint[pair] for pair in pairs))
    made = {
        "coincidences": both / (readers - 1),
        "agreeing": both / len(pairs),
        "paired": np.array(1.0),
        "shares": np.einsum("arnx,n->x", answers, weights) / arms / readers,
        "rated": np.array(1.0),
        "pairs": np.stack([joint[a, b] for a, b in pairs if a < b]),
    }
    return {name: MANY * held for name, held in made.items()}

"""A proportional-odds model of scores: by how much the odds of a higher score differ between two arms.

statsmodels has no ordinal model with crossed random effects. Its `OrderedModel` is fitted with one effect for each reader and
one for the arm; the variance is clustered both ways, by reader and by slide, less that of cells of reader and slide, which
both have (Cameron, Gelbach and Miller 2011, Journal of Business and Economic Statistics 29). The part of slides is the
sandwich; that of readers, who are few, is the jackknife with the model fitted again. The two parts have Student's quantiles
as in `intervals`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics.estimates import MINIMUM_GROUPS, effective_number
from leaderboards.studies.analysis.intervals import LEVEL, Bounds, Parts, make_bounds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Odds:
    """The ratio of the odds of a higher score in the second arm to those in the first."""

    value: float = math.nan
    bounds: Bounds | None = None
    """For other readers and other slides; with one reader, for this reader and other slides."""
    reason: str = ""


class _UndefinedError(Exception):
    """The model has no finite maximum in these answers."""


def odds_ratio(counts: Floats, sizes: Floats, level: float = LEVEL) -> Odds:
    """From counts (readers, slides, 2, answers) of integer scores in their order, and the images of each slide."""
    readers, slides = counts.shape[:2]
    used = counts.sum(axis=(0, 1, 2)) > 0
    if used.sum() < 2:
        return Odds(reason="all answers are one score: the model has nothing to fit")
    counts = counts[..., used]
    try:
        whole = _fit(counts)
        if round(effective_number(sizes), 1) < MINIMUM_GROUPS:
            return Odds(math.exp(whole[0]), reason=f"underpowered: {slides} slides, an interval needs {MINIMUM_GROUPS}")
        without_reader = np.array([_fit(np.delete(counts, i, axis=0))[0] for i in range(readers)]) if readers > 1 else None
    except _UndefinedError as error:
        return Odds(reason=str(error))
    of_slides, of_cells = _clustered(counts, whole)
    freedom = effective_number(sizes) - 1
    if without_reader is None:
        parts = Parts(0.0, of_slides, 1.0, freedom)
    else:
        of_readers = (readers - 1) / readers * float(np.square(without_reader - without_reader.mean()).sum())
        parts = Parts(of_readers, max(of_slides - of_cells, 0.0), readers - 1, freedom)
    bounds = make_bounds(whole[0], parts, level, -math.inf, math.inf)
    if bounds is None:
        return Odds(_ratio(whole[0]), reason="underpowered: the ratio is the same without each slide")
    return Odds(_ratio(whole[0]), Bounds(*map(_ratio, bounds)))


def _ratio(log: float) -> float:
    return math.exp(max(min(log, 700.0), -700.0))


def _rows(counts: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Answers of single images, their (arm, readers but the first), and their cell of reader and slide."""
    where = np.argwhere(counts > 0)
    where = np.repeat(where, counts[tuple(where.T)].astype(int), axis=0)
    readers, slides = counts.shape[:2]
    design = np.zeros((len(where), readers))
    design[:, 0] = where[:, 2]
    for reader in range(1, readers):
        design[:, reader] = where[:, 0] == reader
    return where[:, 3], design, where[:, 0] * slides + where[:, 1]


def _fit(counts: Floats) -> Floats:
    """Parameters of the model, that of the arm first."""
    model = _model(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = model.fit(method="bfgs", disp=False, maxiter=500, skip_hessian=True)
    found = np.asarray(fitted.params, dtype=np.float64)
    if not np.isfinite(found).all() or abs(found[0]) > 15:
        raise _UndefinedError("the arms do not overlap in these scores: the odds ratio has no finite estimate")
    return found


def _model(counts: Floats):  # type: ignore[no-untyped-def]
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    scores, design, _ = _rows(counts)
    if len(np.unique(design[:, 0])) < 2 or len(np.unique(scores)) < 2:
        raise _UndefinedError("without one of the readers or slides, the scores or arms do not vary")
    return OrderedModel(np.unique(scores, return_inverse=True)[1], design, distr="logit")


def _clustered(counts: Floats, found: Floats) -> tuple[float, float]:
    """Variances of the arm's parameter with clusters of slides, and with clusters of reader and slide (sandwich)."""
    model = _model(counts)
    scores = model.score_obs(found)
    inverse = np.linalg.pinv(model.hessian(found))
    cell = _rows(counts)[2]
    made = []
    for cluster in (cell % counts.shape[1], cell):
        _, place = np.unique(cluster, return_inverse=True)
        sums = np.zeros((place.max() + 1, scores.shape[1]))
        np.add.at(sums, place, scores)
        made.append(len(sums) / (len(sums) - 1) * float((inverse @ sums.T @ sums @ inverse)[0, 0]))
    return made[0], made[1]

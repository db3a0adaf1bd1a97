"""References of the metrics: packages that papers used, and direct implementations of formulas of papers.

Every reference takes real and generated features, float64 (n, d) each, and returns its value.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runtime import torchvision_shim
from metrics.mind import unit_vectors

Table = NDArray[np.float64]
Reference = Callable[[Table, Table], float]

SEED = 0
"""Seed of random numbers that a metric and its reference share."""


def training(real: Table) -> Table:
    """Training patches for the one measure that asks for them: like the real ones, but others."""
    return real + 0.3 * np.random.default_rng(SEED + 1).normal(size=real.shape)


def sqrtm(real: Table, fake: Table) -> float:
    import scipy.linalg

    gap = real.mean(axis=0) - fake.mean(axis=0)
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    return float(gap @ gap + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real))


def fidelity_fd(real: Table, fake: Table) -> float:
    torch = _torch()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(torch.from_numpy(side)) for side in (real, fake)]
    return float(fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"])


def pytorch_fid_fd(real: Table, fake: Table) -> float:
    _torch()
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = [part for side in (real, fake) for part in (side.mean(axis=0), np.cov(side, rowvar=False))]
    return float(np.real(calculate_frechet_distance(*moments)))


def one_sided(real: Table, fake: Table) -> float:
    """Chong and Forsyth: a line of the distance to all real rows over one by the number of generated ones."""
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(SEED)
    rng.permutation(len(real))  # our metric orders its real side first
    order = rng.permutation(len(fake))
    sizes = np.linspace(max(len(fake) // 2, fake.shape[1] + 1), len(fake), 15).astype("int32")
    found = [pytorch_fid_fd(real, fake[order[:size]]) for size in sizes]
    line = LinearRegression().fit(1 / sizes.reshape(-1, 1), found)
    return float(line.predict(np.array([[0.0]]))[0])


def fidelity_kid(real: Table, fake: Table) -> float:
    torch = _torch()
    from torch_fidelity.metric_kid import kid_features_to_metric

    options = {"kid_subsets": 1, "kid_subset_size": len(real), "rng_seed": SEED, "verbose": False}
    found = kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(fake), **options)
    return float(found["kernel_inception_distance_mean"])


def kid_restated(real: Table, fake: Table) -> float:
    """The U-statistic of (x.y / d + 1)^3 in floats of 80 bits: at small scales 64 lose what the constant 1 takes up."""
    x, y = (side.astype(np.longdouble) for side in (real, fake))

    def cubes(a: Any, b: Any) -> Any:
        return (a @ b.T / real.shape[1] + 1) ** 3

    def apart(a: Any) -> Any:
        kernel, n = cubes(a, a), len(a)
        return (kernel.sum() - kernel.trace()) / (n * (n - 1))

    return float(apart(x) + apart(y) - 2 * cubes(x, y).mean())


def cmmd_restated(real: Table, fake: Table) -> float:
    """1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)) over all pairs, k = exp(-|x - y|^2 / 200), rows of length 1."""
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (real, fake))

    def mean(a: Table, b: Table) -> float:
        return float(np.mean([np.exp(-((b - row) ** 2).sum(axis=1) / (2 * 10**2)).mean() for row in a]))

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def fidelity_is(splits: int) -> Reference:
    def measure(real: Table, fake: Table) -> float:
        torch = _torch()
        from torch_fidelity.metric_isc import isc_features_to_metric

        order = np.random.default_rng(SEED).permutation(len(fake)) if splits > 1 else np.arange(len(fake))
        found = isc_features_to_metric(torch.from_numpy(fake[order]), splits=splits, shuffle=False)
        return float(found["inception_score_mean"])

    return measure


def fidelity_manifold(measure: str) -> Reference:
    def found(real: Table, fake: Table) -> float:
        torch = _torch()
        from torch_fidelity.metric_prc import prc_features_to_metric

        options = {"prc_neighborhood": 3, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
        return float(prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **options)[measure])

    return found


def prdc(measure: str) -> Reference:
    def found(real: Table, fake: Table) -> float:
        from prdc import compute_prdc

        with contextlib.redirect_stdout(io.StringIO()):
            return float(compute_prdc(real, fake, nearest_k=5)[measure])

    return found


def plain_manifold(measure: str, k: int) -> Reference:
    """Naeem et al. 2020 with closed balls, every squared distance from its differences: exact for whole numbers."""

    def squares(a: Table, b: Table) -> Table:
        return np.array([((b - row) ** 2).sum(axis=1) for row in a])

    def found(real: Table, fake: Table) -> float:
        across = squares(real, fake)
        around_real = across <= np.sort(squares(real, real), axis=1)[:, k, None]  # the row itself comes first
        around_fake = across <= np.sort(squares(fake, fake), axis=1)[:, k]
        values = {
            "precision": around_real.any(axis=0).mean(),
            "recall": around_fake.any(axis=1).mean(),
            "density": around_real.sum(axis=0).mean() / k,
            "coverage": around_real.any(axis=1).mean(),
        }
        return float(values[measure])

    return found


def sliced_restated(real: Table, fake: Table) -> float:
    """3 d times the mean over 1000 directions of the mean squared gap of sorted projections, n values of each side."""
    vectors = unit_vectors(1000, real.shape[1])
    gaps = [np.mean((np.sort(real @ vector) - np.sort(fake @ vector)) ** 2) for vector in vectors]
    return float(3 * real.shape[1] * np.mean(gaps))


def vendi_package(q: float | str) -> Reference:
    def measure(real: Table, fake: Table) -> float:
        from vendi_score import vendi

        return float(vendi.score_dual(fake, q=q))  # score_X takes q and does not use it

    return measure


def vendi_ratio(real: Table, fake: Table) -> float:
    """|ln(score of generated / score of real)|, equal numbers."""
    score = vendi_package(1)
    return abs(float(np.log(score(real, fake) / score(fake, real))))


def wasserstein(real: Table, fake: Table) -> float:
    """The mean over the columns of the stain encoder."""
    from scipy.stats import wasserstein_distance

    return float(np.mean([wasserstein_distance(real[:, i], fake[:, i]) for i in range(real.shape[1])]))


def fls_restated(real: Table, fake: Table) -> float:
    """Standardise by all; fit log variances to half of the training rows by 100 steps of torch's Adam (0.5, a tenth from
    step 50 on, kept in [-100, 20]); 100 exp(-2 (loss - baseline) / d) on the test rows."""
    torch = _torch()
    train, rng = training(real), np.random.default_rng(SEED)
    order = rng.permutation(len(train))
    halves = train[order[: len(train) // 2]], train[order[len(train) // 2 :]]
    if len(fake) > len(halves[1]):  # as many Gaussians as in the baseline
        fake = fake[rng.choice(np.arange(len(fake)), len(halves[1]), replace=False)]
    tables = [torch.from_numpy(side) for side in (*halves, real, fake)]
    everything = torch.cat(tables)
    fit, baseline, test, generated = ((side - everything.mean(0)) / everything.std(0) for side in tables)

    def squares(points: Any, centres: Any) -> Any:
        return torch.stack([((centres - point) ** 2).sum(1) for point in points])

    def loss(gaps: Any, widths: Any) -> Any:
        terms = -0.5 * gaps / widths.exp() - real.shape[1] / 2 * widths - np.log(len(widths))
        return -terms.logsumexp(1).mean()

    def fitted_loss(centres: Any) -> float:
        gaps, widths = squares(fit, centres), torch.zeros(len(centres), dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([widths], lr=0.5)
        slower = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[50], gamma=0.1)
        for _ in range(100):
            adam.zero_grad()
            loss(gaps, widths).backward()
            adam.step()
            slower.step()
            widths.data.clamp_(-100, 20)
        return float(loss(squares(test, centres), widths.detach()))

    return float(100 * np.exp(-2 * (fitted_loss(generated) - fitted_loss(baseline)) / real.shape[1]))


@cache
def _torch() -> Any:
    torchvision_shim.ready()
    import torch

    return torch

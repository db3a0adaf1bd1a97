"""Maximum mean discrepancy: the distance of two sets as a kernel sees them (Gretton et al. 2012, JMLR 13, eq. 3 and 5)."""

from __future__ import annotations

from collections.abc import Callable

from metrics.features import Table

Kernel = Callable[[Table, Table], Table]
"""float64 (n, d), (m, d) -> (n, m). Symmetric."""

_BLOCK = 2**22
"""Kernel values held at once: 32 MiB."""


def unbiased_estimate(real: Table, fake: Table, kernel: Kernel) -> float:
    """The U-statistic of the squared discrepancy: pairs of a patch with itself are left out. May be below 0."""
    n, m = len(real), len(fake)
    within = _within(real, kernel)[0] / (n * (n - 1)) + _within(fake, kernel)[0] / (m * (m - 1))
    return within - 2 * _between(real, fake, kernel) / (n * m)


def biased_estimate(real: Table, fake: Table, kernel: Kernel) -> float:
    """The V-statistic of the squared discrepancy: pairs of a patch with itself count. At least 0 but for rounding."""
    n, m = len(real), len(fake)
    within = sum(_within(real, kernel)) / n**2 + sum(_within(fake, kernel)) / m**2
    return within - 2 * _between(real, fake, kernel) / (n * m)


def _within(table: Table, kernel: Kernel) -> tuple[float, float]:
    """The sum over ordered pairs of different rows, and over pairs of a row with itself."""
    apart = alone = 0.0
    for rows in _blocks(len(table), len(table)):
        here, later = kernel(table[rows], table[rows]), kernel(table[rows], table[rows.stop :])
        itself = float(here.trace())
        alone += itself
        apart += float(here.sum()) - itself + 2 * float(later.sum())
    return apart, alone


def _between(a: Table, b: Table, kernel: Kernel) -> float:
    return sum(float(kernel(a[rows], b).sum()) for rows in _blocks(len(a), len(b)))


def _blocks(n: int, columns: int) -> list[slice]:
    rows = max(1, _BLOCK // columns)
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]

"""Precision, recall, density and coverage by blocks of `torch.cdist`: the shortest code that does not hold the whole table.

What the suite's own computation of neighbourhoods is compared with in docs/speed.md. Distances are those of float32, so that
ties are decided by rounding, and it says nothing of subsets of slides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 1024


def four_measures(real: Any, fake: Any, k: int) -> dict[str, float]:
    """The four measures of two float32 tables, (n, d) and (m, d)."""
    import torch

    a, b = (torch.from_numpy(np.ascontiguousarray(side, dtype=np.float32)) for side in (real, fake))
    reach_a, reach_b = reaches(a, k), reaches(b, k)
    balls_of_real, found_by_real = torch.zeros(len(a), dtype=torch.long), torch.zeros(len(a), dtype=torch.long)
    balls_of_fake = torch.zeros(len(b), dtype=torch.long)
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = torch.cdist(a[rows], b)
        inside = distances <= reach_a[rows, None]
        found_by_real[rows] = inside.sum(dim=1)
        balls_of_fake += inside.sum(dim=0)
        balls_of_real[rows] = (distances <= reach_b).sum(dim=1)
    return {
        "precision": float((balls_of_fake > 0).double().mean()),
        "recall": float((balls_of_real > 0).double().mean()),
        "density": float(balls_of_fake.double().mean() / k),
        "coverage": float((found_by_real > 0).double().mean()),
    }


def reaches(table: Any, k: int) -> Any:
    """The distance of each row to its k-th nearest other row."""
    import torch

    found = []
    for start in range(0, len(table), BLOCK):
        distances = torch.cdist(table[start : start + BLOCK], table)
        found.append(distances.kthvalue(k + 1, dim=1).values)  # the row itself comes first
    return torch.cat(found)

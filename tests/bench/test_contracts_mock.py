"""The mock is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contracts import mock
from bench.errors import UsageError


def test_the_mock_is_what_it_says() -> None:
    real = mock(32)
    conditions, prompts = real.conditions, real.conditions.prompts
    assert conditions.masks is not None and conditions.instances is not None and conditions.types is not None
    assert prompts is not None
    assert len(set(conditions.ids.tolist())) == 12 and len(set(conditions.groups.tolist())) == 3
    assert all(set(np.unique(mask)) == {0, 1} for mask in conditions.masks)
    row = {name: i for i, name in enumerate(conditions.ids.tolist())}
    for i in range(12):
        for c, (y0, x0, y1, x1) in enumerate(prompts.boxes[i]):
            giver = row[prompts.sources[i, c]]
            assert giver != i and conditions.groups[giver] == conditions.groups[i]
            assert (conditions.masks[i, y0:y1, x0:x1] == c).all()
            crop = prompts.canvases[i, c, y0:y1, x0:x1]
            blocks = real.images[giver].reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, 8, 8, 3)
            assert (crop == blocks).all(axis=(1, 2, 3)).any()
    with pytest.raises(UsageError, match="multiple of 8"):
        mock(36)

"""What pictures show of maps."""

from __future__ import annotations

import numpy as np

from bench.histology.pictures import render_maps
from bench.types import Conditions


def test_nuclei_are_outlined_all_around_and_nothing_else_is() -> None:
    instances = np.zeros((1, 9, 9), np.int32)
    instances[0, 2:7, 2:7] = 4
    masks = (instances > 0).astype(np.uint8)
    shown = render_maps(
        Conditions(np.array(["a"]), np.array(["s"]), ("background", "cell"), 9, 1.0, masks=masks, instances=instances)
    )
    dark = (shown[0] == 0).all(axis=-1)
    ring = masks[0].astype(bool)
    ring[3:6, 3:6] = False
    assert (dark == ring).all()

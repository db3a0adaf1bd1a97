from __future__ import annotations

import pytest

from bench.types import ImageSet
from tasks.datasets.phantom.dataset import PhantomCam16


@pytest.fixture(scope="session")
def tissue() -> ImageSet:
    """320 phantom patches of 64 px from 40 slides of as many laboratories, which no encoder was trained on."""
    return PhantomCam16(seed=2, train_slides=40, per_slide=8).split("train")

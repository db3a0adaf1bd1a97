from __future__ import annotations

import pytest

from bench.types import ImageSet
from tasks.datasets.phantom import PhantomCam16


@pytest.fixture(scope="session")
def tissue() -> ImageSet:
    """320 phantom patches of 64 px from 40 test slides."""
    return PhantomCam16(test_slides=40, per_slide=8).split("test")

"""Which devices a machine may have, without importing torch."""

from __future__ import annotations

import platform
from pathlib import Path

_DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")


def may_have_gpu() -> bool:
    """False if the machine certainly has no GPU: Linux without any device file. Then torch need not be imported."""
    return platform.system() != "Linux" or any(Path(file).exists() for file in _DEVICE_FILES)

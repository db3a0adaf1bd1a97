"""Which devices a machine may have, without importing torch."""

from __future__ import annotations

import platform
from pathlib import Path

_DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")


def may_have_gpu() -> bool:
    """False where the machine surely has no GPU: Linux without the device file of any. torch need not be asked then."""
    return platform.system() != "Linux" or any(Path(file).exists() for file in _DEVICE_FILES)

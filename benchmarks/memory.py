"""Peak memory of this process."""

from __future__ import annotations

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory() -> float:
    """MiB: the highest memory that this process has held since its program was started.

    Linux counts it for each program (`VmHWM`). `ru_maxrss` would also hold the peak of the process that started this one.
    """
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

"""Measures whether the memory of the driver grows with the number of generated patches: a run of `noise` with two workers.

    python -m benchmarks.driver_memory
    python -m benchmarks.driver_memory 2000 20000

Each run is a process of its own with a store of its own, in a temporary folder; the memory of its workers is not counted.
Patches are of 32 px, 50 of each test slide. The larger number takes minutes, mostly for rendering the phantom.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

PER_SLIDE = 50
DRIVER = """
import sys
from bench.cli import main
from benchmarks.memory import peak_memory

if __name__ == "__main__":
    try:
        main()
    finally:
        print(peak_memory(), file=sys.stderr)
"""


def peak(patches: int) -> float:
    """Peak memory in MiB of the driver of a run with this number of generated patches."""
    sizes = {
        "size": 32,
        "train_slides": 2,
        "validation_slides": 1,
        "test_slides": patches // PER_SLIDE,
        "per_slide": PER_SLIDE,
    }
    words = ["run", "-g", "noise", "-t", "cam16-seg", "--controls", "none", "-e", "stain", "-m", "fd", "--no-downstream"]
    words += ["--seeds", "0", "--workers", "2", *(word for name in sizes for word in ("-o", f"dataset.{name}={sizes[name]}"))]
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "BENCH_DATA"}
        command = [sys.executable, "-c", DRIVER, *words, "--out", folder]
        done = subprocess.run(command, capture_output=True, text=True, env={**environment, "BENCH_HOME": folder})
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stderr.splitlines()[-1])


if __name__ == "__main__":
    for count in map(int, sys.argv[1:] or ("2000", "20000")):
        print(f"{count} generated patches: peak memory of the driver {peak(count):.0f} MiB", flush=True)

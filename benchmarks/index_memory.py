"""Memory that joining prepared slides takes, by their number: `python -m benchmarks.index_memory 1000 4000 16000`.

Slides have 100 patches of 4 pixels with 20 classes, so that the index is large beside the images. The slides of the largest
number are made once; each number is joined by a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tasks.datasets.prepared.writer import PreparedPart, write_part

PATCHES, SIDE, CLASSES = 100, 4, 20
JOINED = """
import os, shutil, sys
from pathlib import Path
from benchmarks.memory import peak_memory
from tasks.datasets.prepared.writer import assemble

root, count = Path(sys.argv[1]), int(sys.argv[2])
parts = [root / f"{n:06d}" for n in range(count)]
assemble(parts, root / "out", 4, 0.5, [f"class-{i}" for i in range(20)], {}, [])
size = os.stat(root / "out" / "index.parquet").st_size
print(f"{count} slides, {100 * count} patches: index of {size / 2**20:.1f} MiB, peak {peak_memory():.0f} MiB")
shutil.rmtree(root / "out")
"""


def write_slides(root: Path, count: int) -> None:
    """Writes parts of slides whose maps are random."""
    places = np.stack([np.arange(PATCHES) * SIDE, np.zeros(PATCHES)], axis=1).astype(np.int64)
    for number in range(count):
        rng = np.random.default_rng(number)
        images = rng.integers(0, 256, (PATCHES, SIDE, SIDE, 3), np.uint8)
        masks = rng.integers(0, CLASSES, (PATCHES, SIDE, SIDE)).astype(np.uint8)
        name = f"TCGA-{number:06d}"
        part = PreparedPart(name, f"case-{number}", f"patient-{number}", "", "", images, masks, places)
        folder = root / f"{number:06d}"
        folder.mkdir()
        write_part(folder, part, [f"class-{i}" for i in range(CLASSES)], 0.5)


def main() -> None:
    counts = sorted(map(int, sys.argv[1:] or ("1000", "4000", "16000")))
    with tempfile.TemporaryDirectory() as folder:
        write_slides(Path(folder), counts[-1])
        for count in counts:
            subprocess.run([sys.executable, "-c", JOINED, folder, str(count)], check=True)


if __name__ == "__main__":
    main()

"""How often do gate and comparison find a difference between two sets of fits of one method? The study.

python -m benchmarks.fits run [--only TEXT]   simulate what benchmarks/fits.jsonl does not hold of today's code
python -m benchmarks.fits page                write the tables of docs/fits.md from it
python -m benchmarks.fits check               whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import fits_page
from benchmarks.fits_simulation import Finding, Setting, settings, simulate
from benchmarks.study import Study

STUDY = Study(
    module="benchmarks.fits",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.alarms} alarms, {finding.differences} differences, {finding.seen} seen",
    page="fits.md",
    tables=fits_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

"""Which Fréchet-like distance can have an interval, whatever the number of features? The study.

python -m benchmarks.subspace run [--only TEXT] [--workers N]   simulate what benchmarks/subspace.jsonl does not hold
python -m benchmarks.subspace page                              write docs/subspace.md from it
python -m benchmarks.subspace check                             whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import subspace_page
from benchmarks.study import Study
from benchmarks.subspace_simulation import Finding, Setting, settings, simulate

STUDY = Study(
    module="benchmarks.subspace",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.held} of {finding.given}",
    page="subspace.md",
    tables=subspace_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

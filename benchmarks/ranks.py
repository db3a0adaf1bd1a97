"""How often does the interval of a mean rank hold the true mean rank? The study.

python -m benchmarks.ranks run [--only TEXT]   simulate what benchmarks/ranks.jsonl does not hold of today's code
python -m benchmarks.ranks page                write the table of docs/ranks.md from it
python -m benchmarks.ranks check               whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import ranks_page
from benchmarks.ranks_simulation import Finding, Setting, settings, simulate
from benchmarks.study import Study

STUDY = Study(
    module="benchmarks.ranks",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.held} of {finding.places} held, mean width {finding.width:.2f}",
    page="ranks.md",
    tables=ranks_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

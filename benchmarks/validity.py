"""Do intervals hold the truth on slides of unequal size with heavy tails, and do comparisons err as they say? The study.

python -m benchmarks.validity run [--only TEXT] [--workers N]   simulate what benchmarks/validity.jsonl does not hold
python -m benchmarks.validity page                              write docs/validity.md from it
python -m benchmarks.validity check                             whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import validity_page
from benchmarks.study import Study
from benchmarks.validity_simulation import Finding, Setting, settings, simulate

STUDY = Study(
    module="benchmarks.validity",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.held} of {finding.given}",
    page="validity.md",
    tables=validity_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

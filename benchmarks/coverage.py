"""How often does an interval for the Fréchet distance hold the truth when patches cluster in slides? The study.

python -m benchmarks.coverage run [--only TEXT]   simulate what benchmarks/coverage.jsonl does not hold of today's code
python -m benchmarks.coverage page                write docs/coverage.md and docs/coverage.png from it
python -m benchmarks.coverage check               whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import coverage_page
from benchmarks.coverage_simulation import Finding, Setting, settings, simulate
from benchmarks.study import Study

STUDY = Study(
    module="benchmarks.coverage",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.held} of {finding.given}",
    page="coverage.md",
    tables=coverage_page.tables,
    picture=coverage_page.picture,
)

if __name__ == "__main__":
    STUDY.main()

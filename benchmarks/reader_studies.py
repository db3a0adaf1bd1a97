"""How often do the intervals of a reader study hold the truth? The study.

run [--only TEXT]   simulate what benchmarks/reader_studies.jsonl does not hold of today's code
page                write the tables of docs/reader-statistics.md from it
check               whether the page shows what today's code gives
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import reader_studies_page
from benchmarks.reader_studies_simulation import Finding, Setting, settings, simulate
from benchmarks.study import Study

STUDY = Study(
    module="benchmarks.reader_studies",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: ", ".join(f"{name} {found['held']}" for name, found in finding.found.items()),
    page="reader-statistics.md",
    tables=reader_studies_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

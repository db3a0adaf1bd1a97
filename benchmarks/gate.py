"""The study of the gate: its rate of false alarms, and its power.

python -m benchmarks.gate run [--only TEXT]   simulate the settings that benchmarks/gate.jsonl lacks for the present code
python -m benchmarks.gate page                write the tables of docs/gate.md from it
python -m benchmarks.gate check               test whether the page shows the results of the present code
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: small matrices are slower on several threads

from benchmarks import gate_page
from benchmarks.gate_simulation import Finding, Setting, settings, simulate
from benchmarks.study import Study

STUDY = Study(
    module="benchmarks.gate",
    kept=Path(__file__).with_suffix(".jsonl"),
    setting=Setting,
    finding=Finding,
    settings=settings,
    simulate=simulate,
    summarise=lambda finding: f"{finding.alarms} alarms, {finding.verdicts}",
    page="gate.md",
    tables=gate_page.tables,
)

if __name__ == "__main__":
    STUDY.main()

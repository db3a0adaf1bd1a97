"""A run of controls on a few phantom patches, through the command line, in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import group
from bench.errors import BenchError

OPTIONS = ("dataset.train_slides=6", "dataset.validation_slides=2", "dataset.test_slides=6", "dataset.per_slide=4")
SMALL = [word for option in OPTIONS for word in ("-o", option)]
WORDS = ["-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd,precision", *SMALL]
"""All but the generator, its controls and the seeds."""


def bench(*words: object, home: Path) -> Result:
    """The command's output, errors of users answered with their exit codes as the program does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(home))
        patch.delenv("BENCH_DATA", raising=False)
        done = CliRunner().invoke(group, [str(word) for word in words])
    if isinstance(done.exception, BenchError):
        done.exit_code = done.exception.exit_code
        done.stderr_bytes = (done.stderr_bytes or b"") + str(done.exception).encode()
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def run(*words: object, home: Path, out: Path) -> Path:
    """The folder of the run."""
    done = bench("run", *words, "--out", out, home=home)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def export_conditions(out: Path, *words: object) -> list[dict[str, str]]:
    """The rows of the conditions that a run would give to generators, exported to `out/conditions`."""
    done = bench("export", "conditions", "--out", out / "conditions", *words, home=out / "home")
    assert done.exit_code == 0, done.stderr
    with (out / "conditions/conditions.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_values(folder: Path) -> dict[str, float]:
    """Measure -> value of the records of a run with one generator, encoder and seed."""
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return {record["measure"]: record["value"] for record in records}

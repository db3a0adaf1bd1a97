"""Time and memory of the commands that read records, for many records: `python -m benchmarks.many_records --records 200000`.

The records are made up: some data sets, on each of which the same generators were run with several seeds and measured with
distances of several encoders and with scores of downstream models. Each run is a file of its own, as `bench run` writes them.
Every command runs in a process of its own, whose time and largest memory are printed, one JSON object a command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.results import schema
from bench.results.schema import ResultRecord

ENCODERS = tuple(f"encoder-{i}" for i in range(6))
DISTANCES = ("fd", "mind", "kid", "cmmd", "precision", "recall", "density", "coverage")
CLASSES = 24
SEEDS, GENERATORS = 4, 25
BLOCKS = 20
STARTED_BY = """
import json, os, subprocess, sys
started = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(started.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Starts a command from a small process: Linux counts the memory of the process that starts one to its largest memory."""
COMMANDS = ("leaderboard", "compare", "gate", "merge", "report", "load_results")


def measures() -> list[tuple[str, str, str, str]]:
    """(measure, direction, encoder, training mix) of the records of one run and seed."""
    found = [(name, "lower" if i < 4 else "higher", encoder, "") for encoder in ENCODERS for i, name in enumerate(DISTANCES)]
    found += [(name, "higher", "", "synthetic") for name in ("iou", *(f"iou:class-{i}" for i in range(CLASSES)))]
    return found


def make_run(dataset: int, generator: int, rng: np.random.Generator) -> Iterator[ResultRecord]:
    """The records of one generator on one data set: each measure once a seed."""
    described = {
        "generator": {"name": f"g{generator}", "version": "1", "options": {"steps": 1000, "width": 64, "sampler": "ddim"}},
        "dataset": {"name": f"data-{dataset}", "version": "1", "options": {"size": 64, "seed": 0, "per_slide": 16}},
    }
    made = f"2026-01-{1 + generator % 28:02d}T00:00:00+00:00"
    stamp = {"made": made, "python": "3.11.7", "histobench": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0", "timm": "1.0.31"}
    of_run = f"{dataset}-{generator}"
    for measure, direction, encoder, mix in measures():
        of = {"encoder" if encoder else "task": {"name": encoder or "seg", "version": "1", "options": {}}}
        for seed in range(SEEDS):
            value = float(rng.uniform(0.4, 0.6) + 0.01 * generator / GENERATORS)
            yield ResultRecord(
                f"g{generator}",
                f"data-{dataset}",
                "slide",
                "seg",
                measure,
                direction,
                f"p-{dataset}-{measure}-{encoder}",
                encoder=encoder,
                mix=mix,
                seed=seed,
                value=value,
                low=value - 0.05,
                high=value + 0.05,
                n=640,
                n_real=640,
                groups=40,
                replicates=tuple((value + rng.normal(0, 0.002, BLOCKS)).tolist()),
                described={**described, **of, "metric": {"name": measure.partition(":")[0], "version": "1", "options": {}}},
                keys={
                    "test": f"test-{dataset}",
                    "weights": f"w-{of_run}",
                    "method": f"m-{of_run}",
                    "samples": f"s-{of_run}-{seed}",
                },
                fit={"origin": "trained", "seed": "0", "weights": f"f-{of_run}"},
                stamp=stamp,
            )


def make(records: int, folder: Path) -> int:
    """Writes files of at least that many records below the folder; returns how many."""
    rng = np.random.default_rng(0)
    made, number = 0, 0
    while made < records:
        held = list(make_run(number // GENERATORS, number % GENERATORS, rng))
        schema.write(held, folder / f"run-{number}" / schema.RUN)
        made, number = made + len(held), number + 1
    return made


def one_side(folder: Path, out: Path) -> Path:
    """The records of the folder again, each a little worse, in one file: what a gate compares them with."""
    worse = (replace(record, value=record.value and record.value * 1.001) for record in schema.read(schema.files([folder])))
    schema.write(worse, out)
    return out


def words(command: str, folder: Path, work: Path) -> list[str]:
    """The command line, after the interpreter."""
    program = ["-m", "bench", command]
    if command == "leaderboard":
        return [*program, "--results", str(folder), "--format", "csv", "--out", str(work / "table.csv")]
    if command == "compare":
        return [*program, str(folder / "run-0"), str(folder / "run-1")]
    if command == "gate":
        return [*program, "--baseline", str(folder), "--candidate", str(folder)]
    if command == "merge":
        return [*program, str(folder), "--out", str(work / "merged" / "all.jsonl")]
    if command == "report":
        return [*program, str(folder), "--out", str(work / "report"), "--patches", "0"]
    return ["-c", f"import bench; print(len(bench.load_results({str(folder)!r})))"]


def measure(command: str, folder: Path, work: Path) -> dict[str, object]:
    """Exit code, seconds and megabytes of a command."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", STARTED_BY, sys.executable, *words(command, folder, work)],
        capture_output=True,
        env={**os.environ, "BENCH_HOME": str(work / "home")},
    )
    code, seconds, kilobytes = json.loads(done.stdout)
    return {
        "command": command,
        "exit": code,
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu": round(seconds, 1),
        "megabytes": round(kilobytes / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--folder", type=Path, help="Where the records are kept; default: a temporary folder.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "runs"
        count = sum(1 for _ in schema.read(schema.files([folder]))) if folder.is_dir() else make(given.records, folder)
        for command in given.commands.split(","):
            print(json.dumps({"records": count, **measure(command, folder, Path(temporary))}), flush=True)


if __name__ == "__main__":
    main()

"""Random small runs under random faults: every number has to be that of the undisturbed run, or to end in a stated refusal.

    python -m benchmarks.soak --seconds 120 --seed 0 > soak-0.jsonl     one line for each trial
    python -m benchmarks.soak --page soak-0.jsonl soak-1.jsonl          into docs/reliability.md

Each trial starts a run on a store that is empty, half full or finished, puts one to six faults into it (soak_faults.py), and
waits for its end. Then it starts the same command again without faults, which has to give the records of the undisturbed run.
A trial fails

- where a record differs from the undisturbed one, or an exit code 0 comes without all records (`wrong`),
- where the second start does not end with all records (`lost`),
- where a command ends with a traceback or an exit code that states nothing (`unstated`), or not within its time (`hung`),
- where a process is still there 15 seconds after the command has ended (`left`).

The command ends with exit code 1 where any trial failed. Linux; full and read-only disks are tried where a tmpfs can be
mounted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.results import schema
from bench.results.terms import Status
from benchmarks import soak_faults, soak_page
from benchmarks.soak_faults import BEFORE, DISK, DURING, Attempt, Fault

SMALL = "dataset.size=32 dataset.train_slides=6 dataset.validation_slides=2 dataset.test_slides=6 dataset.per_slide=24"
TRAINED = (
    "generator.steps=6 generator.stage_steps=6 generator.batch=4 generator.stage_batch=4 generator.views=1 "
    "generator.sample_steps=1 generator.channels=16,16,16"
)
SCENARIOS = {
    "controls": f"-g flat-colour -t cam16-seg --no-downstream -e stain -m fd,precision -o {SMALL.replace(' ', ' -o ')}",
    "downstream": f"-g shuffle -t cam16-seg --controls none -e stain -m fd -o task.steps=3 -o {SMALL.replace(' ', ' -o ')}",
    "trained": f"-g ldm-semantic -t cam16-seg --fit --no-downstream --controls none -e stain -m fd "
    f"-o {TRAINED.replace(' ', ' -o ')} -o {SMALL.replace(' ', ' -o ')}",
}
"""Options of `bench run`: controls, a downstream model, and a generator that is trained."""
WEIGHTS = {"controls": 12, "downstream": 1, "trained": 2}
"""How often each is drawn."""
STATED = {0, 3, 4, 130}
"""Exit codes that say how a run ended; 4 where records carry the reasons."""
GRACE = 15.0
"""Seconds until every process has to be gone after the command has ended."""
OF_PYTHON = re.compile(r'Traceback .*\n  File ".*multiprocessing/resource_tracker\.py", .*\n.*\nKeyError: .*\n')
"""What Python's own helper process prints after it was killed and started again."""
MEGABYTES = 64
"""Size of a file system that is filled."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run."""

    words: tuple[str, ...]
    home: Path
    records: dict[str, str]
    """Record without the value -> value, of all records."""
    seconds: float


@dataclass
class Trial:
    """What was done to a run and how it ended."""

    seed: int
    """Of the soak."""
    number: int
    scenario: str
    workers: int
    store: str
    faults: list[str] = field(default_factory=list)
    code: int = 0
    """Of the attempt with faults."""
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        return json.dumps(vars(self))


def read_records(out: Path) -> dict[str, str]:
    """Identity -> status, value and interval of every record under a folder; empty where there is none."""
    found = {}
    for path in sorted(out.glob("*/results.jsonl")):
        for record in schema.read([path]):
            numbers = {"value", "low", "high", "replicates", "status", "reason"}
            held = json.loads(schema.to_json(replace(record, stamp={})))
            values = {name: held.pop(name) for name in sorted(numbers & held.keys())}
            identity = {name: held[name] for name in ("generator", "measure", "encoder", "mix", "seed", "task")}
            found[json.dumps(identity, sort_keys=True)] = json.dumps([values, held], sort_keys=True)
    return found


def make_reference(name: str, folder: Path) -> Reference:
    """Runs a scenario undisturbed in one process."""
    home, out = folder / name / "home", folder / name / "out"
    words = ("run", *SCENARIOS[name].split())
    begun = time.monotonic()
    attempt = Attempt([*words, "--workers", "1", "--out", str(out)], home, secrets.token_hex(8), random.Random(0))
    errors = folder / f"{name}.err"
    code = attempt.start(stderr=errors).wait()
    if code:
        raise SystemExit(f"the undisturbed run {name} ended with exit code {code}: {errors.read_text(encoding='utf-8')}")
    return Reference(words, home, read_records(out), time.monotonic() - begun)


def run_trial(seed: int, number: int, name: str, reference: Reference, folder: Path) -> Trial:
    """One run with faults, and one without on the same store."""
    rng = random.Random(f"{seed} {number}")
    trial = Trial(seed, number, name, rng.choice((1, 2)), rng.choice(("empty", "half", "finished")))
    begun = time.monotonic()
    with disk_for(rng, folder / "home") as is_own_disk:
        home = folder / "home" / "store"
        fill_store(trial.store, reference.home, home, rng)
        words = [*reference.words, "--workers", str(trial.workers), "--out", str(folder / "out")]
        attempt = Attempt(words, home, secrets.token_hex(8), rng)
        draw_faults(trial, attempt, rng, reference.seconds, folder / "errors", is_own_disk)
        check_first(trial, reference, folder)
        if is_own_disk:
            soak_faults.remount(folder / "home", f"rw,size={16 * MEGABYTES}m")
            (home / ".filled").unlink(missing_ok=True)
        check_again(trial, reference, home, folder)
    trial.seconds = time.monotonic() - begun
    return trial


@contextmanager
def disk_for(rng: random.Random, place: Path) -> Iterator[bool]:
    """Whether the store of a trial has a small file system of its own, one time in six."""
    is_own = rng.random() < 1 / 6 and soak_faults.mounted(place, MEGABYTES)
    try:
        yield is_own
    finally:
        if is_own:
            soak_faults.unmount(place)


def fill_store(state: str, reference: Path, home: Path, rng: random.Random) -> None:
    """An empty store, the finished one of the reference, or that without some of its entries."""
    home.mkdir(parents=True)
    if state == "empty":
        return
    shutil.copytree(reference, home, dirs_exist_ok=True, symlinks=True)
    entries = sorted(path.parent for path in home.glob("*/*/entry.json")) if state == "half" else []
    for entry in entries:
        if rng.random() < 0.5:
            shutil.rmtree(entry)


def draw_faults(trial: Trial, attempt: Attempt, rng: random.Random, usual: float, errors: Path, is_own_disk: bool) -> None:
    """Puts faults into the attempt before and while it runs, until it has ended."""
    chosen: list[Fault] = [rng.choice((*BEFORE, *DURING, *DURING)) for _ in range(rng.randint(1, 6))]
    if is_own_disk:
        chosen[0] = rng.choice(DISK)
    before = [fault for fault in chosen if fault in BEFORE]
    during = [fault for fault in chosen if fault not in before and (fault in DURING or fault in DISK)]
    for fault in before:
        apply(trial, fault, attempt)
    attempt.process = attempt.start(stderr=errors)
    begun = time.monotonic()
    for moment, fault in sorted(((rng.uniform(0, 1.2 * usual), fault) for fault in during), key=lambda pair: pair[0]):
        while attempt.process.poll() is None and time.monotonic() - begun < moment:
            time.sleep(0.02)
        if attempt.process.poll() is None:
            apply(trial, fault, attempt)
    trial.code = wait_for(trial, attempt.process, 120 + 10 * usual)
    for process in attempt.company:
        wait_for(trial, process, 120 + 10 * usual)
    deadline = time.monotonic() + GRACE
    while (left := attempt.processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    if left:
        trial.failures.append(f"left: {len(left)} processes")
        attempt.kill()


def apply(trial: Trial, fault: Fault, attempt: Attempt) -> None:
    """Counts the fault where there was something to harm."""
    if fault(attempt):
        trial.faults.append(fault.__name__)


def wait_for(trial: Trial, process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        trial.failures.append("hung")
        process.kill()
        return process.wait()


def check_first(trial: Trial, reference: Reference, folder: Path) -> None:
    """What the attempt with faults has left."""
    printed = (folder / "errors").read_text(encoding="utf-8", errors="replace")
    if trial.code not in STATED and trial.code >= 0:
        trial.failures.append(f"unstated: exit code {trial.code}")
    if trial.code in STATED and "Traceback (most recent call last)" in OF_PYTHON.sub("", printed):
        trial.failures.append("unstated: a traceback")
    for part in ("out", "company"):
        compare(trial, reference, folder / part, must_be_whole=part == "out" and trial.code == 0)


def compare(trial: Trial, reference: Reference, out: Path, must_be_whole: bool) -> None:
    """Each record is that of the undisturbed run, or an error that states its reason."""
    try:
        found = read_records(out)
    except Exception as error:
        trial.failures.append(f"wrong: records that cannot be read ({error})")
        return
    for identity, held in found.items():
        values = json.loads(held)[0]
        if values["status"] != Status.ERROR and held != reference.records.get(identity):
            trial.failures.append(f"wrong: {identity}")
        if values["status"] == Status.ERROR and (must_be_whole or not values["reason"]):
            trial.failures.append(f"wrong: an error in a run that ended with exit code 0, {identity}")
    if must_be_whole and found.keys() != reference.records.keys():
        trial.failures.append("wrong: exit code 0 without all records")


def check_again(trial: Trial, reference: Reference, home: Path, folder: Path) -> None:
    """The same command without faults."""
    words = [*reference.words, "--workers", "1", "--out", str(folder / "again")]
    attempt = Attempt(words, home, secrets.token_hex(8), random.Random(0))
    code = wait_for(trial, attempt.start(stderr=folder / "again.err"), 120 + 10 * reference.seconds)
    if code:
        printed = (folder / "again.err").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        trial.failures.append(
            f"lost: the second start ended with exit code {code} ({printed[-1] if printed else 'no message'})"
        )
    else:
        compare(trial, reference, folder / "again", must_be_whole=True)


def soak(seconds: float, faults: int, seed: int, kept: Path | None = None) -> list[Trial]:
    """Trials until the time is over or so many faults were put in."""
    rng, begun = random.Random(seed), time.monotonic()
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        references = {name: make_reference(name, Path(place)) for name in SCENARIOS}
        while time.monotonic() - begun < seconds and sum(len(each.faults) for each in trials) < faults:
            name = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            folder = Path(place) / f"trial-{len(trials)}"
            folder.mkdir()
            trial = run_trial(seed, len(trials), name, references[name], folder)
            trials.append(trial)
            print(trial.line(), flush=True)
            if trial.failures and kept is not None:
                with suppress(OSError):
                    shutil.copytree(folder, kept / folder.name, symlinks=True)
            shutil.rmtree(folder, ignore_errors=True)
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--faults", type=int, default=10**9, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the stores and messages of trials that failed")
    parser.add_argument("--page", type=Path, nargs="+", metavar="FILE", help="lines of trials: write docs/reliability.md")
    words = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with the signal ignored
    if words.page:
        lines = [line for file in words.page for line in file.read_text(encoding="utf-8").splitlines()]
        soak_page.write([Trial(**json.loads(line)) for line in lines], len(os.sched_getaffinity(0)))
        return
    trials = soak(words.seconds, words.faults, words.seed, words.keep)
    kinds = Counter(failure.partition(":")[0] for trial in trials for failure in trial.failures)
    count = sum(len(trial.faults) for trial in trials)
    print(f"{len(trials)} trials, {count} faults; failures: {dict(kinds) or 'none'}", file=sys.stderr)
    sys.exit(1 if kinds else 0)


if __name__ == "__main__":
    main()

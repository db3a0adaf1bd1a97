"""One input in a process of its own, with limits of time and memory, and what its end says."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzzing.doors import DOORS, Door, WrongError
from benchmarks.fuzzing.mutations import mutate

SECONDS = 10.0
"""Within which a door has to answer."""
MEMORY = 2**31
"""Bytes that an input of at most 8 MB may make a process take beyond what it has."""
LARGEST_FILE = 2**29
USUAL = frozenset((0, 2, 3, 4, 5, 6, 7))
"""Exit codes that state something; see docs/architecture.md and the help of each command."""
UNCHANGED = -1
"""The number of an input that is the valid files themselves."""
UNCAUGHT, WRONG = 70, 71
"""Exit codes of a process here after an exception that no door turned into a message, and after a wrong number."""
CHANGED, PRINTED = ".changed", ".printed"
"""Files in the folder of an input: the name of the changed file, and what the door has printed."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")
"""What a terminal obeys, but for line breaks and tabs."""


@dataclass
class Trial:
    """An input and its end."""

    door: str
    number: int
    folder: Path
    changed: str = ""
    end: str = ""
    """`ok`, `refused` or a kind of failure: `signal`, `hang`, `uncaught`, `code`, `control`, `memory`, `silent`, `wrong`."""
    text: str = ""
    """What was printed by a door that failed."""
    seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def is_failure(self) -> bool:
        return self.end not in ("ok", "refused")


def prepare(door: str, number: int, seed: int, corpus: Path, folder: Path) -> Trial:
    """Copies the valid files of the door into a new folder and changes one of them."""
    rng = random.Random(f"{seed}/{door}/{number}")
    chosen = DOORS[door]
    shutil.copytree(corpus / chosen.base, folder)
    found = [path for pattern in chosen.files for path in sorted(folder.glob(pattern)) if path.is_file()]
    pattern = rng.choice(chosen.files)  # each as often, however many files it names
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()] or found
    file = rng.choice(files)
    alike = [path for path in found if path.suffix == file.suffix]
    if number != UNCHANGED:
        file.write_bytes(mutate(file.name, file.read_bytes(), rng.choice(alike).read_bytes(), rng))
    changed = file.relative_to(folder).as_posix()
    (folder / CHANGED).write_text(changed, encoding="utf-8")
    return Trial(door, number, folder, changed)


def start(trial: Trial, seed: int) -> int:
    """The id of a child process that asks the door."""
    sys.stdout.flush()
    sys.stderr.flush()
    trial.begun = time.monotonic()
    pid = os.fork()
    if pid:
        return pid
    code = UNCAUGHT
    try:
        os.setsid()
        _limit()
        _redirect(trial.folder / PRINTED)
        code = ask(DOORS[trial.door], trial.folder, random.Random(f"{seed}/{trial.door}/{trial.number}/ask"))
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ask(door: Door, folder: Path, rng: random.Random) -> int:
    """The exit code of the door for a folder; what is uncaught is printed with its traceback."""
    import click

    from bench.errors import BenchError
    from bench.messages import echo
    from bench.runtime.refusals import refusal_of

    os.environ["BENCH_HOME"] = str(folder / "home-of-this-input")
    os.chdir(folder)
    try:
        door.ask(folder, rng)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except WrongError as error:
        print(f"wrong: {error}", file=sys.stderr)
        return WRONG
    except BenchError as error:
        echo(f"bench: {error}", err=True)  # as the program prints it
        return error.exit_code
    except click.ClickException as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException as error:
        if (refusal := refusal_of(error)) is not None and refusal.what == "memory":
            print(f"bench: {refusal.sentence()}", file=sys.stderr)
            return 3
        traceback.print_exc()
        return UNCAUGHT
    return 0


def fill_end(trial: Trial, status: int, hung: bool) -> None:
    """Fills the end of a trial from the status of its process and what it has printed."""
    trial.seconds = time.monotonic() - trial.begun
    printed = (trial.folder / PRINTED).read_bytes().decode("utf-8", "replace") if (trial.folder / PRINTED).is_file() else ""
    trial.end = _end(DOORS[trial.door], status, hung, printed)
    if trial.number == UNCHANGED and trial.end == "refused" and DOORS[trial.door].reads:
        trial.end = "unread"
    trial.text = printed if trial.is_failure else ""


def _end(door: Door, status: int, hung: bool, printed: str) -> str:
    if hung:
        return "hang"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number == signal.SIGXCPU else f"signal {signal.Signals(number).name}"
    code = os.WEXITSTATUS(status)
    if code == WRONG:
        return "wrong"
    if code == UNCAUGHT or "Traceback (most recent call last)" in printed:
        return "uncaught"
    if code not in USUAL | door.codes:
        return f"code {code}"
    if "not enough memory" in printed:
        return "memory"
    if code and not printed.strip():
        return "silent"
    # what the standard library says of sizes is no text of ours
    return "control" if _CONTROL.search(printed) else "refused" if code else "ok"


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CPU, (int(3 * SECONDS), int(3 * SECONDS) + 1))
    with suppress(OSError, ValueError):  # where there is no /proc
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _redirect(file: Path) -> None:
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 0)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def run(asked: Sequence[tuple[str, int]], seed: int, corpus: Path, work: Path, jobs: int) -> Iterator[Trial]:
    """Tries (door, number) after (door, number), `jobs` at a time; yields each when it has ended. The folder of a trial is the
    caller's to keep or to remove."""
    waiting = list(reversed(asked))
    running: dict[int, Trial] = {}
    again: set[tuple[str, int]] = set()
    while waiting or running:
        while waiting and len(running) < jobs:
            door, number = waiting.pop()
            folder = work / f"{number:05d}-{re.sub('[^a-z0-9]+', '-', door.lower())}"
            shutil.rmtree(folder, ignore_errors=True)
            trial = prepare(door, number, seed, corpus, folder)
            running[start(trial, seed)] = trial
        for pid, status, hung in _ended(running):
            trial = running.pop(pid)
            fill_end(trial, status, hung)
            if trial.end == "hang" and (trial.door, trial.number) not in again:
                again.add((trial.door, trial.number))  # once more: the machine may have been busy
                waiting.append((trial.door, trial.number))
            else:
                yield trial


def _ended(running: dict[int, Trial]) -> list[tuple[int, int, bool]]:
    """(process, status, whether it was stopped for its time) of those that have ended; waits for the first."""
    found: list[tuple[int, int, bool]] = []
    while not found:
        for pid, trial in running.items():
            hung = time.monotonic() - trial.begun > SECONDS
            if hung:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if hung else os.WNOHANG)
            if done:
                with suppress(ProcessLookupError):  # what it has started
                    os.killpg(pid, signal.SIGKILL)
                found.append((pid, status, hung))
        if not found:
            time.sleep(0.005)
    return found

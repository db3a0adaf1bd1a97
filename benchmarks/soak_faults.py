"""Faults that a soak puts into a run: signals, damaged files, full and read-only disks, a jumping clock, and company."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CLOCK = """
import os, time
_after, _shift = map(float, os.environ["SOAK_CLOCK"].split())
_begun, _time = time.monotonic(), time.time
_now = lambda: _time() + (_shift if time.monotonic() - _begun > _after else 0.0)
time.time, time.time_ns = _now, lambda: int(_now() * 1e9)
"""
"""A `sitecustomize` that moves the clock of a process some seconds after its start."""


FAST = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Networks this small are slower with several threads, and several commands run at once."""


@dataclass
class Attempt:
    """One start of a command whose processes are found by a mark in their environment."""

    words: list[str]
    home: Path
    """Folder of the store."""
    mark: str
    rng: random.Random
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    company: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Other commands on the same store."""
    stderr: Path = Path(os.devnull)

    def start(self, words: list[str] | None = None, stderr: Path | None = None) -> subprocess.Popen[bytes]:
        """Starts the command, or another one on the same store."""
        environment = {**os.environ, **FAST, "BENCH_HOME": str(self.home), "SOAK_MARK": self.mark, **self.environment}
        environment.pop("BENCH_DATA", None)
        command = [sys.executable, "-m", "bench", *(words or self.words)]
        with (stderr or Path(os.devnull)).open("wb") as errors:
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)

    def processes(self) -> list[psutil.Process]:
        """Every process that carries the mark."""
        return list(marked(self.mark))

    def kill(self) -> None:
        """Ends all of them."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


def marked(mark: str) -> Iterator[psutil.Process]:
    """Processes with this mark in their environment, but zombies."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("SOAK_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def files_of(home: Path) -> list[Path]:
    """Regular files of the store, of finished entries and of work in progress."""
    found = []
    with suppress(OSError):
        for path in home.rglob("*"):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    found.append(path)
    return sorted(found)


# faults before a start


def flip_byte(attempt: Attempt) -> bool:
    """Changes one byte of a file of the store."""
    path = _choose(attempt)
    if path is None:
        return False
    with suppress(OSError), path.open("r+b") as file:
        size = path.stat().st_size
        if not size:
            return False
        place = attempt.rng.randrange(size)
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ (1 << attempt.rng.randrange(8))]))
        return True
    return False


def cut_file(attempt: Attempt) -> bool:
    """Cuts a file of the store, one time in three to nothing."""
    path = _choose(attempt)
    if path is None:
        return False
    with suppress(OSError):
        size = path.stat().st_size
        os.truncate(path, 0 if attempt.rng.random() < 1 / 3 else attempt.rng.randrange(size + 1))
        return True
    return False


def remove_file(attempt: Attempt) -> bool:
    """Removes a file of the store."""
    path = _choose(attempt)
    if path is None:
        return False
    with suppress(OSError):
        path.unlink()
        return True
    return False


def replace_file(attempt: Attempt) -> bool:
    """Puts a folder, a link to nothing or text in the place of a file or an entry of the store."""
    path = _choose(attempt)
    if path is None:
        return False
    if attempt.rng.random() < 0.3 and path.parent.parent.parent == attempt.home:
        path = path.parent
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        kind = attempt.rng.randrange(3)
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            path.symlink_to("nowhere")
        else:
            path.write_text("no such thing\n", encoding="utf-8")
        return True
    return False


def add_file(attempt: Attempt) -> bool:
    """Adds a foreign file beside one of the store."""
    path = _choose(attempt)
    if path is None:
        return False
    with suppress(OSError):
        path.with_name(f"foreign-{attempt.rng.randrange(10**6)}").write_bytes(attempt.rng.randbytes(64))
        return True
    return False


def move_dates(attempt: Attempt) -> bool:
    """Dates files of the store ten years forward or back."""
    shift = attempt.rng.choice((-1, 1)) * 10 * 365 * 24 * 3600
    for path in attempt.rng.sample(files := files_of(attempt.home), min(20, len(files))):
        with suppress(OSError):
            os.utime(path, (time.time() + shift,) * 2)
    return bool(files)


def jump_clock(attempt: Attempt) -> bool:
    """The clock of every process of the attempt jumps a day or a year, forward or back, while it runs."""
    folder = attempt.home.with_name("clock")
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
    shift = attempt.rng.choice((-1, 1)) * attempt.rng.choice((3600, 24 * 3600, 365 * 24 * 3600))
    attempt.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    attempt.environment["SOAK_CLOCK"] = f"{attempt.rng.uniform(0, 5):.2f} {shift}"
    return True


# faults during a run


def kill_any(attempt: Attempt) -> bool:
    """SIGKILL of one process of the attempt, as the kernel does when memory is short."""
    return _signal(attempt, signal.SIGKILL)


def kill_driver(attempt: Attempt) -> bool:
    """SIGKILL of the command itself; its workers have to end too."""
    assert attempt.process is not None
    if attempt.process.poll() is not None:
        return False
    attempt.process.kill()
    return True


def terminate(attempt: Attempt) -> bool:
    """SIGTERM of the command, as a batch system does at the end of its time."""
    assert attempt.process is not None
    if attempt.process.poll() is not None:
        return False
    attempt.process.terminate()
    return True


def interrupt(attempt: Attempt) -> bool:
    """SIGINT of the whole group, as a terminal does."""
    assert attempt.process is not None
    if attempt.process.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(attempt.process.pid, signal.SIGINT)
        return True
    return False


def stop_and_continue(attempt: Attempt) -> bool:
    """SIGSTOP of one process, and SIGCONT some seconds later."""
    running = attempt.processes()
    if not running:
        return False
    chosen = attempt.rng.choice(running)
    with suppress(psutil.Error):
        chosen.suspend()
        time.sleep(attempt.rng.uniform(0.2, 4))
        chosen.resume()
        return True
    return False


def race_run(attempt: Attempt) -> bool:
    """The same command once more on the same store, its results elsewhere."""
    where = attempt.words.index("--out") + 1
    words = [*attempt.words]
    words[where] = str(Path(words[where]).with_name("company"))
    attempt.company.append(attempt.start(words))
    return True


def race_prune(attempt: Attempt) -> bool:
    """`bench cache prune` on the same store."""
    keep = attempt.rng.choice(("0", "100K"))
    attempt.company.append(attempt.start(["cache", "prune", "--keep", keep]))
    return True


# the disk of an attempt


def mounted(home: Path, megabytes: int) -> bool:
    """Makes `home` a file system of its own of this size; False where that is not permitted."""
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(home)], capture_output=True)
    return done.returncode == 0


def remount(home: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(home)], check=True, capture_output=True)


def unmount(home: Path) -> None:
    subprocess.run(["umount", "-l", str(home)], capture_output=True)


def fill_disk(attempt: Attempt) -> bool:
    """Fills the disk of the store but for some kilobytes."""
    free = shutil.disk_usage(attempt.home).free
    rest = attempt.rng.choice((0, 4, 64, 512)) * 1024
    with suppress(OSError), (attempt.home / ".filled").open("wb") as file:
        left = free - rest
        while left > 0:
            left -= file.write(bytes(min(left, 2**20)))
    return True


def make_read_only(attempt: Attempt) -> bool:
    """The disk of the store takes no more writes."""
    try:
        remount(attempt.home.parent, "ro")  # the store lies in the mounted folder
    except subprocess.CalledProcessError:  # a file is open for writing: the kernel refuses
        return False
    return True


def _choose(attempt: Attempt) -> Path | None:
    files = files_of(attempt.home)
    if not files:
        return None
    in_progress = [path for path in files if ".part" in str(path)]
    return attempt.rng.choice(in_progress if in_progress and attempt.rng.random() < 0.5 else files)


def _signal(attempt: Attempt, number: signal.Signals) -> bool:
    running = attempt.processes()
    if not running:
        return False
    with suppress(psutil.Error):
        attempt.rng.choice(running).send_signal(number)
        return True
    return False


Fault = Callable[[Attempt], bool]
"""Puts a fault into an attempt; False where there was nothing to harm."""

BEFORE: tuple[Fault, ...] = (flip_byte, cut_file, remove_file, replace_file, add_file, move_dates, jump_clock)
DURING: tuple[Fault, ...] = (
    kill_any,
    kill_driver,
    terminate,
    interrupt,
    stop_and_continue,
    flip_byte,
    cut_file,
    remove_file,
    race_run,
    race_prune,
)
DISK: tuple[Fault, ...] = (fill_disk, make_read_only)
"""These need a file system of their own."""

"""Fuzzed inputs at every door that reads a file from outside: each has to end with an answer or a stated refusal.

    python -m benchmarks.fuzz --inputs 5000 [--seed 0] [--only DOOR] [--keep DIR] [--write]
    python -m benchmarks.fuzz --only DOOR --number N        one of them again
    python -m benchmarks.fuzz --atheris DOOR                by hand, guided by coverage: needs `pip install atheris`

Valid files are made first (fuzzing/corpus.py, fuzzing/data_corpus.py). Each input is a copy of them with one file changed
(fuzzing/mutations.py, fuzzing/formats.py), read by a door (fuzzing/doors.py) in a process of its own. It fails where that
process

- ends by a signal, or does not end within 10 seconds (`signal`, `hang`),
- prints a traceback or raises what is no error for users (`uncaught`),
- ends with exit code 1 or one that states nothing (`code`), or with another than 0 without a word (`silent`),
- prints control characters (`control`), or takes more than 2 GB (`memory`),
- gives another number than the undisturbed store (`wrong`), or does not read the valid files (`unread`).

The command ends with exit code 1 where any input failed. With --write the figures go into docs/reliability.md. Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports numpy, whose threads are not limited yet
    from benchmarks.fuzzing.trials import Trial

ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""A process that is forked has one thread."""
SHOWN = 6
LIBRARIES = (
    "pandas scipy.ndimage scipy.stats scipy.io matplotlib.pyplot PIL.TiffImagePlugin PIL.WebPImagePlugin accelerate timm "
    "diffusers.optimization diffusers.training_utils open_clip safetensors.torch pydantic jinja2 zarr"
)
"""What doors import when they are asked."""


def main(words: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="A door; repeat for several.")
    parser.add_argument("--number", type=int, help="One input of a door.")
    parser.add_argument("--keep", type=Path, help="A folder for inputs that fail.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--atheris", help="A door of `fuzzing/guided.py`.")
    asked = parser.parse_args(words)
    os.environ.update({**ALONE, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"})
    os.environ.pop("BENCH_DATA", None)
    if asked.atheris:
        from benchmarks.fuzzing.guided import main as run_guided

        return run_guided(asked.atheris)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        os.environ["HF_HOME"] = f"{temporary}/hub"  # weights of this machine are not looked at
        return _fuzz(asked, Path(temporary))


def _fuzz(asked: argparse.Namespace, folder: Path) -> int:
    from benchmarks.fuzzing import page, trials
    from benchmarks.fuzzing.doors import DOORS

    if unknown := [name for name in asked.only if name not in DOORS]:
        raise SystemExit(f"no door {unknown[0]!r}. There are: {', '.join(DOORS)}")
    begun = time.monotonic()
    doors = asked.only or list(DOORS)
    _import_all()
    print(f"doors imported, {time.monotonic() - begun:.0f} s", flush=True)
    _make_corpus(folder / "corpus", {DOORS[name].base.partition("/")[0] for name in doors})
    print(f"valid files made, {time.monotonic() - begun:.0f} s", flush=True)
    wanted = [(name, asked.number) for name in doors] if asked.number is not None else _share(doors, asked.inputs)
    ends: dict[str, Counter[str]] = {name: Counter() for name in doors}
    spent = dict.fromkeys(doors, 0.0)
    for count, trial in enumerate(trials.run(wanted, asked.seed, folder / "corpus", folder / "work", asked.jobs), start=1):
        ends[trial.door][trial.end.partition(" ")[0]] += 1
        spent[trial.door] += trial.seconds
        if trial.is_failure or asked.number is not None:
            _show(trial, asked)
        shutil.rmtree(trial.folder, ignore_errors=True)
        if count % 500 == 0:
            print(f"{count} of {len(wanted)} inputs, {time.monotonic() - begun:.0f} s", flush=True)
    failures = sum(count for found in ends.values() for end, count in found.items() if end not in ("ok", "refused"))
    print("\n".join(page.rows(ends)))
    print(f"{len(wanted)} inputs, {failures} failures, {time.monotonic() - begun:.0f} s")
    slow = max(spent, key=lambda name: spent[name] / ends[name].total())
    print(f"the slowest door is {slow!r} with {spent[slow] / ends[slow].total():.1f} s for an input")
    if asked.write:
        page.write(ends, asked.inputs, asked.seed)
    return int(failures > 0)


def _show(trial: Trial, asked: argparse.Namespace) -> None:
    lines = [line for line in trial.text.splitlines() if line.strip()]
    shown = lines if asked.number is not None else lines[-SHOWN:]
    print(f"{trial.end or 'no end'}: {trial.door} with {trial.changed}")
    print("\n".join(f"    {line[:300]!r}"[:310] for line in shown))
    print(f"    python -m benchmarks.fuzz --seed {asked.seed} --only '{trial.door}' --number {trial.number}", flush=True)
    if asked.keep is not None and trial.is_failure:
        target = asked.keep / trial.folder.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in (trial.changed, ".printed"):
            if (trial.folder / name).is_file():
                shutil.copyfile(trial.folder / name, target / Path(name).name)


def _share(doors: Sequence[str], inputs: int) -> list[tuple[str, int]]:
    """(door, number) of the inputs, as many of each door as its weight says, at least one; before them the valid files."""
    from benchmarks.fuzzing import trials
    from benchmarks.fuzzing.doors import DOORS

    whole = sum(DOORS[name].weight for name in doors)
    counts = {name: max(1, round(inputs * DOORS[name].weight / whole)) for name in doors}
    return [(name, number) for name, count in counts.items() for number in range(trials.UNCHANGED, count)]


def _make_corpus(folder: Path, bases: set[str]) -> None:
    """In a process of its own: what makes the files starts threads, which a process that is forked must not have."""
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            from benchmarks.fuzzing import corpus

            with Path(os.devnull).open("w", encoding="utf-8") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            corpus.make(folder, bases)
            code = 0
        except BaseException:
            (folder / "failed").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit(f"the valid files could not be made: {(folder / 'failed').read_text(encoding='utf-8')}")


def _import_all() -> None:
    """Imports what the doors import, so that a forked process starts at once."""
    import importlib
    import pkgutil

    from bench.runtime import torchvision_shim

    torchvision_shim.ready()
    import torch

    torch.set_num_threads(1)
    for package in ("bench", "generators", "metrics", "tasks", "leaderboards"):
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for library in LIBRARIES.split():
        importlib.import_module(library)


if __name__ == "__main__":
    raise SystemExit(main())

"""Which modules commands import: a run that finds everything, help and lists import nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_run

MODULES = """
import sys
from bench.cli import main
try:
    main()
finally:
    print(",".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(home: Path, *words: str) -> set[str]:
    """The top-level modules that a command has imported when it ends."""
    environment = {**os.environ, "BENCH_HOME": str(home)}
    environment.pop("BENCH_DATA", None)
    done = subprocess.run([sys.executable, "-c", MODULES, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split(","))


HEAVY = {"torch", "diffusers", "timm", "dask", "distributed", "pandas", "sklearn", "scipy", "matplotlib"}


def test_a_run_that_finds_everything_imports_nothing_heavy(tmp_path: Path) -> None:
    words = ["run", "-g", "flat-colour", "-t", "cam16-seg", "--controls", "real", "-e", "stain", "-m", "fd", "--seeds", "0"]
    words += [*small_run.SMALL, "-o", "task.steps=2", "--workers", "2", "--out", str(tmp_path / "out")]
    assert {"torch", "scipy"} & imported(tmp_path / "home", *words, "--workers", "1")
    assert HEAVY.isdisjoint(imported(tmp_path / "home", *words))


@pytest.mark.parametrize("words", [("--help",), ("list",), ("run", "--help")])
def test_help_and_lists_import_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert (HEAVY | {"zarr", "PIL"}).isdisjoint(imported(tmp_path, *words))

"""A machine that refuses space, files or memory: one sentence, exit code 3, and a rerun that is right."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.errors import DamagedError, RefusedError
from bench.jobs.executors import Serial, execute
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Failed, Finished, Outcome, failure_of
from bench.jobs.progress import SilentReporter
from bench.jobs.store import EntryRef, Store
from bench.run import raise_refusal
from bench.runtime.refusals import refusal_behind, refusal_of
from tests import command_run
from tests.bench.jobs.actions import draw, runs
from tests.small_run import SMALL, WORDS, bench

RUN = ["run", "-g", "blur", "--controls", "none", "--seeds", "0", *WORDS, "--json"]


def limited(what: int, value: int, act: Callable[[], object]) -> BaseException:
    """What the act raises in this process under a limit."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        act()
    except BaseException as error:
        return error
    finally:
        resource.setrlimit(what, before)
    raise AssertionError("nothing was refused")


def open_many() -> None:
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_refusals_of_the_libraries_are_recognised(tmp_path: Path) -> None:
    """Real ones: of Python, numpy, safetensors and torch."""
    import numpy as np

    tensors = {"a": torch.zeros(100_000)}
    for act in (
        lambda: (tmp_path / "a").write_bytes(bytes(100_000)),
        lambda: np.zeros(100_000).tofile(tmp_path / "b"),
        lambda: np.save(tmp_path / "c.npy", np.zeros(100_000)),
        lambda: save_file(tensors, tmp_path / "d.safetensors"),
        lambda: torch.save(tensors, tmp_path / "e.pt"),
    ):
        found = refusal_of(limited(resource.RLIMIT_FSIZE, 4096, act))
        assert found is not None and found.what == "space", act
    found = refusal_of(limited(resource.RLIMIT_NOFILE, 64, open_many))
    assert found is not None and found.what == "files" and "ulimit -n" in found.sentence()
    for allocate in (lambda: np.empty(2**50), lambda: bytearray(2**60), lambda: torch.empty(2**50)):
        with pytest.raises((MemoryError, RuntimeError)) as raised:
            allocate()
        found = refusal_of(raised.value)
        assert found is not None and found.what == "memory"


@pytest.mark.parametrize(
    "error", [ValueError("3 requested"), OSError(errno.ENOENT, "no"), RuntimeError("out of memory"), KeyError("x"), EOFError()]
)
def test_other_errors_are_no_refusals(error: Exception) -> None:
    assert refusal_of(error) is None


@dataclass(frozen=True)
class Write:
    """Writes that many bytes, where there is space for them."""

    size: int
    error: str = ""

    def __call__(self, work: Path, context: JobContext) -> None:
        if self.error == "memory":
            raise MemoryError
        if (context.store.root / "full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work / "a"))
        (work / "a").write_bytes(bytes(self.size))


def write(size: int, *needs: Job, error: str = "") -> Job:
    return Job("write", {"size": size, "error": error}, Write(size, error), needs)


def run(store: Store, *targets: Job) -> dict[EntryRef, Outcome]:
    return execute(targets, store, Serial(), SilentReporter())


def test_a_full_disk_stops_the_graph_keeps_what_is_finished_and_goes_on(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    early, full = draw("early", 1, log), write(1)
    later = [draw(f"later {number}", number, log, (full,)) for number in range(3)] + [write(2)]
    run(store, early)
    (store.root / "full").touch()
    outcomes = run(store, early, full, *later)
    assert outcomes[early.ref] == Finished(early.ref)
    for job in (full, *later):
        failed = outcomes[job.ref]
        assert isinstance(failed, Failed) and failed.error.code == "refused" and failed.cause == full.ref
    with pytest.raises(RefusedError, match=f"cannot write to the store {store.root}: No space left.*bench cache prune"):
        raise_refusal(outcomes.values())
    (store.root / "full").unlink()
    assert all(isinstance(outcome, Finished) for outcome in run(store, early, full, *later).values())
    assert runs(log) == {"early": 1, "later 0": 1, "later 1": 1, "later 2": 1}


def test_too_little_memory_costs_the_job_and_its_dependants(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    hungry = write(1, error="memory")
    outcomes = run(store, draw("after", 1, log, (hungry,)), draw("other", 2, log))
    codes = [outcome.error.code if isinstance(outcome, Failed) else "ok" for outcome in outcomes.values()]
    assert codes == ["memory", "ok"]


FULL = """
import errno, os
from pathlib import Path
import numpy as np
from bench.types import Card

class Full:
    card = Card("full", "1", "Meets a full disk, as long as a file says so.")

    def generate(self, conditions, seeds):
        if Path(__file__).with_name("full").exists():
            raise {error}
        return np.full((len(conditions), conditions.size, conditions.size, 3), 99, np.uint8)
"""


@pytest.mark.parametrize(
    "error", ["OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))", "MemoryError()"], ids=["space", "memory"]
)
def test_a_run_says_it_in_one_sentence_and_keeps_its_numbers(error: str, tmp_path: Path) -> None:
    (tmp_path / "plug.py").write_text(FULL.replace("{error}", error))
    (tmp_path / "full").touch()
    words = [
        "run",
        "-g",
        f"{tmp_path / 'plug.py'}:Full",
        "--controls",
        "noise",
        "--seeds",
        "0",
        *WORDS,
        "--out",
        tmp_path / "out",
    ]
    done = bench(*words, home=tmp_path / "home")
    assert done.exit_code == 3 and "Traceback" not in done.stderr and "give the same command again" in done.stderr
    (file,) = (tmp_path / "out").glob("*/results.jsonl")
    held = [json.loads(line) for line in file.read_text().splitlines()]
    assert {record["status"] for record in held if record["generator"] == "full" and record["measure"] == "fd"} == {"error"}
    (tmp_path / "full").unlink()
    assert bench(*words, home=tmp_path / "home").exit_code == 0
    fresh = bench(*words[:-1], tmp_path / "other", home=tmp_path / "fresh")
    assert fresh.exit_code == 0
    found = [
        [json.loads(line)["value"] for line in sorted(folder.glob("*/results.jsonl"))[0].read_text().splitlines()]
        for folder in (tmp_path / "out", tmp_path / "other")
    ]
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("refused") / "home"
    assert bench(*RUN, "--out", home.parent / "out", home=home).exit_code == 0
    return home


@pytest.mark.parametrize("limit", [0, 600, 8000])
def test_ulimit_f_at_any_size(limit: int, home: Path, tmp_path: Path) -> None:
    """Bytes that a file may have: the data, the records, the picture do not fit."""
    script = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "sys.argv[0] = 'bench'\n"
        "from bench.cli import main; main()"
    )
    mine = home if limit else tmp_path / "home"
    words = [sys.executable, "-c", script, *RUN, "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "BENCH_HOME": str(mine)})
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.splitlines()[-1].startswith("bench: cannot write") and "File too large" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".results") or path.name.startswith(".table")]
    again = bench(*RUN, "--out", tmp_path / "out", home=mine)
    assert again.exit_code == 0


def test_a_sound_file_is_not_called_damaged_where_no_file_can_be_opened(tmp_path: Path) -> None:
    """A reader of weights or annotations takes any error for damage, this one too."""
    damaged = DamagedError(f"the weights {tmp_path} cannot be read")
    damaged.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert (refusal := refusal_behind(damaged)) is not None and "ulimit -n" in refusal.sentence()
    failed = failure_of(EntryRef("scores", "ab" * 32), damaged)
    assert failed.error.code == "refused" and "ulimit -n" in failed.error.message
    damaged.__cause__ = MemoryError()  # a damaged file may ask for any memory
    assert refusal_behind(damaged) is None and failure_of(failed.ref, damaged).error.code == "damaged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_stdout_on_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-c", "from bench.cli import main; main()", "list", "generators"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3 and "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_out_that_cannot_be_written_is_a_sentence(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command_run.bench(*RUN, "--out", str(tmp_path / "file" / "x"), home=home)
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr


def test_weights_are_delivered_whole_or_not_at_all(tmp_path: Path) -> None:
    """`bench fit --out`: a damaged entry is trained again, and what was added to it is not delivered."""
    words = ["fit", "-g", "flat-colour", "-t", "cam16-seg", "--data", "embedded", *SMALL, "--out", tmp_path / "out"]
    assert bench(*words, home=tmp_path / "home").exit_code == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if "manifest" not in path.name}
    (entry,) = (tmp_path / "home" / "weights").iterdir()
    (entry / "added.npy").write_bytes(b"x")
    for file in entry.iterdir():
        if file.name in expected:
            file.write_bytes(file.read_bytes()[:-1] + b"?")
    done = bench(*words[:-1], tmp_path / "again", home=tmp_path / "home")
    assert done.exit_code == 0 and "it is removed and made again" in done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir() if "manifest" not in path.name} == expected
    (manifest,) = (tmp_path / "again").glob("*.manifest.json")
    assert sorted(json.loads(manifest.read_text())["files"]) == sorted(expected)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of virtual memory there")
def test_too_little_virtual_memory_is_refused_before_openblas_asks_for_it_without_end(tmp_path: Path) -> None:
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400_000_000, resource.RLIM_INFINITY))\n"
        "from bench.cli import main; main()"
    )
    words = [sys.executable, "-c", code, "run", "-g", "blur", "-t", "cam16-seg", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "ulimit -v unlimited" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()

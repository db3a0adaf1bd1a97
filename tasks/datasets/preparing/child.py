"""An action in a process of its own: a library that crashes on a hostile file costs the job of that file alone.

parent -> child    the pickled action, and then nothing: the pipe closes when the parent ends, and the child ends too
child -> parent    None, or the JobError of what the action raised; nothing where the child died
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from bench.jobs.outcomes import EarlierFailure, JobError, failure_of
from bench.jobs.store import EntryRef
from bench.runtime.process import lose_what_is_refused

_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tasks.datasets.preparing.child import main; main()"
_SIZE = 8
"""Bytes of the number that says how long the pickled action is."""


def run_in_child(act: Callable[[], None], what: str) -> None:
    """Runs `act`, which can be pickled, in a new process and waits for its end.

    Raises EarlierFailure with the error of what `act` raised, or with the code "killed" where the process died; `what` names
    what it did, e.g. "reading the slide a.svs".
    """
    pickled = pickle.dumps(act)
    command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # it has died, which its exit code says
                process.stdin.write(len(pickled).to_bytes(_SIZE, "big") + pickled)
                process.stdin.flush()
            answer = process.stdout.read()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
    error: JobError | None = pickle.loads(answer) if answer and code == 0 else _died(what, code)
    if error is not None:
        raise EarlierFailure(error)


def _died(what: str, code: int) -> JobError:
    ended = f"exit code {code}"
    if code < 0:
        ended = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    reason = "too little memory is the usual reason" if code == -getattr(signal, "SIGKILL", 9) else "the file may be damaged"
    return JobError("killed", "KilledProcess", f"{what} has ended its process ({ended}): {reason}.", "")


def main() -> None:
    """The child: runs the action that the parent sends."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print
    lose_what_is_refused("stdout", "stderr")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both, and the parent ends this process
    _leave_no_core()
    size = int.from_bytes(sys.stdin.buffer.read(_SIZE), "big")
    pickled = sys.stdin.buffer.read(size)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    error = None
    try:
        pickle.loads(pickled)()
    except BaseException as raised:
        error = failure_of(EntryRef("child", ""), raised).error
    answer.write(pickle.dumps(error))
    answer.close()


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing comes: it returns when the pipe is closed
    os._exit(1)


def _leave_no_core() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

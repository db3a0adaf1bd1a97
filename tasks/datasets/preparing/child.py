"""Actions in a process of their own: a library that crashes on a hostile file costs the job of that file alone.

parent -> child    pickled actions, one after the other; the pipe closes when the parent ends, and the child ends too
child -> parent    for each None, or the JobError of what the action raised; nothing where the child died

A child takes further actions until one fails, since it takes a second to import what an action needs.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from bench.jobs.outcomes import EarlierFailure, JobError, failure_of
from bench.jobs.store import EntryRef
from bench.runtime.process import lose_what_is_refused

_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tasks.datasets.preparing.child import main; main()"
_SIZE = 8
"""Bytes of the number that says how long a message is."""
_MOST = 100
"""Actions of one child: what its libraries leak ends with it."""


_idle: list[_Child] = []
"""Children of this process that wait for an action."""


class _Child:
    """A process that runs actions."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.actions = 0

    def run(self, act: Callable[[], None]) -> bytes:
        """The pickled answer; empty where the child died."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.actions += 1
        with suppress(BrokenPipeError):  # it has died, which its exit code says
            _send(self.process.stdin, pickle.dumps((_folder(), act)))
        return _receive(self.process.stdout)

    def end(self) -> int:
        """Its exit code. A child that waits for an action ends with 0."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def run_in_child(act: Callable[[], None], what: str) -> None:
    """Runs `act`, which can be pickled, in another process and waits for its end.

    Raises EarlierFailure with the error of what `act` raised, or with the code "killed" where the process died; `what` names
    what it did, e.g. "reading the slide a.svs".
    """
    child = _idle.pop() if _idle else _Child()
    try:
        answer = child.run(act)
    except BaseException:
        child.process.kill()
        child.end()
        raise
    error: JobError | None = pickle.loads(answer) if answer else _died(what, child.end())
    if error is None and child.actions < _MOST:
        _idle.append(child)
    elif answer:
        child.end()
    if error is not None:
        raise EarlierFailure(error)


@atexit.register
def end_children() -> None:
    """Ends the children that wait for an action."""
    while _idle:
        _idle.pop().end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # they answer the process that started them


def _folder() -> str | None:
    """The working folder; None where it was removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _send(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(_SIZE, "big") + content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """What the other side sent; empty where it has closed the pipe before the end."""
    size = int.from_bytes(pipe.read(_SIZE), "big")
    content = pipe.read(size)
    return content if len(content) == size else b""


def _died(what: str, code: int) -> JobError:
    ended = f"exit code {code}"
    if code < 0:
        ended = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    reason = "too little memory is the usual reason" if code == -getattr(signal, "SIGKILL", 9) else "the file may be damaged"
    return JobError("killed", "KilledProcess", f"{what} has ended its process ({ended}): {reason}.", "")


def main() -> None:
    """The child: runs the actions that the parent sends, until the pipe is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print
    lose_what_is_refused("stdout", "stderr")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both, and the parent ends this process
    _leave_no_core()
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        folder, act = pickle.loads(asked.get())
        error = None
        try:
            if folder is not None:
                os.chdir(folder)
            act()
        except BaseException as raised:
            error = failure_of(EntryRef("child", ""), raised).error
        _send(answers, pickle.dumps(error))


def _listen(asked: queue.SimpleQueue[bytes]) -> None:
    """Passes on what the parent sends, and ends this process, whatever it does, where the parent has closed the pipe."""
    while request := _receive(sys.stdin.buffer):
        asked.put(request)
    os._exit(0)


def _leave_no_core() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

"""One command in several processes, each with a device of its own: `accelerate launch --num_processes N -m bench fit`.

Process 0 is the driver. It runs the graph as `Serial` does, and it alone writes into the store. A job that is `collective` it
announces to the others, and all processes run the action at the same time. What they exchange meanwhile is the action's
business: torch's process group is there for it. Between such jobs the others wait for the next message. No process waits on a
file or a lock.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingError, StoppedError
from bench.jobs.executors import Listener, Serial, Session
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Task, task_of
from bench.jobs.store import Store
from bench.messages import printable_lines
from bench.runtime.launch import Launch

_STEP = timedelta(hours=1)
"""How long a process waits for the others within training before it takes them for lost."""
_BETWEEN = timedelta(days=365)
"""How long the others wait while process 0 does alone what no other can share."""
_INTERRUPTED = 130


@dataclass(frozen=True)
class _Start:
    """Run this task's action together with process 0."""

    task: Task
    work: Path
    """The work folder of process 0."""
    files: dict[str, int]
    """What lies in it, left by an interrupted action: relative path -> bytes."""


@dataclass(frozen=True)
class _Stop:
    """Nothing follows."""

    exit_code: int


@dataclass(eq=False, repr=False)
class Group:
    """The processes of one command, connected."""

    launch: Launch
    _channel: Any
    """A gloo group for messages: it works without a device, and may be silent for days."""
    _is_busy: bool = False
    """In process 0: whether the others are at an action that has not ended well here."""

    def start(self, message: _Start) -> None:
        """In process 0: has the others run an action, and returns when each has what it needs."""
        if self._is_busy:
            raise RuntimeError("an earlier job failed while all processes ran it. Give the same command again.")
        self._is_busy = True
        self._send(message)
        self._meet()

    def end(self) -> None:
        """In process 0: the action has ended well."""
        self._is_busy = False

    def stop(self, exit_code: int) -> None:
        """In process 0: lets the others end, unless they are at an action, which breaks off when this process ends."""
        if not self._is_busy:
            self._send(_Stop(exit_code))

    def follow(self) -> None:
        """In any other process: runs what process 0 announces, until it says that nothing follows. Raises SystemExit with a
        code other than 0 where process 0 or an action failed; what failed here is on stderr then."""
        try:
            with _losses_named():
                while isinstance(message := self._receive(), _Start):
                    with tempfile.TemporaryDirectory(prefix="histobench-") as folder:
                        _copy(message, Path(folder))
                        self._meet()
                        message.task.action(Path(folder), JobContext(message.task.store, _discard, _discard))
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        except BenchError as error:
            print(printable_lines(f"bench, {self.launch}: {error}"), file=sys.stderr, flush=True)
            raise SystemExit(error.exit_code) from None
        except Exception as error:
            text = traceback.format_exc()
            text += f"bench, {self.launch}: {type(error).__name__}: {error}"
            print(printable_lines(text), file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        if message.exit_code:
            raise SystemExit(message.exit_code)

    def _send(self, message: _Start | _Stop) -> None:
        import torch.distributed

        torch.distributed.broadcast_object_list([message], src=0, group=self._channel)

    def _receive(self) -> _Start | _Stop:
        import torch.distributed

        received: list[Any] = [None]
        torch.distributed.broadcast_object_list(received, src=0, group=self._channel)
        message: _Start | _Stop = received[0]
        return message

    def _meet(self) -> None:
        import torch.distributed

        torch.distributed.barrier(group=self._channel)


@contextmanager
def joined(launch: Launch) -> Iterator[Group]:
    """Connects the processes of one command, as accelerate finds them: NCCL between GPUs, gloo between CPUs. Where the block
    of process 0 ends in any way, the others end too."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu, timeout=_STEP)
    group = Group(launch, torch.distributed.new_group(backend="gloo", timeout=_BETWEEN))
    try:
        yield group
    except BaseException as error:
        if launch.rank == 0:
            with suppress(Exception):  # of processes that have ended; what went wrong here is to be seen
                group.stop(_exit_code_of(error))
        raise
    if launch.rank == 0:
        group.stop(0)
    state.destroy_process_group()


@dataclass(frozen=True)
class Collective:
    """The executor of process 0."""

    group: Group

    def open(self, store: Store, listener: Listener) -> AbstractContextManager[Session]:
        return Serial(self._task_of).open(store, listener)

    def _task_of(self, job: Job, store: Store) -> Task:
        task = task_of(job, store)
        return replace(task, action=_Led(task, self.group)) if job.collective else task


@dataclass(frozen=True)
class _Led:
    """Action: that of a task, in all processes."""

    task: Task
    group: Group

    def __call__(self, work: Path, context: JobContext) -> None:
        with _losses_named():
            self.group.start(_Start(self.task, work, _files(work)))
            self.task.action(work, context)
        self.group.end()


@contextmanager
def _losses_named() -> Iterator[None]:
    """StoppedError in place of what torch raises where another process has ended."""
    import torch.distributed

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo/" not in str(error):  # gloo raises no class of its own
            raise
        raise StoppedError(
            "another process of this command has ended, and what it says is the reason. The same command goes on from the "
            "last checkpoint."
        ) from error


def _files(work: Path) -> dict[str, int]:
    return {path.relative_to(work).as_posix(): path.stat().st_size for path in sorted(work.rglob("*")) if path.is_file()}


def _copy(message: _Start, folder: Path) -> None:
    """Copies what an interrupted action left. MissingError where this process does not see what process 0 sees: training
    would go on from two different steps."""
    try:
        shutil.copytree(message.work, folder, dirs_exist_ok=True)
    except OSError as error:
        found = str(error)
    else:
        if _files(folder) == message.files:
            return
        found = f"{len(_files(folder))} files are seen here, {len(message.files)} there"
    raise MissingError(
        f"the work folder of process 0, {message.work}, is not the same here: {found}. All processes need the store under the "
        "same path, in a folder that all machines share (BENCH_HOME), and space in TMPDIR for a copy of a checkpoint."
    )


def _exit_code_of(error: BaseException) -> int:
    if isinstance(error, BenchError):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _discard(*_: Any) -> None:
    pass

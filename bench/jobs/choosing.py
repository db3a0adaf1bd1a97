"""Which executor runs the jobs of a command, and one that stays open from one graph to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.errors import UsageError
from bench.jobs.executors import Executor, Listener, Serial, Session
from bench.jobs.store import EntryRef, Store
from bench.runtime.devices import may_have_gpu
from bench.runtime.process import cores

MOST_WORKERS = 4
MOST_ASKED = 1024
"""Workers of this machine that can be asked for: each is a process that imports torch."""
WORTH_WORKERS = 60
"""With fewer pending jobs than this, starting workers would take longer than the jobs: importing torch takes seconds."""


def choose_executor(workers: int, scheduler: str, jobs: int) -> Executor:
    """For a graph of so many pending jobs: a scheduler's workers, `workers` processes of this machine, or this process.

    With `workers` of 0: this process if there are few jobs or one GPU, which several processes would share; otherwise one
    process a core, at most `MOST_WORKERS`, and one for each of several GPUs.
    """
    if workers < 0:
        raise UsageError(f"--workers takes a number of processes, not {workers}; 0 chooses by the machine.")
    if workers > MOST_ASKED:
        raise UsageError(f"--workers takes at most {MOST_ASKED} processes, not {workers}; 0 chooses by the machine.")
    if scheduler and workers:
        raise UsageError("--workers starts processes on this machine, --scheduler names others: give one of the two.")
    if scheduler or workers > 1:
        from bench.jobs.dask_executor import Dask

        return Dask(workers=max(workers, 1), address=scheduler or None)
    usual = min(MOST_WORKERS, cores())
    if workers == 1 or jobs < WORTH_WORKERS or usual < 2:
        return Serial()
    from bench.jobs.dask_executor import Dask

    if not may_have_gpu():
        return Dask(workers=usual, devices=())
    from bench.jobs.local_cluster import devices_of

    devices = devices_of(None)
    return Dask(workers=usual, devices=devices) if len(devices) != 1 else Serial()


@dataclass
class Kept:
    """An executor whose workers stay between graphs of one store; `close` ends them."""

    executor: Executor
    _stack: ExitStack = field(default_factory=ExitStack)
    _session: Session | None = None
    _store: Store | None = None
    _relay: _Relay | None = None

    @contextmanager
    def open(self, store: Store, listener: Listener) -> Iterator[Session]:
        if self._store != store:
            self.close()  # a session writes to the store that it was opened with
        if self._session is None or self._relay is None:
            self._relay = _Relay(listener)
            inner = Listener(self._relay.log, self._relay.progress)
            self._session, self._store = self._stack.enter_context(self.executor.open(store, inner)), store
        self._relay.listener = listener
        yield self._session

    def close(self) -> None:
        self._stack.close()
        self._session = self._store = None


@dataclass
class _Relay:
    """Passes messages on to the caller whose graph is running."""

    listener: Listener

    def log(self, text: str) -> None:
        self.listener.log(text)

    def progress(self, ref: EntryRef, done: int, total: int, what: str) -> None:
        self.listener.progress(ref, done, total, what)

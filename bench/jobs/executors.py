"""`execute` runs a graph of jobs. An executor only says where one job runs: here (`Serial`) or elsewhere (dask_executor.py).

The driver keeps the graph. It submits a job when everything that the job needs has finished, and only as many jobs as can run
at the same time. A worker therefore never waits for another job, the death of a worker affects only the jobs that ran on it,
and a job is sent without the jobs that it needs.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from bench.jobs.graph import Job, pending, with_needs
from bench.jobs.outcomes import Failed, Finished, JobError, Outcome, Task, run_task, task_of
from bench.jobs.progress import Reporter, Tally
from bench.jobs.store import DamagedEntry, EntryRef, Store
from bench.runtime.plugin_code import raise_lost_interruption
from bench.runtime.process import termination_as_interrupt

_Result = TypeVar("_Result")
PASSES = 3
"""How often an entry may turn out to be damaged."""
_RENEW_EVERY = 3600.0  # seconds


@dataclass(frozen=True)
class Listener:
    """Receives the messages of jobs from an executor; called from the thread of the driver only."""

    log: Callable[[str], None]
    progress: Callable[[EntryRef, int, int, str], None]


class Session(Protocol):
    """An executor at work."""

    def has_room(self, job: Job) -> bool:
        """Whether the job would start at once if it were submitted now."""
        ...

    def submit(self, job: Job) -> None:
        """Submits a job. Everything that it needs is finished in the store."""
        ...

    def wait(self) -> list[Outcome]:
        """What ended since the last call; waits up to about a second for something to end, and may return nothing."""
        ...


class Executor(Protocol):
    def open(self, store: Store, listener: Listener) -> AbstractContextManager[Session]:
        """Starts or connects to the workers. On leaving, also by an exception, everything that it started is ended."""
        ...


@dataclass(frozen=True)
class Serial:
    """Every job in this process and thread, one after the other."""

    to_task: Callable[[Job, Store], Task] = task_of
    """From a job to what is run of it."""

    @contextmanager
    def open(self, store: Store, listener: Listener) -> Iterator[Session]:
        yield _SerialSession(store, listener, self.to_task)


class _SerialSession:
    def __init__(self, store: Store, listener: Listener, to_task: Callable[[Job, Store], Task]) -> None:
        self._store, self._listener, self._to_task = store, listener, to_task
        self._job: Job | None = None

    def has_room(self, job: Job) -> bool:
        return self._job is None

    def submit(self, job: Job) -> None:
        self._job = job

    def wait(self) -> list[Outcome]:
        job, self._job = self._job, None
        if job is None:
            return []

        def progress(done: int, total: int, what: str) -> None:
            self._listener.progress(job.ref, done, total, what)

        return [run_task(self._to_task(job, self._store), self._listener.log, progress)]


def execute(
    targets: Sequence[Job],
    store: Store,
    executor: Executor,
    progress: Reporter,
    ended: Callable[[Outcome], None] | None = None,
) -> dict[EntryRef, Outcome]:
    """Runs what is not finished, and returns how each target ended.

    If a job fails, the jobs that need it fail too, and no others; but if the machine refuses space or files, no further job is
    started, and all that are left fail by that. A damaged entry is removed and made again once everything
    else has run. Raises KeyboardInterrupt after SIGINT and SIGTERM: finished entries stay, and the same
    call continues. MissingError where the executor's workers cannot be reached or do not see the store. `ended` is called in
    this thread with the outcome of each job, target or not, once it is final; more than once where a graph is run again.
    """
    failures: dict[EntryRef, Failed] = {}
    passes: list[_Pass] = []

    def report(ref: EntryRef, done: int, total: int, what: str) -> None:
        passes[-1].report_progress(ref, done, total, what)

    with ExitStack() as stack:
        stack.callback(progress.close)
        stack.enter_context(termination_as_interrupt())
        session: Session | None = None
        found_damaged: Counter[EntryRef] = Counter()
        stack_of_targets: list[Sequence[Job]] = [targets]
        while stack_of_targets:
            jobs = pending([job for job in stack_of_targets[-1] if job.ref not in failures], store)
            damaged: dict[EntryRef, Failed] = {}
            if jobs:
                passes.append(_Pass(jobs, store, progress, failures, ended))
                if session is None:
                    store.remove_abandoned()
                    session = stack.enter_context(executor.open(store, Listener(progress.log, report)))
                damaged = passes[-1].run(session)
            if not damaged:
                stack_of_targets.pop()
                continue
            entries = {failed.damaged for failed in damaged.values() if failed.damaged}
            for entry in sorted(entries):
                progress.log(f"the entry {entry} is damaged; it is removed and made again")
                store.remove(entry)
            found_damaged.update(entries)
            failures.update(_final(damaged, found_damaged, failures))
            retried = {failed.damaged for ref, failed in damaged.items() if failed.damaged and ref not in failures}
            stack_of_targets.append(_makers(retried, targets, store))
    return {job.ref: failures.get(job.ref) or Finished(job.ref) for job in targets}


class _Pass:
    """One run over the pending jobs."""

    def __init__(
        self,
        jobs: Sequence[Job],
        store: Store,
        reporter: Reporter,
        failures: dict[EntryRef, Failed],
        on_end: Callable[[Outcome], None] | None,
    ) -> None:
        """`failures`: those of earlier passes, to which those of this pass are added."""
        self._store, self._reporter, self._failures, self._on_end = store, reporter, failures, on_end
        self._damaged: dict[EntryRef, Failed] = {}
        self._jobs = {job.ref: job for job in jobs}
        self._missing = {job.ref: {need.ref for need in job.needs if need.ref in self._jobs} for job in jobs}
        self._dependants: dict[EntryRef, list[EntryRef]] = {job.ref: [] for job in jobs}
        for ref, needs in self._missing.items():
            for need in needs:
                self._dependants[need].append(ref)
        self._place = {job.ref: place for place, job in enumerate(jobs)}
        self._ready: dict[str, list[tuple[int, int, EntryRef]]] = {"gpu": [], "cpu": []}
        self._running: set[EntryRef] = set()
        self._ended: set[EntryRef] = set()
        self._tally = Tally([job.kind for job in jobs])
        self._is_shared = True
        self._refused: Failed | None = None
        self._renewed_at = time.monotonic()

    def run(self, session: Session) -> dict[EntryRef, Failed]:
        """Runs everything; returns the failures that were caused by a damaged entry."""
        for ref in [*self._jobs]:
            if ref in self._failures:
                self._end(self._failures[ref])
            elif not self._missing[ref]:
                self._queue(ref)
        while len(self._ended) < len(self._jobs):
            for ready in self._ready.values():
                while ready and session.has_room(self._jobs[ready[0][2]]):
                    self._start(session, heapq.heappop(ready)[2])
            self._reporter.update(self._tally.state())
            for outcome in session.wait():
                self._end(self._confirm(outcome))
            raise_lost_interruption()
            if self._refused is not None:
                self._end_all_that_wait(self._refused)
            if time.monotonic() - self._renewed_at > _RENEW_EVERY:
                self._store.renew()
                self._renewed_at = time.monotonic()
        self._reporter.update(self._tally.state())
        return self._damaged

    def report_progress(self, ref: EntryRef, done: int, total: int, what: str) -> None:
        if ref in self._running and total > 0:
            job = self._jobs[ref]
            self._tally.part(job.kind, ref.key, done / total)
            self._reporter.job_progress(job.label or str(ref), done, total, what)

    def _end_all_that_wait(self, refused: Failed) -> None:
        for ref in self._jobs:
            if ref not in self._running and ref not in self._ended:
                self._end(replace(refused, ref=ref))

    def _queue(self, ref: EntryRef) -> None:
        # jobs that many others need go first; otherwise the order of the graph
        place = (-len(self._dependants[ref]), self._place[ref], ref)
        heapq.heappush(self._ready[self._jobs[ref].resource], place)

    def _start(self, session: Session, ref: EntryRef) -> None:
        if ref in self._ended:
            return
        self._running.add(ref)
        self._tally.start(ref.kind)
        session.submit(self._jobs[ref])

    def _confirm(self, outcome: Outcome) -> Outcome:
        """The outcome, once its entry is visible here, which may take a moment on a network file system."""
        if isinstance(outcome, Failed):
            return outcome
        for pause in (0.0, 0.1, 0.4, 1.5) if self._is_shared else (0.0,):
            time.sleep(pause)
            if self._store.has(outcome.ref):
                return outcome
        self._is_shared = False
        message = f"a worker finished {outcome.ref}, but {self._store.path(outcome.ref)} does not show it here: workers and"
        error = JobError("missing", "MissingError", f"{message} this process must see one and the same store folder.", "")
        return Failed(outcome.ref, error, outcome.ref)

    def _end(self, outcome: Outcome) -> None:
        """Records the outcome of a job, and the failure of the jobs that need it."""
        stack = [outcome]
        while stack:
            ended = stack.pop()
            if ended.ref in self._ended or ended.ref not in self._jobs:
                continue
            self._ended.add(ended.ref)
            was_started = ended.ref in self._running
            self._running.discard(ended.ref)
            self._tally.end(ended.ref.kind, ended.ref.key, isinstance(ended, Failed), was_started)
            if isinstance(ended, Failed):
                is_new = ended.ref not in self._failures
                if ended.error.code == "refused":
                    self._refused = ended
                (self._damaged if ended.damaged else self._failures)[ended.ref] = ended
                if is_new and ended.cause == ended.ref and not ended.damaged:
                    label = self._jobs[ended.ref].label
                    self._reporter.log(f"{ended.ref}{f' ({label})' if label else ''} failed: {ended.error.message}")
            if self._on_end is not None and not (isinstance(ended, Failed) and ended.damaged):
                self._on_end(ended)
            for dependant in self._dependants[ended.ref]:
                if isinstance(ended, Failed):
                    stack.append(replace(ended, ref=dependant))
                else:
                    self._missing[dependant].discard(ended.ref)
                    if not self._missing[dependant] and dependant not in self._ended:
                        self._queue(dependant)


def _makers(entries: set[EntryRef], targets: Sequence[Job], store: Store) -> list[Job]:
    """The jobs that make entries which turned out to be damaged or absent, and the absent ones beside them.

    A finished job hides what it needed: a list of shards is there, and its shards may have been pruned. They are made before
    the jobs that read them run again, all shards of a list at once.
    """
    known = with_needs(targets)
    makers = [job for job in known if job.ref in entries]
    for job in known:
        if entries.intersection(need.ref for need in job.needs) and store.has(job.ref):
            makers += [need for need in job.needs if not store.has(need.ref)]
    return [*dict.fromkeys(makers)]


def _final(
    damaged: Mapping[EntryRef, Failed], found_damaged: Mapping[EntryRef, int], failures: Mapping[EntryRef, Failed]
) -> dict[EntryRef, Failed]:
    """The failures of jobs that are not tried again: the entry that they read was damaged too often, or cannot be made."""
    found = {}
    for ref, failed in damaged.items():
        assert failed.damaged is not None
        if failed.damaged in failures:
            found[ref] = replace(failures[failed.damaged], ref=ref)
        elif found_damaged[failed.damaged] >= PASSES:
            found[ref] = _give_up(failed)
    return found


def _give_up(failed: Failed) -> Failed:
    message = (
        f"the entry {failed.damaged} of the store was made {PASSES} times and found damaged each time: {failed.error.message}"
    )
    return replace(failed, error=replace(failed.error, message=message), damaged=None)


def make_damaged_again(act: Callable[[], _Result], store: Store, log: Callable[[str], None]) -> _Result:
    """What `act` returns. An entry that it finds damaged is removed, and `act` is called again, which makes the entry anew.
    Raises DamagedEntry where an entry is damaged again after that: the disk is at fault."""
    removed: set[EntryRef] = set()
    while True:
        try:
            return act()
        except DamagedEntry as error:
            if error.ref in removed:
                raise
            removed.add(error.ref)
            log(f"the entry {error.ref} is damaged; it is removed and made again ({error.what})")
            store.remove(error.ref)

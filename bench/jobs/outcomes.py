"""Outcomes of jobs as plain data that can be sent between processes, and the function that runs a job.

Every exception of an action is turned into a `Failed` here, so that only the dependants of its job fail with it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, MissingError, RefusedError, StoppedError, UsageError
from bench.jobs.graph import Action, Job, JobContext
from bench.jobs.store import DamagedEntry, EntryRef, Store
from bench.messages import without_advice
from bench.runtime.notices import notices_to
from bench.runtime.plugin_code import is_interruption
from bench.runtime.refusals import Refusal, refusal_behind, refusal_of

_TRACEBACK_CHARACTERS = 20_000


@dataclass(frozen=True)
class JobError:
    code: str
    """"missing" for data or weights ("gated" and "damaged" where bench.errors says so), "corrupt", "usage", "interrupted",
    "killed" for a job whose worker died repeatedly, "refused" and "memory" for what the machine refused, otherwise
    "internal"."""
    type: str
    """Name of the exception's class."""
    message: str
    traceback: str
    """Empty where there is none, as for a killed worker."""


class EarlierFailure(Exception):
    """Raised by a job that replaces something that failed before it could run: the job ends with that failure."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error.type}: {self.error.message}"


@dataclass(frozen=True)
class Finished:
    ref: EntryRef


@dataclass(frozen=True)
class Failed:
    ref: EntryRef
    error: JobError
    cause: EntryRef
    """The job that failed first: this one, or one that it needs."""
    damaged: EntryRef | None = None
    """The damaged entry that the job could not read, if that is the cause."""


Outcome = Finished | Failed


@dataclass(frozen=True)
class Task:
    """A job as it is sent to a worker, without the jobs that it needs."""

    ref: EntryRef
    spec: dict[str, Any]
    action: Action
    resumable: bool
    label: str
    store: Store


def task_of(job: Job, store: Store) -> Task:
    return Task(job.ref, dict(job.spec), job.action, job.resumable, job.label, store)


def run_task(task: Task, log: Callable[[str], None], progress: Callable[[int, int, str], None]) -> Outcome:
    """Runs a job here, unless its entry is finished. Raises KeyboardInterrupt on a signal to end, and nothing else."""
    try:
        if not task.store.has(task.ref):
            context = JobContext(task.store, log, progress)
            with notices_to(log):
                task.store.write(task.ref, task.spec, lambda work: task.action(work, context), task.resumable)
    except BaseException as error:
        if is_interruption(error):
            raise
        return failure_of(task.ref, error)
    return Finished(task.ref)


def failure_of(ref: EntryRef, error: BaseException) -> Failed:
    """The failure of the job `ref` by this exception."""
    if isinstance(error, EarlierFailure):
        return Failed(ref, error.error, ref)
    damaged = _damaged_entry(error)
    code, refusal = _code_of(error), refusal_behind(error) if isinstance(error, BenchError) else refusal_of(error)
    if refusal is not None:
        damaged = None
        code, error = "memory" if refusal.what == "memory" else "refused", _refused(refusal, error)
    text = without_advice("".join(traceback.format_exception(error)))[-_TRACEBACK_CHARACTERS:]
    # an exception in `__str__` must not hide the failure
    try:
        message = without_advice(str(error)) or type(error).__name__
    except Exception as second:
        message = f"{type(error).__name__} ({type(second).__name__} in its message)"
    return Failed(ref, JobError(code, type(error).__name__, message, text), ref, damaged)


def _code_of(error: BaseException) -> str:
    if isinstance(error, MissingError):
        return error.code
    if isinstance(error, UsageError):
        return "usage"
    if isinstance(error, RefusedError):
        return "refused"
    return "interrupted" if isinstance(error, StoppedError) else "internal"


def _refused(refusal: Refusal, error: BaseException) -> RefusedError:
    refused = RefusedError(refusal.sentence())
    refused.__cause__ = error
    return refused


def _damaged_entry(error: BaseException) -> EntryRef | None:
    """The entry of a DamagedEntry, also if it is the cause of another exception."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, DamagedEntry):
            return found.ref
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return None

"""Jobs, and which of them are still to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.jobs.store import EntryRef, Store, key_of

Resource = Literal["cpu", "gpu"]
"""What a job occupies while it runs: one CPU worker, or a whole device where the cluster has one."""


@dataclass(frozen=True)
class JobContext:
    """Services for an action: store, log and progress."""

    store: Store
    log: Callable[[str], None]
    """Shows a line to the user, wherever the job runs."""
    progress: Callable[[int, int, str], None]
    """Reports (done, total, what) inside this job. Cheap: only a few calls a second are passed on."""


class Action(Protocol):
    """What a job does: a picklable frozen dataclass that holds configuration and the `EntryRef`s that it reads, no arrays."""

    def __call__(self, work: Path, context: JobContext) -> None:
        """Writes the files of the entry into `work`."""
        ...


@dataclass(frozen=True, eq=False)
class Job:
    """One unit of work and the entry in which it leaves its result. Two jobs with one `ref` are the same job."""

    kind: str
    """Also the folder in the store."""
    spec: Mapping[str, Any]
    """JSON: with the keys of `needs`, everything that decides the bytes of the entry."""
    action: Action
    needs: tuple[Job, ...] = ()
    """Jobs that must have finished before."""
    resource: Resource = "cpu"
    resumable: bool = False
    """Whether the action continues from what an interrupted one left in `work`."""
    collective: bool = False
    """Whether all processes of a command that was launched in several run the action together (collective.py); part of no
    key."""
    label: str = ""
    """For people; part of no key."""
    ref: EntryRef = field(init=False)

    def __post_init__(self) -> None:
        identity = {"kind": self.kind, "spec": dict(self.spec), "needs": [job.ref.key for job in self.needs]}
        object.__setattr__(self, "ref", EntryRef(self.kind, key_of(identity)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.ref == self.ref

    def __hash__(self) -> int:
        return hash(self.ref)

    def __repr__(self) -> str:
        return f"Job({self.ref}, {self.label!r})"


def with_needs(targets: Iterable[Job]) -> list[Job]:
    """The targets and all jobs that they need, however far, each once."""
    found = dict.fromkeys(targets)
    waiting = [*found]
    while waiting:
        for need in waiting.pop().needs:
            if need not in found:
                found[need] = None
                waiting.append(need)
    return [*found]


def pending(targets: Iterable[Job], store: Store) -> list[Job]:
    """The jobs to run so that all targets are finished, each after its needs. What a finished job needed is not looked at."""
    ordered: list[Job] = []
    seen: set[EntryRef] = set()
    for target in targets:
        stack = [(target, False)]
        while stack:
            job, is_expanded = stack.pop()
            if is_expanded:
                ordered.append(job)
            elif job.ref not in seen:
                seen.add(job.ref)
                if not store.has(job.ref):
                    stack.append((job, True))
                    stack.extend((need, False) for need in reversed(job.needs))
    return ordered

"""The executor of many processes: on this machine, or wherever the workers of a dask scheduler run.

On this machine there are `workers` processes of one thread and, where there are GPUs, one more process for each device, which
takes the jobs that ask for one. They listen on 127.0.0.1 only, and end when this process ends, however it ends.

A scheduler started elsewhere (`dask scheduler`, dask-jobqueue, Kubernetes) is reached by its address. Its workers must see the
store under the same path, and should be started with `--nthreads 1` and, where each has a device, with `--resources gpu=1`.
Workers read nothing from their environment: a job carries all that it needs.
"""

from __future__ import annotations

import pickle
import queue
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.errors import MissingError, UsageError
from bench.jobs.executors import Listener, Session
from bench.jobs.graph import Job
from bench.jobs.local_cluster import devices_of, local_cluster, uninterrupted
from bench.jobs.outcomes import Failed, JobError, Outcome, Task, failure_of, run_task, task_of
from bench.jobs.store import EntryRef, Store, key_of
from bench.runtime.process import lose_what_is_refused

_MESSAGES_EVERY = 0.3  # seconds between two messages of one job to the driver
_COUNT_EVERY = 1.0  # seconds between two counts of the workers


@dataclass(frozen=True)
class Dask:
    """Jobs in worker processes; see the top of this file."""

    workers: int = 1
    """Processes on this machine for jobs that need no device; not used with an address."""
    address: str | None = None
    """Of a running scheduler, e.g. "tcp://10.0.0.1:8786"."""
    devices: tuple[str, ...] | None = None
    """CUDA devices of this machine, as CUDA_VISIBLE_DEVICES names them; None for all that this process sees."""
    patience: float = 20.0
    """Seconds to wait for the scheduler's first answer."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"{self.workers} workers were asked for; at least 1 is needed.")

    @contextmanager
    def open(self, store: Store, listener: Listener) -> Iterator[Session]:
        with ExitStack() as stack:
            devices = devices_of(self.devices) if self.address is None else ()
            if self.address is None:
                cluster = stack.enter_context(local_cluster(self.workers, devices, listener))
                client = stack.enter_context(_client(cluster, "on this machine", self.patience))
            else:
                client = stack.enter_context(_client(self.address, self.address, self.patience))
                _check_workers(client, store)
                listener.log(f"using the dask scheduler at {self.address}")
            session = _DaskSession(client, store, listener)
            if devices:
                session.require_devices()
            try:
                yield session
            finally:
                session.close()


class _DaskSession:
    def __init__(self, client: Any, store: Store, listener: Listener) -> None:
        self._client, self._store, self._listener = client, store, listener
        self._suffix = key_of(str(store.root.resolve()))[:8]  # two stores may share a scheduler
        self._topic = f"histobench-{self._suffix}"
        self._futures: dict[EntryRef, tuple[Any, Job]] = {}
        self._suspects: deque[Job] = (
            deque()
        )  # their workers died, maybe from another job that these ran: they are to run alone
        self._alone: set[EntryRef] = set()  # were started while nothing else ran
        self._submitted: Counter[EntryRef] = Counter()
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads, self._offered, self._counted_at = 0, {"cpu": 0, "gpu": 0}, float("-inf")
        self._required: set[str] = set()  # resources that some worker offers, or offered before it died
        self._logged_waiting = False
        client.subscribe_topic(self._topic, lambda event: self._arrived.put(event[1]))

    def require_devices(self) -> None:
        """Jobs that ask for a device wait for a worker that has one, though none has arrived yet."""
        self._required.add("gpu")

    def has_room(self, job: Job) -> bool:
        if self._suspects or any(ref in self._alone for ref in self._futures):
            return False
        # no job waits at a worker that may be killed by the job before it
        self._count_workers()
        if job.resource in self._required:
            return sum(other.resource == job.resource for _, other in self._futures.values()) < self._offered[job.resource]
        return len(self._futures) < self._threads

    def submit(self, job: Job) -> None:
        import cloudpickle

        try:
            pickled = cloudpickle.dumps(task_of(job, self._store))
        except Exception as error:
            self._arrived.put(failure_of(job.ref, error))
            return
        with self._connection():
            future = self._client.submit(
                run_pickled,
                job.ref,
                pickled,
                self._topic,
                # the count, because dask may still know how an earlier try of this job ended
                key=f"{job.ref.kind}-{job.ref.key}-{self._suffix}-{self._submitted[job.ref]}",
                resources={job.resource: 1} if job.resource in self._required else None,
                retries=2,
                pure=False,
            )
        self._futures[job.ref] = (future, job)
        self._submitted[job.ref] += 1
        future.add_done_callback(lambda ended: self._arrived.put((job.ref, ended)))

    def wait(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if self._suspects and not self._futures:
            suspect = self._suspects.popleft()
            self._alone.add(suspect.ref)
            self.submit(suspect)
        with suppress(queue.Empty):
            item = self._arrived.get(timeout=0.5)
            while True:
                if isinstance(item, Failed):
                    outcomes.append(item)
                elif isinstance(item, tuple):
                    outcomes.extend(self._ended(*item))
                else:
                    outcomes.extend(self._receive(item))
                item = self._arrived.get_nowait()
        return outcomes

    def close(self) -> None:
        """Cancels the jobs that have not ended."""
        with suppress(Exception):
            self._client.unsubscribe_topic(self._topic)
            self._client.cancel([future for future, _ in self._futures.values()])
        self._futures.clear()

    def _ended(self, ref: EntryRef, future: Any) -> list[Outcome]:
        """The outcome of a job that dask reports as ended. Empty where its worker reported it before, which is quicker."""
        from distributed import KilledWorker

        if ref not in self._futures or self._futures[ref][0] is not future:
            return []
        job = self._futures.pop(ref)[1]
        with self._connection():
            if future.status == "cancelled":
                raise OSError("it has dropped a job")
            if future.status == "finished":
                return [cast(Outcome, future.result())]
            error = future.exception()
        if isinstance(error, KilledWorker) and ref not in self._alone:
            # dask blames every job that a worker had when it died, and counts workers that are not up again as free
            self._listener.log(f"{ref}: the worker processes that had this job died; it is tried once more, with no other job")
            self._suspects.append(job)
            return []
        if isinstance(error, KilledWorker):
            message = f"{ref}: the worker process died each time it ran this job, the last time at {error.last_worker.address}"
            hint = "Too little memory is the usual reason: use fewer workers or a smaller batch."
            return [Failed(ref, JobError("killed", "KilledWorker", f"{message}. {hint}", ""), ref)]
        return [failure_of(ref, error)]

    def _receive(self, message: Mapping[str, Any]) -> list[Outcome]:
        """Passes on a worker's message; returns the outcome where the message holds one."""
        ref = EntryRef(*message["ref"])
        if ref not in self._futures:  # of another driver with this store
            return []
        for line in message["lines"]:
            self._listener.log(line)
        if message["progress"] is not None:
            self._listener.progress(ref, *message["progress"])
        if message["outcome"] is None:
            return []
        del self._futures[ref]
        return [cast(Outcome, pickle.loads(message["outcome"]))]

    def _count_workers(self) -> None:
        if time.monotonic() - self._counted_at < _COUNT_EVERY:
            return
        with self._connection():
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self._threads = sum(worker["nthreads"] for worker in workers)
        for resource in self._offered:
            self._offered[resource] = int(sum((worker.get("resources") or {}).get(resource, 0) for worker in workers))
        self._required |= {resource for resource, slots in self._offered.items() if slots}
        self._counted_at = time.monotonic()
        if not self._threads and not self._logged_waiting:
            self._listener.log("waiting for workers")
        self._logged_waiting = not self._threads

    @contextmanager
    def _connection(self) -> Iterator[None]:
        from concurrent.futures import CancelledError

        try:
            yield
        except (OSError, CancelledError) as error:  # a lost connection is an OSError of dask
            raise MissingError(
                f"the connection to the dask scheduler was lost ({error}). What is finished stays in {self._store.root}: "
                "start the scheduler and its workers again, and run the same command."
            ) from error


def run_pickled(ref: EntryRef, pickled: bytes, topic: str) -> Outcome:
    """Runs a job in a worker. Returns its outcome, a failure too if the worker cannot unpickle the job."""
    from distributed import get_worker

    lose_what_is_refused("stdout", "stderr")  # a worker prints no data
    worker: Any = get_worker()
    relay = _Relay(lambda message: worker.log_event(topic, message), ref)
    try:
        task: Task = pickle.loads(pickled)
    except BaseException as error:
        outcome: Outcome = failure_of(ref, error)
    else:
        outcome = run_task(task, relay.log, relay.progress)
    relay.end(outcome)  # faster for the driver than fetching the result
    return outcome


class _Relay:
    """Passes on messages of a job, at most a few a second: every log line, and the latest progress."""

    def __init__(self, send: Callable[[dict[str, Any]], None], ref: EntryRef) -> None:
        self._send, self._ref = send, (ref.kind, ref.key)
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._progress: tuple[int, int, str] | None = None
        self._sent_at = float("-inf")
        self._timer: threading.Timer | None = None

    def log(self, text: str) -> None:
        with self._lock:
            self._lines.append(text)
        self._send_soon()

    def progress(self, done: int, total: int, what: str) -> None:
        with self._lock:
            self._progress = (int(done), int(total), what)
        self._send_soon()

    def end(self, outcome: Outcome) -> None:
        """Sends the outcome, with the messages that are still waiting."""
        self._flush(pickle.dumps(outcome))

    def _flush(self, outcome: bytes | None = None) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            if self._lines or self._progress or outcome:
                self._send({"ref": self._ref, "lines": self._lines, "progress": self._progress, "outcome": outcome})
            self._lines, self._progress, self._sent_at = [], None, time.monotonic()

    def _send_soon(self) -> None:
        with self._lock:
            wait = self._sent_at + _MESSAGES_EVERY - time.monotonic()
            if wait > 0:
                if self._timer is None:  # so that the last message is sent even if none follows it
                    self._timer = threading.Timer(wait, self._flush)
                    self._timer.daemon = True
                    self._timer.start()
                return
        self._flush()


@contextmanager
def _client(target: Any, where: str, patience: float) -> Iterator[Any]:
    from distributed import Client

    try:
        client = cast(Any, Client)(target, timeout=patience, set_as_default=False)
    except ValueError as error:
        raise UsageError(
            f"{where} is no address of a dask scheduler ({error}); one looks like tcp://10.0.0.1:8786."
        ) from error
    except OSError as error:  # dask's own timeouts among them
        raise MissingError(
            f"no dask scheduler answers at {where} ({error}). Start one with `dask scheduler`, and workers with "
            "`dask worker ADDRESS --nthreads 1`, or use --workers N for processes on this machine."
        ) from error
    try:
        yield client
    finally:
        with uninterrupted(), suppress(Exception):
            client.close(timeout=5)


def _check_workers(client: Any, store: Store) -> None:
    """MissingError where a worker cannot import this package, or does not see the store."""
    store.root.mkdir(parents=True, exist_ok=True)
    probe = store.root / f".probe.{secrets.token_hex(8)}"
    probe.touch()
    try:
        answers = client.run(_is_there, str(probe), on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise MissingError(f"the worker {worker} cannot run jobs of this package ({answer!r}). Install histobench there.")
        if not answer:
            raise MissingError(
                f"the worker {worker} does not see the store {store.root}. Point BENCH_HOME to a folder that this machine and "
                "all workers share under one path."
            )


def _is_there(path: str) -> bool:
    with suppress(OSError):
        list(Path(path).parent.iterdir())  # makes a network file system look again
    return Path(path).exists()

"""Worker processes on this machine, for dask_executor.py. They listen on localhost only, and end with this process."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import active_children, resource_tracker
from typing import Any, cast

from bench.errors import RefusedError
from bench.jobs.executors import Listener
from bench.runtime.devices import may_have_gpu

DEATHS = 1
"""A job whose workers died more often than this is tried with no other job beside it, as often, and then given up. A cluster
started elsewhere has its own number (`distributed.scheduler.allowed-failures`)."""
STARTS = 3
"""How often it is tried to start all workers."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Several processes that each take every core run many times slower than one."""
_QUIET = 50  # logging.CRITICAL: the driver reports what happens to jobs


@contextmanager
def local_cluster(workers: int, devices: tuple[str, ...], listener: Listener) -> Iterator[Any]:
    """A running dask cluster of `workers` processes and one more for each device."""
    import dask
    from distributed.gc import disable_gc_diagnosis
    from distributed.utils import silence_logging_cmgr

    has_dashboard = find_spec("bokeh") is not None
    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": has_dashboard, "dashboard_address": "127.0.0.1:0"}
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",  # a forked process inherits locks of torch's thread pools
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.scheduler.worker-ttl": None,  # a worker in a long call into C is alive; a dead one closes the connection
        # dask's own value makes malloc return memory at each free, which slows training by half
        "distributed.nanny.pre-spawn-environ": ONE_THREAD,
    }
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="histobench-workers-", ignore_cleanup_errors=True)
        scratch = stack.enter_context(folder)
        options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "nthreads": 1, "memory_limit": 0}
        options |= {"local_directory": scratch, "silence_logs": _QUIET}
        specs = {}
        for number in range(workers):
            hidden = {"CUDA_VISIBLE_DEVICES": ""} if devices else {}  # a job without a GPU as resource must not use one
            specs[f"cpu-{number}"] = {**options, "resources": {"cpu": 1}, "env": ONE_THREAD | hidden}
        for device in devices:
            env = ONE_THREAD | {"CUDA_VISIBLE_DEVICES": device}
            specs[f"gpu-{device}"] = {**options, "resources": {"gpu": 1}, "env": env}
        stack.enter_context(silence_logging_cmgr(_QUIET))  # until the loop has stopped
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_environment(ONE_THREAD))
        cluster = _start_cluster(scheduler, specs, stack)
        cast(Any, disable_gc_diagnosis)(force=True)  # a KeyboardInterrupt in its callback would be printed and lost
        if has_dashboard:
            listener.log(f"dashboard: {cluster.dashboard_link}")
        try:
            yield cluster
        except BaseException:
            _kill_workers(cluster)
            raise
        finally:
            with uninterrupted(), suppress(Exception):
                cluster.close(timeout=10)


def _start_cluster(scheduler: dict[str, Any], specs: dict[str, dict[str, Any]], stack: ExitStack) -> Any:
    """The cluster, with its event loop, which ends with the stack. RefusedError where worker processes die while they start,
    `STARTS` times."""
    from distributed import Nanny, Scheduler, SpecCluster

    others = {child.pid for child in active_children()}
    for left in reversed(range(STARTS)):
        runner = _start_loop()
        try:
            cluster = cast(Any, SpecCluster)(
                scheduler={"cls": Scheduler, "options": scheduler},
                workers={name: {"cls": Nanny, "options": spec} for name, spec in specs.items()},
                loop=runner.loop,
            )
        except BaseException as error:  # dask would try to close what is half there when Python ends
            with uninterrupted():
                for started in [cluster for cluster in SpecCluster._instances if cluster.loop is runner.loop]:
                    SpecCluster._instances.discard(started)
                    _stop_loop(started._loop_runner)
                _stop_loop(runner)  # from here on no worker is started
                _kill_children(others)
            if not isinstance(error, RuntimeError):
                raise
            if not left:
                raise RefusedError(
                    f"worker processes died {STARTS} times while they started ({error}). Too little memory is the usual "
                    "reason: use fewer, or --workers 1. Then give the same command again: what is finished is kept."
                ) from error
        else:
            stack.callback(_stop_loop, runner)
            return cluster
    raise AssertionError("unreachable")


def _start_loop() -> Any:
    """The event loop of the cluster in a thread of its own. Ctrl-C, which a terminal sends to all processes of a command, is
    blocked in this thread, and so in the processes that it starts: the driver ends them, and they print no tracebacks."""
    from distributed.utils import LoopRunner

    resource_tracker.ensure_running()  # would otherwise be started in that thread, and unblock the signal there
    runner = LoopRunner()
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            cast(Any, runner).start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    else:
        cast(Any, runner).start()
    return runner


def _stop_loop(runner: Any) -> None:
    if runner.is_started():
        with uninterrupted(), suppress(Exception):
            # what is still waiting there is cancelled, and nobody asks what became of it
            runner.loop.asyncio_loop.set_exception_handler(lambda loop, context: None)
            runner.stop(timeout=10)


def _kill_children(others: set[int | None]) -> None:
    """Ends the processes that this one has started, without `others`. A thread may be about to start one: returns when none
    has come for a while."""
    quiet = 0
    while quiet < 5:
        children = [child for child in active_children() if child.pid not in others]
        for child in children:
            child.kill()
            child.join(1)
        quiet = 0 if children else quiet + 1
        time.sleep(0.05)


def _kill_workers(cluster: Any) -> None:
    """Ends the worker processes at once, in the middle of their jobs."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        # TypeError, AttributeError: it is just being started and has no number yet
        with suppress(ProcessLookupError, TypeError, AttributeError):
            os.kill(nanny.pid, signal.SIGKILL)


def devices_of(asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The asked devices, or those that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    if asked is not None:
        return asked
    if not may_have_gpu():
        return ()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(visible[:count] if visible else map(str, range(count)))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process while its workers start, since these import numpy before dask can set variables there.
    Restores them afterwards, and also those that dask sets in this process."""
    import dask

    names = {*variables, *dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores a second Ctrl-C, so that no process is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Progress of `execute`, shown as bars on a terminal, as lines elsewhere, or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from bench.messages import printable, printable_lines


@dataclass(frozen=True)
class KindProgress:
    """How far the jobs of one kind are."""

    kind: str
    done: int
    """Jobs that have ended, including failed ones and those that could not start because of them."""
    failed: int
    running: int
    total: int
    since: float | None
    """Seconds since 1970 at which the first of them started; None before."""
    remaining: float | None
    """Estimated seconds to the end; None where nothing is known yet."""


class Reporter(Protocol):
    """Shows the progress. All calls come from the thread that called `execute`."""

    def update(self, kinds: Sequence[KindProgress]) -> None:
        """How far each kind is, in the order of the graph; called on each change."""
        ...

    def log(self, text: str) -> None:
        """One line of a job or of the executor."""
        ...

    def job_progress(self, label: str, done: int, total: int, what: str) -> None:
        """How far one running job is."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class SilentReporter:
    def update(self, kinds: Sequence[KindProgress]) -> None:
        pass

    def log(self, text: str) -> None:
        pass

    def job_progress(self, label: str, done: int, total: int, what: str) -> None:
        pass

    def close(self) -> None:
        pass


class LineReporter:
    """A line with the time, at most every `interval` seconds; log lines immediately. For files and job managers."""

    def __init__(self, stream: TextIO | None = None, interval: float = 5.0) -> None:
        self._stream, self._interval = stream or sys.stderr, interval
        self._shown_at = float("-inf")
        self._waiting: str | None = None

    def update(self, kinds: Sequence[KindProgress]) -> None:
        parts = []
        for kind in kinds:
            failed = f", {kind.failed} failed" if kind.failed else ""
            left = f", {duration(kind.remaining)} left" if kind.remaining is not None and kind.done < kind.total else ""
            parts.append(f"{kind.kind} {kind.done}/{kind.total}{failed}{left}")
        self._waiting = "; ".join(parts if len(parts) == 1 else [overall(kinds), *parts])
        self._show()

    def log(self, text: str) -> None:
        self._write(text)

    def job_progress(self, label: str, done: int, total: int, what: str) -> None:
        if time.monotonic() - self._shown_at >= self._interval:
            self._shown_at = time.monotonic()
            self._write(f"{label}: {what} {done}/{total}")

    def close(self) -> None:
        """Shows the last state, if the interval delayed it."""
        self._shown_at = float("-inf")
        self._show()

    def _show(self) -> None:
        if self._waiting is not None and time.monotonic() - self._shown_at >= self._interval:
            self._shown_at = time.monotonic()
            self._write(self._waiting)
            self._waiting = None

    def _write(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), printable_lines(text), file=self._stream, flush=True)


class RichReporter:
    """One bar for each kind of job, with the remaining time, on stderr. Only for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[what]}", markup=False),
        )
        self._bars = Progress(*columns, console=Console(stderr=True))
        self._rows: dict[str, Any] = {}
        self._all: Any = None
        self._labels = self._bars.add_task("", total=None, visible=False, left="", what="")
        self._bars.start()

    def update(self, kinds: Sequence[KindProgress]) -> None:
        self._bars.start()  # again, where an earlier graph has ended
        if len(kinds) > 1:
            if self._all is None:
                self._all = self._bars.add_task("all", total=None, left="", what="")
            done, total = sum(kind.done for kind in kinds), sum(kind.total for kind in kinds)
            self._bars.update(self._all, completed=done, total=total, left=overall(kinds).partition(", ")[2])
        for kind in kinds:
            if kind.kind not in self._rows:
                self._rows[kind.kind] = self._bars.add_task(kind.kind, total=kind.total, left="", what="")
            left = f"{duration(kind.remaining)} left" if kind.remaining is not None and kind.done < kind.total else ""
            what = f"{kind.running} running" if kind.running else ""
            what += f" {kind.failed} failed" if kind.failed else ""
            self._bars.update(self._rows[kind.kind], completed=kind.done, total=kind.total, left=left, what=what.strip())

    def log(self, text: str) -> None:
        self._bars.console.print(printable_lines(text), markup=False, highlight=False)

    def job_progress(self, label: str, done: int, total: int, what: str) -> None:
        label, what = printable(label), printable(what)
        self._bars.update(self._labels, description=label, completed=done, total=total, what=what, visible=True)

    def close(self) -> None:
        self._bars.update(self._labels, visible=False)
        self._bars.stop()


def default_reporter() -> Reporter:
    """Bars where stderr is a terminal, lines elsewhere."""
    return RichReporter() if sys.stderr.isatty() else LineReporter()


def overall(kinds: Sequence[KindProgress]) -> str:
    """How far all kinds are together, and the time left, at least where some have not started."""
    done, total = sum(kind.done for kind in kinds), sum(kind.total for kind in kinds)
    open_ = [kind for kind in kinds if kind.done < kind.total]
    left = [kind.remaining for kind in open_ if kind.remaining is not None]
    if not left:
        return f"{done} of {total} jobs"
    least = "at least " if len(left) < len(open_) else ""
    return f"{done} of {total} jobs, {least}{duration(sum(left))} left"


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


class Tally:
    """Counts what happens to jobs, and estimates the remaining time of each kind from its rate while some of it ran: a kind
    that waits for others does not become slower."""

    def __init__(self, kinds: Sequence[str]) -> None:
        """`kinds`: the kind of each job."""
        self._order = list(dict.fromkeys(kinds))
        self._total = {kind: 0 for kind in self._order}
        for kind in kinds:
            self._total[kind] += 1
        self._done, self._failed, self._run = (
            dict.fromkeys(self._order, 0),
            dict.fromkeys(self._order, 0),
            dict.fromkeys(self._order, 0),
        )
        self._since: dict[str, float] = {}
        self._active: dict[str, float] = dict.fromkeys(self._order, 0.0)  # seconds in which some job of the kind ran
        self._resumed: dict[str, float] = {}
        self._parts: dict[str, dict[str, float]] = {kind: {} for kind in self._order}

    def start(self, kind: str) -> None:
        now = time.time()
        self._since.setdefault(kind, now)
        if not self._run[kind]:
            self._resumed[kind] = now
        self._run[kind] += 1

    def part(self, kind: str, key: str, fraction: float) -> None:
        """A running job is done to this fraction, 0 to 1."""
        self._parts[kind][key] = min(max(fraction, 0.0), 1.0)

    def end(self, kind: str, key: str, is_failed: bool, was_started: bool) -> None:
        self._parts[kind].pop(key, None)
        self._done[kind] += 1
        self._failed[kind] += is_failed
        self._run[kind] -= was_started
        if was_started and not self._run[kind]:
            self._active[kind] += time.time() - self._resumed[kind]

    def state(self) -> list[KindProgress]:
        return [
            KindProgress(
                kind,
                self._done[kind],
                self._failed[kind],
                self._run[kind],
                self._total[kind],
                self._since.get(kind),
                self._remaining(kind),
            )
            for kind in self._order
        ]

    def _remaining(self, kind: str) -> float | None:
        ended = self._done[kind] + sum(self._parts[kind].values())
        if kind not in self._since or ended <= 0:
            return None
        took = self._active[kind] + (time.time() - self._resumed[kind] if self._run[kind] else 0.0)
        return took * (self._total[kind] - ended) / ended

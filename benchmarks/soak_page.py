"""The section of docs/reliability.md with the figures of a soak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from benchmarks import reliability_page

FAULTS = {
    "flip_byte": "one bit of a file of the store flipped",
    "cut_file": "a file of the store cut, or emptied",
    "remove_file": "a file of the store removed",
    "replace_file": "a folder, a dangling link or text in the place of a file or an entry",
    "add_file": "a foreign file in an entry",
    "move_dates": "files dated ten years forward or back",
    "jump_clock": "the clock jumps an hour, a day or a year, forward or back",
    "kill_any": "SIGKILL of one process, driver or worker",
    "kill_driver": "SIGKILL of the command",
    "terminate": "SIGTERM of the command",
    "interrupt": "SIGINT of the process group",
    "stop_and_continue": "SIGSTOP of one process, SIGCONT up to 4 seconds later",
    "race_run": "the same run a second time on the same store",
    "race_prune": "`bench cache prune` on the same store",
    "fill_disk": "the disk of the store is full",
    "make_read_only": "the disk of the store takes no more writes",
}
ENDS = {"records": "with its records", "stated": "with a stated refusal or interruption", "killed": "killed"}
HEAD = """Random small runs (controls, a downstream model, a generator that is trained) in one process or with two workers, on
an empty, half full or finished store, each with one to six faults. After each, the same command is started again without
faults. Every record of both has to equal that of the undisturbed run, or to be an error with its reason; no process may be
left 15 seconds after the command has ended.
"""


class Tried(Protocol):
    """A trial of benchmarks/soak.py."""

    seed: int
    faults: list[str]
    code: int
    failures: list[str]


def write(trials: Sequence[Tried], cores: int) -> None:
    """Writes the section of runs under faults in docs/reliability.md."""
    faults = Counter(name for trial in trials for name in trial.faults)
    seeds = sorted({trial.seed for trial in trials})
    made = f"python -m benchmarks.soak --seed SEED` for the seeds {', '.join(map(str, seeds))}"
    kinds = ("wrong", "lost", "unstated", "hung", "left")
    failed = {kind: sum(any(f.startswith(kind) for f in trial.failures) for trial in trials) for kind in kinds}
    lines = [
        HEAD,
        f"Made by `{made}, {cores} cores: {len(trials)} trials with {sum(faults.values())} faults.\n",
        "| trials with | count |",
        "|---|---|",
        f"| a number that differs from the undisturbed run, or is missing with exit code 0 | {failed['wrong']} |",
        f"| a second start that does not give all records | {failed['lost']} |",
        f"| a traceback, or an exit code that states nothing | {failed['unstated']} |",
        f"| a command that does not end | {failed['hung']} |",
        f"| a process left | {failed['left']} |",
        "",
        "How the runs with faults ended:",
        "",
        "| fault | faults | " + " | ".join(ENDS.values()) + " |",
        "|---" * (2 + len(ENDS)) + "|",
    ]
    for name, text in FAULTS.items():
        ends = Counter(_end(trial.code) for trial in trials for fault in trial.faults if fault == name)
        lines.append(f"| {text} | {faults[name]} | " + " | ".join(str(ends[end]) for end in ENDS) + " |")
    reliability_page.write("soak", "\n".join(lines))


def _end(code: int) -> str:
    return "records" if code == 0 else "stated" if code > 0 else "killed"

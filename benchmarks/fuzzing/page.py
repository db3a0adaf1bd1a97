"""The figures of fuzzed inputs, as a table and in docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from benchmarks import reliability_page

FAILURES = ("signal", "hang", "uncaught", "code", "silent", "control", "memory", "wrong", "unread")
HEAD = """Valid files are changed: bits and bytes, cuts, pieces inserted, removed, doubled and moved, two files joined; in
formats that are known also values, with the right checksums and lengths, so that the change reaches what lies behind them.
What reads such a file in the suite, a door, does so in a process of its own. It has to answer, or to refuse with a message and
a stated exit code, within 10 seconds and 2 GB, without control characters, and never with another number than that of the
valid files."""


def rows(ends: Mapping[str, Counter[str]]) -> list[str]:
    """A table with a row for each door, and one for all."""
    whole: Counter[str] = sum(ends.values(), Counter())
    lines = ["| door | inputs | read | refused | failures |", "|---|---|---|---|---|"]
    return lines + [_row(name, found) for name, found in [*ends.items(), ("all", whole)]]


def _row(name: str, found: Counter[str]) -> str:
    failed = {kind: found[kind] for kind in FAILURES if found[kind]}
    named = f" ({', '.join(f'{count} {kind}' for kind, count in failed.items())})" if failed else ""
    return f"| {name} | {found.total()} | {found['ok']} | {found['refused']} | {sum(failed.values())}{named} |"


def write(ends: Mapping[str, Counter[str]], asked: int, seed: int) -> None:
    """Writes the section of fuzzed inputs in docs/reliability.md."""
    made = f"Made by `python -m benchmarks.fuzz --inputs {asked} --seed {seed} --write`; the valid files are inputs too."
    reliability_page.write("fuzz", "\n".join([HEAD, "", made, "", *rows(ends)]))

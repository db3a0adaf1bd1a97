"""`bench cache`: the entries of the store, their size, and how to free space."""

from __future__ import annotations

import json
from datetime import datetime

import click

from bench.errors import UsageError
from bench.jobs.store import Store, default_root
from bench.messages import echo

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@click.group("cache")
def command() -> None:
    """List, measure or prune the store, $BENCH_HOME (default ~/.cache/histobench)."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(as_json: bool) -> None:
    """Every finished entry, oldest first."""
    listing = Store(default_root()).entries()
    for entry in listing.entries:
        if as_json:
            echo(json.dumps({"kind": entry.kind, "key": entry.key, "bytes": entry.bytes, "spec": entry.spec}))
        else:
            made = datetime.fromtimestamp(entry.made).strftime("%Y-%m-%d %H:%M")
            echo(f"{made}  {entry.bytes / 1e6:9.2f} MB  {entry.kind:12s}{entry.key}")
    for skipped in listing.skipped:
        echo(f"no entry: {skipped}", err=True)


@command.command()
def size() -> None:
    """Megabytes of each kind, and in all."""
    entries = Store(default_root()).entries().entries
    for kind in sorted({entry.kind for entry in entries}):
        echo(f"{kind:14s}{sum(e.bytes for e in entries if e.kind == kind) / 1e6:9.2f} MB")
    echo(f"{'all':14s}{sum(e.bytes for e in entries) / 1e6:9.2f} MB  in {default_root()}")


@command.command()
@click.option("--keep", default="0", show_default=True, help="How much may stay, e.g. 2G; the oldest entries go first.")
def prune(keep: str) -> None:
    """Remove the oldest entries until at most --keep remains."""
    pruned = Store(default_root()).prune(_bytes(keep))
    size = sum(entry.bytes for entry in pruned.removed)
    echo(f"removed {len(pruned.removed)} entries, {size / 1e6:.2f} MB")
    for skipped in pruned.skipped:
        echo(f"left alone: {skipped}", err=True)


def _bytes(text: str) -> int:
    number, unit = text.strip().lower().removesuffix("b"), ""
    if number and number[-1] in UNITS:
        number, unit = number[:-1], number[-1]
    try:
        size = int(float(number) * UNITS[unit])
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise UsageError(f"--keep takes a size like 500M or 2G, not {text!r}.")
    return size

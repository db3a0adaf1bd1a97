"""`bench cache`: the entries of the store, their size, and how to free space."""

from __future__ import annotations

import json
from datetime import datetime

import click

from bench.errors import UsageError
from bench.jobs.store import DamagedEntry, Store, default_root
from bench.messages import echo

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@click.group("cache")
def command() -> None:
    """List, measure, check or prune the store, $BENCH_HOME (default ~/.cache/histobench)."""


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
    _name(listing.skipped, "no entry")


@command.command()
def size() -> None:
    """Megabytes of each kind, and in all."""
    listing = Store(default_root()).entries()
    entries = listing.entries
    for kind in sorted({entry.kind for entry in entries}):
        echo(f"{kind:14s}{sum(e.bytes for e in entries if e.kind == kind) / 1e6:9.2f} MB")
    echo(f"{'all':14s}{sum(e.bytes for e in entries) / 1e6:9.2f} MB  in {default_root()}")
    _name(listing.skipped, "no entry")


@command.command()
@click.option("--remove", is_flag=True, help="Remove damaged entries; the next run makes them again.")
def verify(remove: bool) -> None:
    """Read every entry and compare it with its checksums. Exit code 3 if one is damaged and stays."""
    from bench.jobs.arrays import check_entry

    store = Store(default_root())
    listing, damaged = store.entries(), 0
    for entry in listing.entries:
        try:
            check_entry(store, entry.ref)
        except DamagedEntry as error:
            damaged += 1
            echo(f"{error}{'; it is removed' if remove else ''}", err=True)
            if remove:
                store.remove(entry.ref)
    _name(listing.skipped, "no entry")
    echo(f"{len(listing.entries)} entries, {damaged} damaged")
    if damaged and not remove:
        raise SystemExit(DamagedEntry.exit_code)


@command.command()
@click.option("--keep", default="0", show_default=True, help="How much may stay, e.g. 2G; the oldest entries go first.")
def prune(keep: str) -> None:
    """Remove the oldest entries that no running command uses until at most --keep remains."""
    pruned = Store(default_root()).prune(_bytes(keep))
    size = sum(entry.bytes for entry in pruned.removed)
    echo(f"removed {len(pruned.removed)} entries, {size / 1e6:.2f} MB")
    if pruned.in_use:
        size = sum(entry.bytes for entry in pruned.in_use)
        echo(f"kept {len(pruned.in_use)} entries, {size / 1e6:.2f} MB, that a running command uses", err=True)
    _name(pruned.skipped, "left alone")


def _name(skipped: tuple[str, ...], word: str) -> None:
    """Names what is no entry."""
    for text in skipped:
        echo(f"{word}: {text}", err=True)


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

"""`bench cache`: what is kept, how large it is, and making package."""

from __future__ import annotations

import json
from datetime import datetime

import click

from bench.cache import Cache, Entry, home
from bench.errors import UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@click.group("cache")
def command() -> None:
    """What is kept in $BENCH_HOME (default ~/.cache/histobench), and making package."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(as_json: bool) -> None:
    """Every finished entry, oldest first."""
    for entry in Cache(home()).entries():
        if as_json:
            click.echo(json.dumps({"kind": entry.kind, "key": entry.key, "bytes": entry.bytes, "spec": entry.spec}))
        else:
            made = datetime.fromtimestamp(entry.made).strftime("%Y-%m-%d %H:%M")
            click.echo(f"{made}  {entry.bytes / 1e6:9.2f} MB  {entry.kind:12s}{entry.key}")


@command.command()
def size() -> None:
    """Megabytes of each kind, and in all."""
    entries = Cache(home()).entries()
    for kind in sorted({entry.kind for entry in entries}):
        click.echo(f"{kind:14s}{sum(e.bytes for e in entries if e.kind == kind) / 1e6:9.2f} MB")
    click.echo(f"{'all':14s}{sum(e.bytes for e in entries) / 1e6:9.2f} MB  in {home()}")


@command.command()
@click.option("--keep", default="0", show_default=True, help="How much may stay, e.g. 2G; the oldest entries go first.")
def prune(keep: str) -> None:
    """Remove the oldest entries until at most --keep remains."""
    removed: list[Entry] = Cache(home()).prune(_bytes(keep))
    click.echo(f"removed {len(removed)} entries, {sum(e.bytes for e in removed) / 1e6:.2f} MB")


def _bytes(text: str) -> int:
    number, unit = text.strip().lower().removesuffix("b"), ""
    if number and number[-1] in UNITS:
        number, unit = number[:-1], number[-1]
    try:
        return int(float(number) * UNITS[unit])
    except (ValueError, OverflowError):
        raise UsageError(f"--keep takes a size like 500M or 2G, not {text!r}.") from None

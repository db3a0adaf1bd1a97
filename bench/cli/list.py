"""`bench list`: names, read from entry points without importing a plug-in."""

from __future__ import annotations

import json

import click

from bench import registry
from bench.errors import UsageError, did_you_mean
from bench.messages import echo
from bench.sensitivity import flags

KINDS = tuple(kind for kind in registry.KINDS if kind != "commands")


@click.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(kind: str | None, as_json: bool) -> None:
    """Names of everything, or of one KIND: generators, encoders, metrics, tasks, datasets, layout_generators."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}.{did_you_mean(kind, KINDS)} The kinds are: {', '.join(KINDS)}.")
    width, kinds = max(map(len, KINDS)) + 2, (kind,) if kind else KINDS
    flagged = flags.flagged_metrics() if "metrics" in kinds else set()
    for each in kinds:
        names = registry.names(each)
        marked = flagged if each == "metrics" else set()
        if as_json:
            for name in names:
                echo(json.dumps({"kind": each, "name": name, **({"flagged": name in marked} if each == "metrics" else {})}))
        else:
            echo(f"{each:{width}s}{'  '.join(name + flags.MARK * (name in marked) for name in names) or '–'}")
    if flagged and not as_json:
        echo(f"{flags.MEANING}: bench info METRIC", err=True)

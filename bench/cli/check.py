"""`bench check`: does a plug-in do what its kind must do?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import click

MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}
SOME_FAILED = 4


@click.command(short_help="Check a plug-in against the contract of its kind.")
@click.argument("name")
@click.option("--kind", type=click.Choice(["generators", "encoders", "metrics"]), default="generators", show_default=True)
@click.option("--size", default=64, show_default=True, help="Side of the mock patches in pixels.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(context: click.Context, name: str, kind: str, size: int, as_json: bool) -> None:
    """Check the plug-in NAME (or path.py:Class) on small made-up patches. Ends with 4 where a check fails."""
    from bench import contracts, registry

    checks: dict[str, Callable[..., list[contracts.Outcome]]] = {
        "generators": contracts.check_generator,
        "encoders": contracts.check_encoder,
        "metrics": contracts.check_metric,
    }
    registry.find(kind, name)  # a wrong name or size is the user's mistake, not a failed check
    contracts.mock(size)
    outcomes = checks[kind](partial(registry.load, kind, name), name, size)
    for outcome in outcomes:
        if as_json:
            click.echo(json.dumps({"kind": kind, "plugin": name, **asdict(outcome)}))
        else:
            reason = f": {outcome.reason}" if outcome.reason else ""
            click.echo(f"{MARKS[outcome.status]} {outcome.name.replace('_', ' ')}{reason}")
    if any(outcome.status == "failed" for outcome in outcomes):
        context.exit(SOME_FAILED)

"""`bench check`: tests a plug-in against the contract of its kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import click

from bench.cli.options import names_of
from bench.messages import echo
from bench.types import LayoutMetric

KINDS = ("generators", "layout_generators", "encoders", "metrics")
MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}
SOME_FAILED = 4


@click.command(short_help="Check a plug-in against the contract of its kind.")
@click.argument("name", shell_complete=names_of("generators", "encoders", "metrics", "layout_generators"))
@click.option("--kind", type=click.Choice(KINDS), default=None, help="If two kinds share the name, and for path.py:Class.")
@click.option("--size", default=64, show_default=True, help="Side of the mock patches in pixels.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(context: click.Context, name: str, kind: str | None, size: int, as_json: bool) -> None:
    """Check the plug-in NAME (or path.py:Class) on small synthetic patches. Exit code 4 if a check fails."""
    from bench import contracts, registry
    from bench.loading import asked_of
    from bench.runtime.plugin_code import guarded_process, stdout_to_stderr

    checks: dict[str, Callable[..., list[contracts.Outcome]]] = {
        "generators": contracts.check_generator,
        "layout_generators": contracts.check_layouts,
        "encoders": contracts.check_encoder,
        "metrics": contracts.check_metric,
    }
    head = name.partition(":")[0]
    kind = kind or next((each for each in KINDS if head in registry.names(each)), KINDS[0])
    with guarded_process(), stdout_to_stderr():
        found = registry.find(kind, name)[0]  # a wrong name or size is the user's mistake, not a failed check
        contracts.mock(size)
        if asked_of(kind, name, lambda: isinstance(found, LayoutMetric)):
            checks["metrics"] = contracts.check_layout_metric
        outcomes = checks[kind](partial(registry.load, kind, name), name, size)
    for outcome in outcomes:
        if as_json:
            echo(json.dumps({"kind": kind, "plugin": name, **asdict(outcome)}))
        else:
            reason = f": {outcome.reason}" if outcome.reason else ""
            echo(f"{MARKS[outcome.status]} {outcome.name.replace('_', ' ')}{reason}")
    if any(outcome.status == "failed" for outcome in outcomes):
        context.exit(SOME_FAILED)

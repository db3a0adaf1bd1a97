"""`bench check`: tests a plug-in against the contract of its kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

import click

from bench import registry
from bench.cli.options import names_of, parse_assignments
from bench.messages import echo

KINDS = tuple(kind for kind in registry.KINDS if kind != "commands")
MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}
SOME_FAILED = 4


@click.command(short_help="Check a plug-in against the contract of its kind.")
@click.argument("name", shell_complete=names_of(*KINDS))
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Where several kinds share the name.")
@click.option("--size", default=64, show_default=True, help="Side of the mock patches in pixels.")
@click.option("-o", "options", multiple=True, callback=parse_assignments, help="name=value, an option of the plug-in.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(context: click.Context, name: str, kind: str | None, size: int, options: Mapping[str, str], as_json: bool) -> None:
    """Check the plug-in NAME, or path.py:Class, of any kind. Exit code 4 if a check fails.

    \b
    bench check flat-colour
    bench check mine.py:Mine
    bench check phantom-cam16 -o train_slides=4 -o validation_slides=2 -o test_slides=4

    Generators, encoders, metrics and tasks are checked on small synthetic patches, datasets on their own.
    """
    from bench import contracts
    from bench.loading import asked_of
    from bench.runtime.plugin_code import guarded_process, stdout_to_stderr

    with guarded_process(), stdout_to_stderr():
        kind = kind or contracts.find_kind(name)
        name = registry.canonical_name(kind, name)
        # a wrong name, option or size is the user's mistake, not a failed check
        found = asked_of(kind, name, lambda: registry.arguments(kind, name, options)[0])
        contracts.mock(size)
        check = asked_of(kind, name, lambda: contracts.contract_of(kind, found))
        outcomes = check(partial(_load, kind, name, options), name, size)
    for outcome in outcomes:
        if as_json:
            echo(json.dumps({"kind": kind, "plugin": name, **asdict(outcome)}))
        else:
            reason = f": {outcome.reason}" if outcome.reason else ""
            echo(f"{MARKS[outcome.status]} {outcome.name.replace('_', ' ')}{reason}")
    if any(outcome.status == "failed" for outcome in outcomes):
        context.exit(SOME_FAILED)


def _load(kind: str, name: str, given: Mapping[str, str], **options: object) -> object:
    """The plug-in with the given options, and those of a check in their place."""
    return registry.load(kind, name, **{**given, **options})

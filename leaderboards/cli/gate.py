"""`bench gate`: tests whether a generator has become worse than its baseline. `bench gate accept` updates the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bench.errors import UsageError
from bench.messages import echo
from leaderboards.gate import baseline_update, policy, reports
from leaderboards.gate.gate import measured
from leaderboards.tables.reading import read_records as read

place = click.Path(path_type=Path)


@click.group("gate", invoke_without_command=True)
@click.option("--baseline", type=place, help="A file with the result records of the baseline.")
@click.option("--candidate", type=place, help="A file or folder of result records.")
@click.option("--policy", "asked", default=policy.DEFAULT, show_default=True, help="A shipped policy, or a file.toml.")
@click.option(
    "--mode", type=click.Choice(policy.MODES), help="In place of the policy's: whether weights or methods are tested."
)
@click.option("--markdown", type=place, help="Write the report for a pull request here.")
@click.option("--junit", type=place, help="Write JUnit XML here.")
@click.option("--strict", is_flag=True, help="Exit code 2 if a rule of the policy applies to no number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the text.")
@click.pass_context
def command(
    context: click.Context,
    baseline: Path | None,
    candidate: Path | None,
    asked: str,
    mode: policy.Mode | None,
    markdown: Path | None,
    junit: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Test every number of a candidate against its baseline, paired by test slides and seeds.

    \b
    bench gate --baseline main.jsonl --candidate results
    bench gate --baseline main.jsonl --candidate results --mode same-method
    bench gate accept --baseline main.jsonl --candidate results --reason "sampler of 12 steps"

    same-weights tests whether the numbers of the same weights changed, same-method whether other fits of the method are
    worse; that needs two fits on each side (bench run --fit-seeds 0,1,2).

    Exit codes: 0 pass, 2 a rule that applies to nothing (--strict), 3 a baseline or candidate that is missing or has no
    records, 4 broken, 5 regression, 6 inconclusive, 7 not comparable.
    """
    if context.invoked_subcommand:
        if baseline or candidate:
            raise UsageError("options of accept follow it: bench gate accept --baseline FILE --candidate FILE --reason TEXT.")
        return
    if baseline is None or candidate is None:
        raise UsageError("a gate compares two sets of records: bench gate --baseline FILE --candidate FILE.")
    rules = policy.read(asked)
    found = measured(read((baseline,)), read((candidate,)), replace(rules, mode=mode or rules.mode))
    for file, text in ((markdown, reports.as_markdown), (junit, reports.as_junit)):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text(found), encoding="utf-8")
    echo(reports.as_json(found) if as_json else reports.as_text(found))
    for rule in found.unused:
        echo(f"policy {asked}: {rule}", err=True)
    raise SystemExit(found.strict_exit_code() if strict else found.exit_code)


@command.command("accept")
@click.option("--baseline", type=place, required=True, help="The file to update; it is made if it does not exist.")
@click.option("--candidate", type=place, required=True, help="A file or folder of result records.")
@click.option("--reason", default="", help="Why the change is intended; written into the log.")
@click.option("--policy", "asked", default=policy.DEFAULT, show_default=True)
def accept(baseline: Path, candidate: Path, reason: str, asked: str) -> None:
    """Make the candidate's records the baseline, and write the reason into BASELINE.log."""
    entry = baseline_update.accept(baseline, read((candidate,)), reason, policy.read(asked))
    echo(f"{baseline}: {entry['lines']} lines, {entry['verdict']}; {len(entry['moved'])} numbers moved")

"""`bench verify`: are the results of a run reproduced?"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from bench.cli.options import DATASET, execution_options, open_context, parse_seeds, plugin_option
from bench.errors import UsageError
from bench.messages import echo, printable
from bench.provenance.manifest import RECORDS
from bench.results import schema
from bench.results.terms import State
from leaderboards.reproduce import matching
from leaderboards.reproduce.matching import EXITS
from leaderboards.reproduce.verify import Report, Request, verify
from leaderboards.tables import reading

VERDICTS = {
    "holds": "HOLDS: everything that was recomputed is bit-equal.",
    "near": "HOLDS WITHIN TOLERANCE: the differences are within what another machine or other versions may cause.",
    "not-done": "NOTHING was recomputed.",
    "unknown": "INCONCLUSIVE: something differs, and by how much cannot be determined here.",
    "fails": "FAILS: something is not what the run recorded.",
    "not-comparable": "NOT COMPARABLE: the data or the plug-ins are not those of the run.",
}


@click.command("verify")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--sample", default=Request.sample, show_default=True, help="Patches of each generated set to generate again.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random choice of the sample.")
@click.option(
    "--seeds", callback=lambda c, p, text: parse_seeds(c, p, text) if text else None, help="Seeds of the run; default: all."
)
@click.option(
    "--all", "everything", is_flag=True, help="Generate every patch, train every downstream model, make every number."
)
@click.option("--data", default="", help="Folder of the data on this machine; default: the recorded one.")
@click.option("--dataset", default="", help=DATASET)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that bench export samples wrote on the machine of the run.",
)
@click.option("--mark", is_flag=True, help=f"Write {reading.VERIFIED}: the records, those made again as `verified`.")
@plugin_option
@execution_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    run: Path,
    sample: int,
    seed: int,
    seeds: tuple[int, ...] | None,
    everything: bool,
    data: str,
    dataset: str,
    samples: Path | None,
    mark: bool,
    allowed: tuple[Path, ...],
    workers: int,
    scheduler: str,
    as_json: bool,
) -> None:
    """Make part of RUN again (a folder of `bench run`) and compare it with its manifest.

    \b
    bench verify results/ldm-prompt--cam16-seg--1a2b3c4d --sample 50
    bench verify results/ldm-prompt--cam16-seg--1a2b3c4d --all --mark

    Exit 0: holds, 4: fails, 6: inconclusive, 7: not comparable.
    """
    if sample < 0:
        raise UsageError(f"--sample takes a number of patches, not {sample}.")
    asked = Request(sample, seed, seeds, everything, data, dataset, samples, allowed)
    with open_context(workers, scheduler) as context:
        found = verify(run, asked, context)
    marked = mark_verified(found) if mark else None
    echo(as_object(found, marked) if as_json else text(found, marked))
    raise SystemExit(EXITS[found.outcome])


def mark_verified(found: Report) -> int:
    """Writes the records to a file of their own, the confirmed ones with the state `verified`; returns the number of these. It
    is 0 if anything failed, and on another machine or with other versions."""
    if EXITS[found.outcome] or found.elsewhere:
        return 0
    records = list(schema.read([found.folder / RECORDS]))
    marked = [replace(e, state=State.VERIFIED) if matching.identity(e) in found.confirmed else e for e in records]
    schema.write(marked, found.folder / reading.VERIFIED)
    return len(found.confirmed)


def text(found: Report, marked: int | None) -> str:
    """A row for each check, the differences of machine and versions, and the verdict."""
    wide = max(len(check.what) for check in found.checks)
    message = [f"{check.outcome:15s} {check.what.ljust(wide)}  {check.message}" for check in found.checks]
    here = [f"{name}: {then} then, {now} now" for name, (then, now) in found.elsewhere.items()]
    where = ["differs from the run: " + "; ".join(here)] if here else ["made with the versions, code and machine of the run"]
    lines = [str(found.folder), *message, *where, VERDICTS[found.outcome], *_describe_marked(marked)]
    return "\n".join(map(printable, lines))


def _describe_marked(marked: int | None) -> list[str]:
    if marked is None:
        return []
    if not marked:
        return ["no record marked: a marked record is bit-equal, with the versions and on a machine like that of the run"]
    return [f"{marked} records marked as verified in {reading.VERIFIED}"]


def as_object(found: Report, marked: int | None) -> str:
    """The report as JSON."""
    return json.dumps(
        {
            "run": str(found.folder),
            "outcome": found.outcome,
            "checks": [asdict(check) for check in found.checks],
            "elsewhere": {name: {"then": then, "now": now} for name, (then, now) in found.elsewhere.items()},
            "confirmed": len(found.confirmed),
            "marked": marked,
        },
        indent=1,
    )

"""Moving a baseline: the one way to do it leaves a reason behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingError, UsageError
from bench.files.regular import is_there, read_bytes
from bench.files.text import write_bytes
from bench.messages import printable
from bench.provenance.digests import digest_of
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import State
from leaderboards.gate.gate import measured
from leaderboards.gate.policy import Policy
from leaderboards.tables.reading import read_records as read

NEW = "new"
"""Verdict of a baseline that did not exist."""


def accept(baseline: Path, candidate: Sequence[ResultRecord], reason: str, policy: Policy) -> dict[str, Any]:
    """Writes the candidate's measured lines over the baseline and returns the entry that its log, beside it, now ends with.

    The entry holds the date, the reason, digests of both files, the gate's verdict, and each number whose value moved with
    its own. Raises UsageError without a reason and MissingError where the candidate has no value.
    """
    if not reason.strip():
        raise UsageError("a baseline moves for a reason: bench gate accept … --reason TEXT.")
    records = [record for record in candidate if record.state != State.REPORTED]
    if not any(record.value is not None for record in records):
        raise MissingError("the candidate holds no measured number: there is nothing to accept.")
    log = baseline.with_suffix(".log")
    held = read_bytes(log, "log of a baseline") if is_there(log) else b""
    before = digest_of(baseline) if baseline.is_file() else ""
    verdict, moved = _moved(baseline, records, policy) if before else (NEW, [])
    schema.write(records, baseline)
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": " ".join(reason.split()),
        "old": before,
        "new": digest_of(baseline),
        "lines": len(records),
        "verdict": verdict,
        "moved": moved,
    }
    if held and not held.endswith(b"\n"):
        held += b"\n"
    # earlier entries stay byte by byte, whatever they are: a log is only added to
    write_bytes(log, held + printable(json.dumps(entry, ensure_ascii=False)).encode() + b"\n")
    return entry


def _moved(baseline: Path, records: list[ResultRecord], policy: Policy) -> tuple[str, list[dict[str, Any]]]:
    """The gate's verdict, and the numbers that are no longer what they were; of a baseline that no gate can read, why."""
    try:
        gate = measured(read((baseline,)), records, policy)
    except BenchError as error:
        return f"unreadable: {error}", []
    moved = [one for one in gate.gate_results if one.baseline != one.candidate]
    return gate.verdict, [
        {"number": str(one.quantity), "old": one.baseline, "new": one.candidate, "verdict": one.verdict} for one in moved
    ]

"""Keys of jobs, and the order in which they have to run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.jobs.graph import Job, pending
from bench.jobs.store import Store
from tests.bench.jobs.actions import Raise, diamond, draw

NOTHING = Raise("never run")


def test_a_key_depends_on_the_spec_and_on_what_is_needed_and_on_nothing_else() -> None:
    first, second = Job("draw", {"seed": 1}, NOTHING), Job("draw", {"seed": 2}, NOTHING)
    same = Job("draw", {"seed": 1}, Raise("another"), resource="gpu", label="first")
    assert first == same and len({first, same}) == 1
    refs = {
        job.ref
        for job in (
            first,
            second,
            Job("draw", {"seed": 1}, NOTHING, (second,)),
            Job("draw", {"seed": 1}, NOTHING, (Job("draw", {"seed": 3}, NOTHING),)),
            Job("other", {"seed": 1}, NOTHING),
        )
    }
    assert len(refs) == 5


@pytest.mark.parametrize("spec", [{"x": float("nan")}, {"x": object()}, {"x": Path("/")}])
def test_a_spec_that_is_not_json_is_refused_when_the_job_is_made(spec: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Job("draw", spec, NOTHING)


def test_pending_puts_each_job_after_its_needs_and_looks_at_nothing_behind_a_finished_one(tmp_path: Path) -> None:
    store, target = Store(tmp_path / "store"), diamond(tmp_path / "log")
    jobs = pending([target, target], store)
    place = {job: number for number, job in enumerate(jobs)}
    assert len(jobs) == len(place) == 1 + 6 + 2 + 1
    assert all(place[need] < place[job] for job in jobs for need in job.needs)
    left = target.needs[0]
    store.write(left.ref, {}, lambda work: None)
    shards_of_right = 3
    assert len(pending([target], store)) == 1 + shards_of_right + 1 + 1
    store.write(target.ref, {}, lambda work: None)
    assert pending([target], store) == []


def test_pending_is_fast_and_deep_chains_are_no_problem(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    chain = draw("0", 0, tmp_path / "log")
    for number in range(1, 10_000):
        chain = Job("draw", {"number": number}, NOTHING, (chain,))
    wide = Job("all", {}, NOTHING, tuple(Job("draw", {"wide": number}, NOTHING, (chain,)) for number in range(10_000)))
    start = time.process_time()
    assert len(pending([wide], store)) == 20_001
    assert time.process_time() - start < 5

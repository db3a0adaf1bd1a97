"""Time and memory of many records: bounds in proportion to those of benchmarks/many_records.py, for a tenth of the records."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import DamagedError
from bench.results import schema
from bench.results.protocols import split_by_protocol
from bench.results.schema import ResultRecord
from bench.statistics import combine_seeds, student
from benchmarks import many_records
from leaderboards.comparison.pairs import NO_NUMBER, paired, paired_each
from tests.leaderboards import runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    root = tmp_path_factory.mktemp("many")
    made = {count: root / str(count) for count in (5_000, 20_000)}
    for count, folder in made.items():
        many_records.make(count, folder)
    return made


def used(command: str, folder: Path, work: Path) -> tuple[float, int]:
    """Processor seconds and megabytes of a command that must succeed."""
    found = many_records.measure(command, folder, work)
    assert found["exit"] == 0 and isinstance(found["cpu"], float) and isinstance(found["megabytes"], int)
    return found["cpu"], found["megabytes"]


def test_a_leaderboard_of_many_records_stays_within_time_and_memory(folders: dict[int, Path], tmp_path: Path) -> None:
    seconds, megabytes = used("leaderboard", folders[20_000], tmp_path)
    assert seconds < 4, "a tenth of the records in 10 s, with room for a busy machine"
    assert megabytes < 190, "500 for ten times as many, of which libraries are 120"


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[pytest.mark.slow] if name != "gate" else []) for name in many_records.COMMANDS]
)
def test_time_grows_with_the_records_and_not_with_their_square(command: str, folders: dict[int, Path], tmp_path: Path) -> None:
    (few, _), (many, _) = (used(command, folders[count], tmp_path) for count in (5_000, 20_000))
    assert many < 6 * few, (few, many)


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def test_time_grows_with_the_protocol_sets_and_not_with_their_square(folders: dict[int, Path]) -> None:
    (record, *_) = schema.read([folders[5_000] / "run-0" / schema.RUN])

    def split(sets: int) -> float:
        made = [
            replace(record, generator=f"g{i}", protocol=f"p{i}", keys={"test": f"t{i}"}, described={}) for i in range(sets)
        ]
        return min(seconds(lambda: split_by_protocol(made)) for _ in range(3))

    few, many = split(300), split(1200)
    assert many < 8 * few, (few, many)


def test_equal_parts_are_recognised_however_lines_are_written(tmp_path: Path) -> None:
    made = list(many_records.make_run(0, 0, np.random.default_rng(0)))[:8]
    schema.write(made, tmp_path / "ours.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "ours.jsonl").read_text().splitlines()]
    ways = {
        "tight": [json.dumps(line, separators=(",", ":")) for line in lines],
        "sorted": [json.dumps(line, sort_keys=True) for line in lines],
        "keys first": [json.dumps({"keys": line["keys"], **line}) for line in lines],
        "a text like a part": [json.dumps({**line, "source": ', "described": {"a": 1}, "keys": {'}) for line in lines],
    }
    for name, written in ways.items():
        (tmp_path / "other.jsonl").write_text("\n".join(written))
        found = list(schema.read([tmp_path / "other.jsonl"]))
        assert [replace(record, source="") for record in found] == made, name
        assert len({id(record.described["generator"]) for record in found}) == 1, name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seed": 0,', '"seed": 0, "seed": 1,'),
        ('"described": {', '"described": {"metric": {}, '),
        ('"keys": {', '"keys": {"test": "x", '),
        ('"schema": 1', '"schema": 1, "value": 0.5'),
        ('"schema": 1', '"schema": 1, "described": {}'),
        ('"keys": {', '"keys": {}, "keys": {'),
        ('"steps": 1000', '"steps": 1e400'),
        ('"origin": "trained"', '"origin": "found"'),
        ('"test": "', '"test": 1, "other": "'),
        ('"name": "fd"', '"name": 1'),
    ],
)
def test_each_part_of_a_line_is_checked(old: str, new: str, tmp_path: Path) -> None:
    good = schema.to_json(next(many_records.make_run(0, 0, np.random.default_rng(0))))
    assert old in good
    (tmp_path / "r.jsonl").write_text(f"{good}\n{good.replace(old, new, 1)}\n")
    with pytest.raises(DamagedError, match=r"r\.jsonl:2"):
        list(schema.read([tmp_path / "r.jsonl"]))


def test_few_seeds_are_combined_as_numpy_adds_them() -> None:
    rng = np.random.default_rng(0)
    for count in (*range(2, 12), 40):
        values, halves = rng.uniform(0.4, 0.6, count), rng.uniform(0.01, 0.05, (2, count))
        found = combine_seeds(values.tolist(), (values - halves[0]).tolist(), (values + halves[1]).tolist())
        between = float(np.var(values, ddof=1)) / count
        for bound, apart in ((found.low, values - (values - halves[0])), (found.high, (values + halves[1]) - values)):
            within = float(np.mean(apart**2)) / student(math.inf) ** 2
            half = student((count - 1) * ((within + between) / between) ** 2) * math.sqrt(within + between)
            assert bound == found.value + (half if bound is found.high else -half)


@pytest.mark.parametrize("command", many_records.COMMANDS)
def test_each_command_ends_in_time_and_memory(command: str, folders: dict[int, Path], tmp_path: Path) -> None:
    found = many_records.measure(command, folders[5_000], tmp_path)
    assert found["exit"] == 0 and isinstance(found["cpu"], float) and isinstance(found["megabytes"], int)
    assert found["cpu"] < 20 and found["megabytes"] < 400, found


def test_pairs_that_are_computed_together_are_those_of_one_by_one() -> None:
    sides: list[list[ResultRecord]] = []
    for name in ("a", "b", "c", "d"):
        made = runs.run(name, noise=name, seeds=3)
        sides += [[record for record in made if record.measure == "fd"], made[:3], made[:1]]
    sides.append([])
    pairs = [(one, other) for one in sides for other in sides]
    for (one, other), found in zip(pairs, paired_each(pairs), strict=True):
        assert found == (paired(one, other) if one and other else NO_NUMBER)


def test_records_do_not_share_what_differs(tmp_path: Path) -> None:
    made = list(many_records.make_run(0, 0, np.random.default_rng(0)))
    schema.write(made, tmp_path / "r.jsonl")
    assert list(schema.read([tmp_path / "r.jsonl"])) == made

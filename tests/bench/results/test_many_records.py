"""Time and memory of many records: bounds in proportion to those of benchmarks/many_records.py, for a tenth of the records."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from bench.results import schema
from bench.results.schema import ResultRecord
from benchmarks import many_records
from leaderboards.comparison.pairs import paired, paired_each
from leaderboards.tables import build, reading
from tests.leaderboards import runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    root = tmp_path_factory.mktemp("many")
    made = {count: root / str(count) for count in (5_000, 20_000)}
    for count, folder in made.items():
        many_records.make(count, folder)
    return made


def seconds(folder: Path) -> float:
    begun = time.process_time()
    assert build.boards(reading.read_records([folder]))
    return time.process_time() - begun


def test_time_grows_with_the_records_and_not_with_their_square(folders: dict[int, Path]) -> None:
    seconds(folders[5_000])  # imports
    few, many = seconds(folders[5_000]), seconds(folders[20_000])
    assert many < 8 * few, (few, many)
    assert many < 6, "a tenth of the records in 10 s, with room for a slow and busy machine"


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
        assert found == paired(one, other)


def test_records_do_not_share_what_differs(tmp_path: Path) -> None:
    made = list(many_records.make_run(0, 0, np.random.default_rng(0)))
    schema.write(made, tmp_path / "r.jsonl")
    assert list(schema.read([tmp_path / "r.jsonl"])) == made

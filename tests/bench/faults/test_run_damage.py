"""Every file of a finished run damaged in every way: the same command heals the store and ends with the same records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.jobs.arrays import check_entry
from bench.jobs.store import EntryRef, Store
from tests.bench.faults.damage import DAMAGES
from tests.small_run import WORDS, bench

RUN = ["run", "-g", "blur", "--controls", "none", "--seeds", "0", *WORDS, "--json"]
KINDS = ("data", "weights", "generated", "samples", "encoded", "features", "measured")


def records(home: Path) -> list[dict[str, Any]]:
    done = bench(*RUN, "--out", home.parent / "out", home=home)
    assert done.exit_code == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: value for name, value in record.items() if name != "stamp"} for record in found]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage") / "home"


@pytest.fixture(scope="module")
def expected(home: Path) -> list[dict[str, Any]]:
    return records(home)


def files_of(entry: Path, of: str) -> list[Path]:
    """The `entry.json` of an entry, or its other files, chunks of arrays among them."""
    return [
        file for file in sorted(entry.rglob("*")) if file.is_file() and (file.name == "entry.json") == (of == "entry.json")
    ]


@pytest.mark.parametrize("of", ["entry.json", "content"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_heals(damage: str, of: str, home: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    """One file of each entry, another one for each kind of damage, so that all are met."""
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    for kind in ("measured", "features"):  # what reads the others is made again
        shutil.rmtree(mine / kind)
    number = list(DAMAGES).index(damage)
    for entry in sorted(mine.glob("*/*")):
        files = files_of(entry, of)
        DAMAGES[damage](files[number % len(files)])
    assert records(mine) == expected
    listed = bench("cache", "list", home=mine)
    assert listed.exit_code == 0 and not listed.stderr, "no entry is left that cannot be read"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_entry_is_found_damaged_and_made_again(
    kind: str, home: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    """All files of all entries of a kind: also those that only the driver reads, to open data, to draw and to list."""
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    for file in (file for entry in sorted(mine.glob(f"{kind}/*")) for file in files_of(entry, "content")):
        DAMAGES["one bit"](file)
    if kind in ("generated", "weights", "encoded"):
        for dependant in ("generated", "samples", "encoded", "features", "measured"):
            if dependant != kind:
                shutil.rmtree(mine / dependant)
    assert records(mine) == expected
    for entry in Store(mine).entries().entries:
        if kind != "data":  # of the splits, only what a run reads is read
            check_entry(Store(mine), entry.ref)


@pytest.mark.parametrize("at", ["data/*", "measured/*", "generated", ".in-use"])
@pytest.mark.parametrize("what", ["file", "link", "fifo", "folder"])
def test_something_else_in_the_place_of_an_entry_or_a_folder(
    at: str, what: str, home: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    if at == "generated":
        shutil.rmtree(mine / "measured"), shutil.rmtree(mine / "features"), shutil.rmtree(mine / "encoded")
        shutil.rmtree(mine / "samples")
    damage = DAMAGES[{"file": "text", "link": "link to nothing"}.get(what, what)]
    (mine / ".in-use").mkdir(exist_ok=True)
    for place in sorted(mine.glob(at)):
        shutil.rmtree(place)
        place.touch()
        damage(place)
    if at == "generated" and what != "folder":
        done = bench(*RUN, "--out", tmp_path / "out", home=mine)
        assert done.exit_code == 3 and "generated is in the way" in done.stderr and "Traceback" not in done.stderr
    else:
        assert records(mine) == expected
    for words in (["list"], ["size"], ["verify"], ["prune", "--keep", "0"]):
        done = bench("cache", *words, home=mine)
        assert done.exit_code == 0, done.stderr
        if at == "generated" and what != "folder":
            assert "generated: not a folder of entries" in done.stderr


@pytest.mark.parametrize("what", ["text", "link to nothing", "link to itself", "fifo"])
def test_something_else_in_the_place_of_the_store(what: str, tmp_path: Path) -> None:
    mine = tmp_path / "home"
    mine.touch()
    DAMAGES[what](mine)
    done = bench(*RUN, "--out", tmp_path / "out", home=mine)
    assert done.exit_code == 3 and f"cannot write to the store {mine}" in done.stderr
    for words in (["list"], ["size"], ["verify"], ["prune"]):
        done = bench("cache", *words, home=mine)
        assert done.exit_code == 0 and f"{mine}: not a folder of entries" in done.stderr


def test_a_missing_chunk_of_strings_is_damage_and_not_empty_strings(home: Path, expected: Any, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    for chunk in (tmp_path / "home").glob("data/*/groups/c/0/0"):
        chunk.unlink()
    assert records(tmp_path / "home") == expected


def test_verify_names_what_is_damaged_and_remove_frees_it(home: Path, expected: Any, tmp_path: Path) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    assert bench("cache", "verify", home=mine).exit_code == 0
    chunk = next(file for file in sorted(mine.glob("generated/*/images/c/**/*")) if file.is_file())
    DAMAGES["one bit"](chunk)
    (mine / "data" / "empty").mkdir()
    done = bench("cache", "verify", home=mine)
    ref = EntryRef("generated", chunk.relative_to(mine).parts[1])
    assert done.exit_code == 3 and f"{ref} of the store is damaged" in done.stderr and "data/empty: no entry" in done.stderr
    assert bench("cache", "verify", "--remove", home=mine).exit_code == 0
    assert not Store(mine).has(ref) and bench("cache", "verify", home=mine).exit_code == 0
    assert records(mine) == expected


def test_a_byte_of_a_shard_is_never_in_a_number(home: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    """Shards that are kept, and nothing behind them: what an interrupted run leaves."""
    shutil.copytree(home, tmp_path / "home")
    for kind in ("samples", "features", "measured"):
        shutil.rmtree(tmp_path / "home" / kind)
    rng = np.random.default_rng(0)
    for kind in ("generated", "encoded"):
        for chunk in (tmp_path / "home").glob(f"{kind}/*/*/c/**/0"):
            if chunk.is_file():
                held = bytearray(chunk.read_bytes())
                held[int(rng.integers(len(held)))] ^= 1 << int(rng.integers(8))
                chunk.write_bytes(held)
    assert records(tmp_path / "home") == expected

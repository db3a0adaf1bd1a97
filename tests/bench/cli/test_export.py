"""`bench export`: what was generated comes out as it was, from the store or generated again."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.results import schema
from tests.small_run import SMALL, WORDS, bench, export_conditions, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of two generators and its store."""
    home = tmp_path_factory.mktemp("export") / "home"
    return run("-g", "blur", *WORDS, "--controls", "real", "--seeds", "0", home=home, out=home.parent / "results"), home


def digests(out: Path, generator: str) -> dict[str, str]:
    """id -> digest of the pixels of every PNG."""
    files = (out / f"{generator}-seed0" / "samples").glob("*.png")
    return {file.stem.replace("__", "/"): sha256(np.asarray(Image.open(file)).tobytes()).hexdigest() for file in files}


def recorded(folder: Path, generator: str) -> dict[str, str]:
    with (folder / "patches.csv").open() as stream:
        return {row["id"]: row["sha256"] for row in csv.DictReader(stream) if row["generator"] == generator}


def test_samples_are_the_patches_of_the_manifest(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, home = made
    done = bench("export", "samples", folder, "--out", tmp_path / "png", home=home)
    assert done.exit_code == 0 and done.stdout.split() == [str(tmp_path / "png" / f"{g}-seed0") for g in ("blur", "real")]
    for generator in ("blur", "real"):
        assert digests(tmp_path / "png", generator) == recorded(folder, generator) != {}


@pytest.mark.parametrize("kinds", [("generated",), ("samples",), ("generated", "samples", "weights", "data")])
def test_samples_that_are_gone_are_generated_again(made: tuple[Path, Path], tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """Also where the numbers made from them are all still in the store."""
    folder, home = made
    shutil.copytree(home, tmp_path / "home")
    for kind in kinds:
        shutil.rmtree(tmp_path / "home" / kind)
    done = bench("export", "samples", folder, "--out", tmp_path / "png", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert digests(tmp_path / "png", "blur") == recorded(folder, "blur")


def test_samples_that_cannot_be_made_again_are_reported_missing(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, home = made
    shutil.copytree(folder, tmp_path / "run")
    records = list(schema.read([folder / "results.jsonl"]))
    for key in ("0" * 20, "../../run"):
        others = [replace(record, keys={**record.keys, "samples": key}) for record in records]
        schema.write(others, tmp_path / "run" / "results.jsonl")
        done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "png", home=home)
        assert done.exit_code == 3 and "bench verify" in done.stderr
    schema.write([replace(record, keys={}) for record in records], tmp_path / "run" / "results.jsonl")
    done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "png", home=home)
    assert done.exit_code == 3 and "nothing was generated" in done.stderr
    (tmp_path / "run" / "results.jsonl").unlink()
    done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "png", home=home)
    assert done.exit_code == 3 and "results.jsonl" in done.stderr
    assert not (tmp_path / "png").exists()


def test_names_from_records_lead_nowhere_else(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, home = made
    shutil.copytree(folder, tmp_path / "run")
    records = [replace(record, generator="../../out") for record in schema.read([folder / "results.jsonl"])]
    schema.write(records[:1], tmp_path / "run" / "results.jsonl")
    done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "a" / "b", home=home)
    assert done.exit_code == 0 and [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["..__..__out-seed0"]


@pytest.mark.parametrize(
    "change", [{"seed": "0/../../../evil"}, {"generator": "x\\..\\evil"}, {"generator": "x" * 400}, {"generator": "a\0b"}]
)
def test_names_that_are_no_names_of_files_are_refused(
    change: dict[str, object], made: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, home = made
    shutil.copytree(folder, tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    (tmp_path / "run" / "results.jsonl").write_text(json.dumps({**lines[0], **change}) + "\n")
    before = sorted(tmp_path.rglob("*"))
    done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "a" / "b", home=home)
    assert done.exit_code == 3 and done.stderr, done.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", [["a"], 7, "a" * 4000, "é", "..", "a/../../b"])
def test_keys_that_are_no_keys_are_refused(key: object, made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, home = made
    shutil.copytree(folder, tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    (tmp_path / "run" / "results.jsonl").write_text(json.dumps({**lines[0], "keys": {"samples": key}}) + "\n")
    done = bench("export", "samples", tmp_path / "run", "--out", tmp_path / "png", home=home)
    assert done.exit_code == 3 and done.stderr and not (tmp_path / "png").exists()


def test_conditions_are_those_of_the_run(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, home = made
    done = bench("export", "conditions", "-t", "cam16-seg", "--out", tmp_path / "asked", *SMALL, home=home)
    assert done.exit_code == 0, done.stderr
    with (tmp_path / "asked" / "conditions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["id"] for row in rows if row["split"] == "test"} == set(recorded(folder, "blur"))
    assert {row["split"] for row in rows} == {"train", "test"} and all(row["prompt_source"] == "slide" for row in rows)


def test_conditions_of_the_splits_that_a_run_needs(tmp_path: Path) -> None:
    rows = export_conditions(tmp_path, "-t", "cam16-seg", *SMALL, "--splits", "test")
    assert {row["split"] for row in rows} == {"test"} and len(rows) == 24
    refused = bench("export", "conditions", "-t", "cam16-seg", "--splits", "tests", "--out", tmp_path / "no", home=tmp_path)
    assert refused.exit_code == 2 and "--splits takes train and test, not 'tests'" in refused.stderr

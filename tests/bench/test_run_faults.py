"""Whole runs with faults: generators that fail, killed and parallel processes, damaged files of the store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.jobs.store import Store
from bench.pipeline.generation import generated_ref
from bench.results.schema import ResultRecord
from bench.types import Images, Strings, image_seeds
from tests.command_run import CRASHES, FAST, bench, run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "home"


@pytest.fixture(scope="module")
def generated(home: Path) -> list[ResultRecord]:
    return run("--generator", "flat-colour", *FAST, home=home)


def generated_patches(home: Path) -> list[tuple[Strings, Images]]:
    """Ids and images of each generated set that is in the store."""
    store = Store(home)
    listed = (json.loads(file.read_bytes()) for file in home.glob("samples/*/samples.json"))
    sets = (generated_ref(one).load(store) for one in listed)
    return [(np.asarray(made.conditions.ids), np.asarray(made.images)) for made in sets]


@pytest.fixture
def plugin(home: Path) -> Path:
    (home.parent / "plugin.py").write_text(CRASHES)
    return home.parent / "plugin.py"


def test_crashing_generator_gives_error_cells_and_its_neighbours_numbers(home: Path, plugin: Path) -> None:
    done = bench("run", "-t", "cam16-seg", "-g", f"{plugin}:Crashes", "--json", *FAST, home=home)
    assert done.returncode == 4
    assert "RuntimeError: out of generate" in done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    mine = [r for r in lines if r["generator"] == "crashes"]
    needs_none = [r for r in mine if r["mix"] == "real" or r["measure"] == "fd-lower-reference"]
    assert needs_none and not any(r["status"] == "error" for r in needs_none), "no generated patch is needed for them"
    lost = [r for r in mine if r not in needs_none]
    assert lost and all(r["status"] == "error" and "out of generate" in r["reason"] for r in lost)
    assert {(r["measure"], r["mix"]) for r in lost} >= {("fd", ""), ("iou", "synthetic"), ("iou", "real+synthetic")}
    assert any(r["generator"] == "real" and r["status"] == "ok" for r in lines)


def test_generator_that_breaks_while_fitted_loses_its_own_cells_only(home: Path, plugin: Path) -> None:
    done = bench(
        "run", "-t", "cam16-seg", "-g", f"{plugin}:CannotFit", "--json", "--no-downstream", *FAST, "--seeds", "0,1", home=home
    )
    assert done.returncode == 4
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert [r["measure"] for r in lines if r["generator"] == "cannot-fit"].count("fd-normalised") == 2
    status = {(r["generator"], r["status"]) for r in lines if not r["measure"].startswith("fd-")}
    assert status == {("cannot-fit", "error"), ("real", "ok"), ("noise", "ok")}
    assert "RuntimeError: out of memory" in done.stderr


def test_wrong_shape_is_named(home: Path, plugin: Path) -> None:
    done = bench("run", "-t", "cam16-seg", "-g", f"{plugin}:Wrong", *FAST, home=home)
    assert done.returncode == 4
    assert "uint8 (64, 8, 8, 3); a generator returns uint8 (64, 64, 64, 3)" in done.stderr


def test_killed_sampling_goes_on_with_the_same_result(home: Path, plugin: Path, tmp_path: Path) -> None:
    many = [word.replace("per_slide=14", "per_slide=64").replace("train_slides=8", "train_slides=1") for word in FAST]
    words = [
        "run",
        "-t",
        "cam16-seg",
        "-g",
        f"{plugin}:Slow",
        "--json",
        "--no-downstream",
        "--controls",
        "none",
        *many,
        "-o",
        "size=32",
    ]
    environment = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    process = subprocess.Popen(program, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "generated.log"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # a folder whose name begins with a dot was killed just before its rename
    finished = len(list((tmp_path / "home").glob("generated/[!.]*/entry.json")))
    assert finished >= 2
    log.unlink()
    done = bench(*words, home=tmp_path / "home", cwd=tmp_path)
    assert len(log.read_text().splitlines()) == 6 - finished, "finished shards were kept"
    assert done.returncode == 0 and done.stdout
    ((ids, images),) = generated_patches(tmp_path / "home")
    assert np.array_equal(images[:, 0, 0, 0], image_seeds(0, ids) % 251)


def test_two_runs_at_once_on_one_cache(tmp_path: Path) -> None:
    environment = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    words = ["run", "-t", "cam16-seg", "-g", "blur", "--json", "--no-downstream", "--out", str(tmp_path / "out"), *FAST]
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    both = [subprocess.Popen(program, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    message = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    values = [[json.loads(text)["value"] for text in lines.splitlines()] for lines in message]
    assert values[0] == values[1] and len(values[0]) == 27


def test_workers_generate_the_same_bytes(plugin: Path, tmp_path: Path) -> None:
    many = [word.replace("per_slide=14", "per_slide=24") for word in FAST]
    words = ["--generator", f"{plugin}:Where", "--no-downstream", "--controls", "none", *many]
    log = plugin.with_name("pids.log")
    values, images, processes = [], [], []
    for workers in ("1", "2"):
        log.unlink(missing_ok=True)
        (tmp_path / workers).mkdir()
        home = tmp_path / workers / "home"
        values.append([r.value for r in run(*words, "--workers", workers, home=home)])
        ((_, made),) = generated_patches(home)
        images.append(made)
        processes.append(log.read_text().splitlines())
    assert values[0] == values[1] and values[0]
    assert np.array_equal(*images)
    assert [len(shards) for shards in processes] == [3, 3], "each shard was generated once"
    assert [len(set(shards)) for shards in processes] == [1, 2], "two workers shared the shards"


def damage(file: Path) -> bytes:
    """The contents of a file before its last bytes were changed."""
    whole = file.read_bytes()
    file.write_bytes(whole[:-7] + b"damaged")
    return whole


@pytest.mark.parametrize("forgotten", [("encoded", "features", "measured"), ()], ids=["measured again", "only drawn"])
def test_damaged_patches_are_noticed_where_they_are_read_and_generated_again(
    forgotten: tuple[str, ...], generated: list[ResultRecord], home: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    key = next(r.keys["samples"] for r in generated if r.generator == "flat-colour" and "samples" in r.keys)
    shards = json.loads((mine / "samples" / key / "samples.json").read_bytes())["shards"]
    chunk = next(file for file in mine.joinpath(*shards[0], "images", "c").rglob("*") if file.is_file())
    whole = damage(chunk)
    for kind in forgotten:
        shutil.rmtree(mine / kind)
    again = run("--generator", "flat-colour", *FAST, home=mine)
    assert chunk.read_bytes() == whole
    assert [r.value for r in again] == [r.value for r in generated]


def test_a_damaged_number_is_measured_again(generated: list[ResultRecord], home: Path, tmp_path: Path) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    for file in mine.glob("measured/*/estimates.json"):
        damage(file)
    done = bench("run", "--task", "cam16-seg", "--json", "--generator", "flat-colour", *FAST, home=mine)
    assert done.returncode == 0, done.stderr
    assert "is damaged; it is removed and made again" in done.stderr
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [r.value for r in generated]

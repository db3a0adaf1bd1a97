"""The manifest of a run: what it lists can be checked by hand, and the same run writes the same one."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.config import RunConfig
from bench.errors import DamagedError, MissingError
from bench.jobs.arrays import open_array
from bench.jobs.store import EntryRef, Store
from bench.provenance import environment, manifest
from bench.provenance.digests import digest_of_array, digest_of_patch, root_digest
from bench.results import schema
from bench.runtime.process import cores
from tests.small_run import WORDS, bench, run

ASKED = ["-g", "blur", "-o", "sigma=1.5", *WORDS, "--controls", "real", "--seeds", "0,3"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifest") / "home"


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return run(*ASKED, home=home, out=home.parent / "results")


@pytest.fixture(scope="module")
def held(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_file_of_the_run_has_its_digest(folder: Path, held: dict[str, Any]) -> None:
    assert set(held["files"]) == {"results.jsonl", "patches.csv", "table.txt", "picture.png"}
    assert all(sha((folder / name).read_bytes()) == digest for name, digest in held["files"].items())


def array(folder: Path, name: str) -> Any:
    return np.asarray(open_array(Store(folder.parents[1]), EntryRef(folder.parent.name, folder.name), name))


def test_every_generated_patch_is_listed_with_the_digest_of_its_pixels(
    home: Path, folder: Path, held: dict[str, Any], tmp_path: Path
) -> None:
    rows = list(csv.DictReader((folder / "patches.csv").open()))
    assert len(rows) == 2 * 2 * 24
    assert bench("export", "samples", folder, "--out", tmp_path, home=home).exit_code == 0
    for entry in held["samples"]:
        mine = [r for r in rows if (r["generator"], r["seed"]) == (entry["generator"], str(entry["seed"]))]
        exported = tmp_path / f"{entry['generator']}-seed{entry['seed']}" / "samples"
        for row in mine:
            with Image.open(exported / f"{row['id'].replace('/', '__')}.png") as image:
                assert row["sha256"] == sha(np.asarray(image.convert("RGB")).tobytes())
        assert entry["digest"] == sha("".join(f"{r['id']} {r['sha256']}\n" for r in mine).encode())
        assert (entry["part"], entry["patches"]) == ("test", 24)
    assert [(e["generator"], e["seed"]) for e in held["samples"]] == [("blur", 0), ("blur", 3), ("real", 0), ("real", 3)]


def test_data_weights_and_features_have_their_digests(home: Path, held: dict[str, Any]) -> None:
    assert {name: split["patches"] for name, split in held["data"]["splits"].items()} == {
        "train": 24,
        "validation": 8,
        "test": 24,
        "holdout": 24,
    }
    key = held["data"]["splits"]["test"]["key"]
    test = next(f.parent for f in home.glob("data/*/set.json") if json.loads(f.read_text())["key"] == key)
    ids, images = array(test, "ids").tolist(), array(test, "images")
    listed = "".join(f"{name} {sha(image.tobytes())}\n" for name, image in zip(ids, images, strict=True))
    assert held["data"]["test"]["images"] == sha(listed.encode())
    assert {"masks", "groups"} < set(held["data"]["test"])
    weights = {sha(f.read_bytes()) for f in home.glob("weights/*/*.npy")}
    assert held["weights"]["blur"]["origin"] == "trained"
    assert weights == {digest for entry in held["weights"].values() for digest in entry["files"].values()}
    features = [array(f.parent, "features") for f in home.glob("encoded/*/features")]
    assert {digest_of_array(values) for values in features} == {entry["digest"] for entry in held["features"]}
    samples = {entry["key"] for entry in held["samples"]}
    assert {key, *samples} <= {entry["images"] for entry in held["features"]}


def test_the_config_comes_back_as_it_was_asked(held: dict[str, Any]) -> None:
    found = manifest.config_of(held)
    assert isinstance(found, RunConfig)
    assert (found.generator, found.data, found.seeds, found.controls) == ("blur", "embedded", (0, 3), ("real",))
    assert found.encoders == ("stain",) and found.metrics == ("fd", "precision") and not found.downstream
    assert found.options["sigma"] == "1.5" and found.options["dataset.per_slide"] == "4"
    assert held["described"]["generators"]["blur"]["options"] == {"sigma": 1.5}
    with pytest.raises(MissingError, match="moons"):
        manifest.config_of({"config": {**held["config"], "moons": 3}})


def test_numbers_that_are_missing_are_listed_with_their_reasons(folder: Path, held: dict[str, Any]) -> None:
    records = list(schema.read([folder / "results.jsonl"]))
    missing = [record for record in records if record.status != "ok"]
    assert missing and [entry["reason"] for entry in held["failures"]] == [record.reason for record in missing]
    assert held["records"]["count"] == len(records)
    other = [replace(records[0], value=(records[0].value or 0.0) + 1e-12), *records[1:]]
    assert held["records"]["digest"] == manifest.digest_of_records(records) != manifest.digest_of_records(other)


def test_environment_names_versions_code_and_machine(held: dict[str, Any]) -> None:
    made = held["environment"]
    assert {"python", "histobench", "numpy", "torch", "diffusers"} <= set(made["versions"])
    assert made["device"] and made["precision"] and made["threads"] >= 1 and len(made["code"]) == 64
    assert not environment.differences(made, {**made, "commit": "another", "cores": 512})
    other = {**made, "threads": 99, "versions": {**made["versions"], "numpy": "0.1"}}
    assert environment.differences(made, other) == {
        "threads": (made["threads"], 99),
        "numpy": (made["versions"]["numpy"], "0.1"),
    }


def test_threads_are_those_the_libraries_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment.environment()["threads"] == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment.environment()["threads"] == cores()
    assert environment.environment([1])["threads"] == 1 and environment.environment([2, 1, 2])["threads"] == [1, 2]


def test_the_same_run_writes_the_same_manifest(home: Path, folder: Path, held: dict[str, Any], tmp_path: Path) -> None:
    """From nothing in another place, and from the cache: apart from times and the stamps of records."""
    for place in (tmp_path / "home", home):
        other = run(*ASKED, home=place, out=tmp_path / "results")
        again = json.loads((other / "manifest.json").read_text())
        assert (other / "patches.csv").read_bytes() == (folder / "patches.csv").read_bytes()
        for entry in (again, one := json.loads(json.dumps(held))):
            assert set(entry.pop("times")) == {"begun", "ended", "seconds"}
            entry["files"].pop("results.jsonl")
        assert again == one


def test_times_are_those_of_the_phases(held: dict[str, Any]) -> None:
    seconds = held["times"]["seconds"]
    assert list(seconds) == ["data", "jobs", "write"]
    assert all(spent >= 0 for spent in seconds.values()) and seconds["data"] > 0
    assert held["times"]["begun"] <= held["times"]["ended"]


def test_another_option_is_another_manifest(home: Path, held: dict[str, Any], tmp_path: Path) -> None:
    words = ["sigma=2.5" if word == "sigma=1.5" else word for word in ASKED]
    other = json.loads((run(*words, home=home, out=tmp_path) / "manifest.json").read_text())
    digests = [{e["generator"]: e["digest"] for e in found["samples"]} for found in (held, other)]
    assert digests[0]["blur"] != digests[1]["blur"] and digests[0]["real"] == digests[1]["real"]
    assert held["data"] == other["data"] and held["weights"] == other["weights"]


def test_a_plugin_from_a_file_has_the_digest_of_its_file(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nfrom bench.types import Card\n\n"
        "class Flat:\n    card = Card('flat', '1', 'Grey.')\n\n"
        "    def generate(self, conditions, seeds):\n"
        "        return np.full((len(conditions), conditions.size, conditions.size, 3), 128, np.uint8)\n"
    )
    made = run("-g", f"{file}:Flat", *WORDS, "--controls", "none", "--seeds", "0", home=home, out=tmp_path / "results")
    held = manifest.read(made)
    assert held["described"]["generators"][f"{file}:Flat"]["source"] == sha(file.read_bytes())
    assert "source" not in set(held["described"]["task"])


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no manifest.json"):
        manifest.read(tmp_path)
    for content in ("{", "[]", '{"schema": 99}', '{"schema": 2, "config": {}}'):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(DamagedError):
            manifest.read(tmp_path)
    assert bench("verify", tmp_path, home=tmp_path).exit_code == 3


def test_ten_thousand_patches_are_listed_in_a_second() -> None:
    images = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None], (10_000, 64, 64, 3))
    started = time.process_time()
    found = {f"test-{number:05d}": digest_of_patch(image) for number, image in enumerate(images)}
    root_digest(found)
    assert len(found) == 10_000 and time.process_time() - started < 1.0

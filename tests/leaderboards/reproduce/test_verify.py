"""`bench verify` on real small runs: what holds is reported to hold, and each way of tampering is found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.provenance.digests import digest_of, digest_of_patch
from bench.provenance.manifest import SampleDigests
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.runtime.process import threads
from bench.types import Conditions, ImageSet
from leaderboards.reproduce import matching
from tests.leaderboards.reproduce.recorded_run import Place, failing, message, moved
from tests.small_run import SMALL, WORDS, bench, run
from tests.tasks import small_folder

ASKED = ["-g", "blur", *WORDS, "--controls", "real", "--seeds", "0,1"]
DOCS = Path(__file__).parents[3] / "docs" / "provenance.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("verify") / "home"
    return Place(run(*ASKED, home=home, out=home.parent / "results"), home)


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    shutil.copytree(made.home, tmp_path / "home")
    shutil.copytree(made.folder, tmp_path / made.folder.name)
    return Place(tmp_path / made.folder.name, tmp_path / "home")


def test_an_untouched_run_holds_and_is_left_alone(made: Place) -> None:
    before = {f: f.stat().st_mtime_ns for f in (*made.home.rglob("*.json"), *made.folder.iterdir())}
    code, found = made.verify("--sample", "5")
    assert (code, found["outcome"], found["elsewhere"]) == (0, "holds", {})
    for name in ("blur", "real"):
        for seed in (0, 1):
            assert message(found, f"patches {name} seed {seed}") == [("holds", "5 of 24 patches generated again, bit-equal")]
            assert message(found, f"kept patches {name} seed {seed}") == [("holds", "in the store, all 24 as recorded")]
    records = list(schema.read([made.folder / "results.jsonl"]))
    numbers = [record for record in records if record.value is not None]
    assert 0 < len(numbers) < len(records) and found["confirmed"] == len(numbers)
    rest = f"{len(records) - len(numbers)} without a value, as recorded"
    assert message(found, "numbers") == [("holds", f"{len(numbers)} made again from kept patches, bit-equal, {rest}")]
    assert {f: f.stat().st_mtime_ns for f in (*made.home.rglob("*.json"), *made.folder.iterdir())} == before


def test_a_manifest_lists_no_other_files_than_those_of_a_run(place: Place, tmp_path: Path) -> None:
    """No file elsewhere is read, even if its digest is right."""
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    file = place.folder / "manifest.json"
    held = json.loads(file.read_text())
    names = (str(secret), "../secret.txt", "notes.txt")
    file.write_text(json.dumps({**held, "files": {**held["files"], **{name: digest_of(secret) for name in names}}}))
    code, found = place.verify("--sample", "0")
    assert code == 4 and failing(found) == list(names)


def test_a_tampered_number_is_found_by_its_file_and_by_itself(place: Place) -> None:
    place.record(0, value=0.001, low=0.0, high=0.002)
    code, found = place.verify()
    assert code == 4 and failing(found) == ["results.jsonl", "blur fd stain seed 0"]
    place.manifest(lambda held: None)  # whoever writes numbers can write digests
    code, found = place.verify()
    assert code == 4 and failing(found) == ["blur fd stain seed 0"]
    assert "0.001 recorded" in message(found, "blur fd stain seed 0")[0][1]


@pytest.mark.parametrize(
    "change", [{"low": 0.0}, {"replicates": ()}, {"n": 25}, {"flags": ()}, {"status": "ok", "measure": "fid"}]
)
def test_what_stands_beside_a_number_counts_too(place: Place, change: dict[str, object]) -> None:
    place.record(0, **change)
    place.manifest(lambda held: None)
    code, found = place.verify("--sample", "0")
    assert code == 4 and failing(found)[0].startswith("blur f")


def test_a_tampered_patch_in_the_store_is_found(place: Place) -> None:
    place.patches(lambda images: images[3].fill(0))
    code, found = place.verify("--sample", "0")
    assert code == 4 and failing(found) == ["kept patches blur seed 0"]
    assert "1 changed: test-000/003" in message(found, "kept patches blur seed 0")[0][1]
    assert any(check["outcome"] == "not-done" and "not in this store" in check["message"] for check in found["checks"])


def test_a_patch_recorded_otherwise_is_found_by_generating_it_again(place: Place) -> None:
    row = 7
    name = place.recorded_otherwise(3, row)
    drawn = {seed: row in np.random.default_rng(seed).choice(24, 4, replace=False) for seed in range(60)}
    hit, miss = (next(seed for seed, there in drawn.items() if there is wanted) for wanted in (True, False))
    code, found = place.verify("--sample", "4", "--seed", hit)
    assert code == 4 and "patches blur seed 0" in failing(found)
    assert f"1 differ ({name}) by at most 3 of 255" in message(found, "patches blur seed 0")[0][1]
    assert "patches blur seed 0" not in failing(place.verify("--sample", "4", "--seed", miss)[1])


def test_rows_of_patches_that_the_manifest_does_not_stand_for_are_found(place: Place) -> None:
    text = (place.folder / "patches.csv").read_text()
    (place.folder / "patches.csv").write_text(text.replace("blur,0,test,test-000/001,", "blur,0,test,test-000/001,0"))
    code, found = place.verify("--sample", "0")
    assert code == 4 and {"patches.csv", "patches blur seed 0"} <= set(failing(found))


def test_a_changed_weight_file_is_found(place: Place) -> None:
    key = next(f.parent.name for f in place.home.glob("weights/*/entry.json") if '"blur"' in f.read_text())
    place.entry("weights", key, "images.npy", lambda images: images.fill(9))
    code, found = place.verify()
    assert code == 4 and {"weights blur", "patches blur seed 0", "patches blur seed 1"} <= set(failing(found))
    assert message(found, "weights real")[0] == ("holds", "from the store")


def test_weights_that_are_gone_are_trained_again(place: Place) -> None:
    shutil.rmtree(place.home / "weights")
    code, found = place.verify()
    assert code == 0 and message(found, "weights blur") == [("holds", "trained again now")]


def test_other_data_are_not_comparable(place: Place) -> None:
    place.manifest(lambda held: held["config"]["options"].update({"dataset.per_slide": "5"}))
    code, found = place.verify()
    assert code == 7 and found["outcome"] == "not-comparable" and found["confirmed"] == 0
    assert "splits.train.patches was 24, is 30" in message(found, "data")[0][1]


def test_patches_of_the_test_set_that_changed_are_not_comparable(place: Place) -> None:
    key = json.loads((place.folder / "manifest.json").read_text())["data"]["splits"]["test"]["key"]
    test = next(f.parent.name for f in place.home.glob("data/*/set.json") if key in f.read_text())
    place.entry("data", test, "images", lambda images: images[0].fill(0))
    code, found = place.verify()
    assert code == 7 and "test.images was" in message(found, "data")[0][1]


def test_another_version_of_a_plugin_is_not_comparable(place: Place) -> None:
    place.manifest(lambda held: held["described"]["metrics"][0].update(version="0"))
    code, found = place.verify()
    assert code == 7 and message(found, "metric fd")[0][1].startswith("was fd 0, is fd ")


@pytest.mark.parametrize("metrics", [None, ["all"]])
def test_other_defaults_than_those_of_then_change_nothing(place: Place, metrics: list[str] | None) -> None:
    place.manifest(lambda held: held["config"].update(metrics=metrics))
    code, found = place.verify()
    assert code == 0 and found["outcome"] == "holds", found


def test_a_plugin_whose_content_changed_fails(place: Place) -> None:
    place.manifest(lambda held: held["described"]["encoders"]["stain"].update(digest="0" * 20))
    code, found = place.verify("--sample", "0")
    assert code == 4 and failing(found) == ["encoder stain"]


def test_without_kept_patches_all_generates_them(place: Place) -> None:
    shutil.rmtree(place.home / "samples")
    code, found = place.verify("--sample", "2")
    assert code == 0 and found["confirmed"] == 0
    assert message(found, "numbers")[0][0] == "not-done" and "--all generates them" in message(found, "numbers")[0][1]
    code, found = place.verify("--all")
    assert code == 0 and found["confirmed"] > 0
    assert message(found, "patches real seed 1") == [("holds", "24 of 24 patches generated again, bit-equal")]
    assert not (place.home / "samples").exists(), "what is made again is thrown away"


def test_all_trains_downstream_models_again(tmp_path: Path) -> None:
    quick = ["-t", "cam16-seg", "-e", "stain", "-m", "precision", *SMALL, "-o", "task.steps=1", "-o", "task.patches=8"]
    home = tmp_path / "home"
    scored = Place(run("-g", "blur", *quick, "--controls", "none", "--seeds", "0", home=home, out=tmp_path / "r"), home)
    code, found = scored.verify("--sample", "2")
    assert code == 0 and "downstream models: --all" in message(found, "numbers")[1][1]
    assert message(found, "patches blur seed 0 (pool)") == [("holds", "2 of 8 patches generated again, bit-equal")]
    code, found = scored.verify("--all")
    assert code == 0 and message(found, "numbers")[0][1].count("made again from patches generated again, bit-equal")
    numbers = [record for record in schema.read([scored.folder / "results.jsonl"]) if record.value is not None]
    assert found["confirmed"] == len(numbers) and any(record.mix for record in numbers)


def test_seeds_choose_what_is_looked_at(made: Place) -> None:
    code, found = made.verify("--seeds", "1", "--sample", "1")
    assert code == 0 and not message(found, "patches blur seed 0") and message(found, "patches blur seed 1")
    assert any("numbers of other seeds" in text for _, text in message(found, "numbers"))
    code, found = made.verify("--seeds", "7")
    assert code == 2 and "no seed 7" in found["message"]
    assert made.verify("--sample", "-1")[0] == 2


def test_data_that_moved_are_found_where_they_are_reported_to_be(tmp_path: Path) -> None:
    """A folder of real images under another parent: its patches count, not its path."""
    pictures = {f"p{i}": (small_folder.photo(seed=i), small_folder.halves()) for i in range(12)}
    data, home = small_folder.write(tmp_path / "then" / "slides", pictures), tmp_path / "home"
    words = ["-g", "blur", "-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "precision", "--controls", "none"]
    generated = Place(run(*words, "--seeds", "0", "--data", data, home=home, out=tmp_path / "r"), home)
    assert generated.verify()[0] == 0
    data.parent.rename(tmp_path / "now")
    code, found = generated.verify()
    assert code == 3 and "no data folder" in found["message"]
    code, found = generated.verify("--data", tmp_path / "now" / "slides")
    assert (code, found["outcome"]) == (0, "holds"), found["checks"]
    Image.fromarray(small_folder.photo(seed=99)).save(tmp_path / "now" / "slides" / "images" / "p3.png")
    assert generated.verify("--data", tmp_path / "now" / "slides")[0] == 7


def test_mark_writes_what_was_confirmed(place: Place) -> None:
    code, found = place.verify("--mark", "--sample", "1", "--seeds", "0")
    assert code == 0
    before, after = (list(schema.read([place.folder / name])) for name in ("results.jsonl", "verified.jsonl"))
    assert [replace(record, state="measured") for record in after] == before
    assert {(record.seed, record.value is not None) for record in after if record.state == "verified"} == {(0, True)}
    assert found["marked"] == found["confirmed"] == sum(record.state == "verified" for record in after)


@pytest.mark.parametrize("why", ["fails", "elsewhere"])
def test_mark_writes_nothing_where_it_may_not(place: Place, why: str) -> None:
    place.record(0, value=0.001) if why == "fails" else place.manifest(moved)
    code, found = place.verify("--mark", "--sample", "1")
    assert code == (4 if why == "fails" else 0) and found["marked"] == 0
    assert not (place.folder / "verified.jsonl").exists()


def test_elsewhere_near_patches_hold_within_tolerance(place: Place, tmp_path: Path) -> None:
    exported = bench("export", "samples", place.folder, "--out", tmp_path / "png", home=place.home)
    assert exported.exit_code == 0
    place.recorded_otherwise(1)
    assert place.verify("--sample", "24")[0] == 4, "here they are bit-equal or wrong"
    place.manifest(moved)
    code, found = place.verify("--sample", "24")
    assert found["elsewhere"]["numpy"]["then"] == "0.1"
    assert (
        message(found, "patches blur seed 0")[0][0] == "near"
        and "by at most 1 of 255" in message(found, "patches blur seed 0")[0][1]
    )
    assert failing(found) == ["blur fd stain seed 0"] and code == 4, (
        "one level in one patch is more than 1e-3 of so small an FD"
    )


def test_elsewhere_numbers_decide_about_stored_patches_that_differ(place: Place) -> None:
    """As where the store's patches were generated on another processor, which rounds a value of a pixel otherwise."""

    def round_otherwise(images: np.ndarray) -> None:  # type: ignore[type-arg]
        images[3, 0, 0, 0] ^= 1

    place.patches(round_otherwise)
    assert place.verify("--sample", "0")[0] == 4, "here they are bit-equal or wrong"
    place.manifest(moved)
    code, found = place.verify("--sample", "24")
    kept = message(found, "kept patches blur seed 0")[0]
    assert (code, kept[0]) == (0, "near") and "numbers measured from them differ by at most 0.001" in kept[1]
    assert message(found, "patches blur seed 0")[0][0] == "holds", "those that are generated again are as recorded"
    place.patches(lambda images: images[3].fill(0))
    code, found = place.verify("--sample", "0")
    assert code == 4 and message(found, "kept patches blur seed 0")[0][0] == "unknown"
    assert any(name.startswith("blur fd") for name in failing(found))


def test_elsewhere_all_is_decided_by_its_numbers(place: Place) -> None:
    """Without stored patches to compare with, all are generated again; one was recorded otherwise."""
    place.recorded_otherwise(1)
    place.manifest(moved)
    shutil.rmtree(place.home / "samples")
    code, found = place.verify("--all")
    assert message(found, "patches blur seed 0")[0][0] == "near" and "1 differ" in message(found, "patches blur seed 0")[0][1]
    assert code == 0 and found["outcome"] == "near"


def test_without_the_recorded_patch_nobody_can_tell_how_far(place: Place, tmp_path: Path) -> None:
    place.recorded_otherwise(1)
    place.manifest(moved)
    assert bench("export", "samples", place.folder, "--out", tmp_path / "png", home=place.home).exit_code == 0
    shutil.rmtree(place.home / "samples")
    code, found = place.verify("--sample", "24")
    assert code == 6 and message(found, "patches blur seed 0")[0][0] == "unknown"
    code, found = place.verify("--sample", "24", "--samples", tmp_path / "png")
    assert code == 0 and found["outcome"] == "near"


def test_tolerances_are_the_stated_ones() -> None:
    images = np.full((2, 4, 4, 3), 100, np.uint8)
    ids = np.array(["a", "b"])
    recorded = SampleDigests("g", 0, "test", "k", {"a": digest_of_patch(images[0]), "b": digest_of_patch(images[1])})
    for by, outcome in ((0, "holds"), (1, "near"), (2, "fails")):
        generated = ImageSet("k", images + np.uint8(by), Conditions(ids, ids, ("c",), 4, 1.0))
        assert matching.patches("p", recorded, generated, dict(zip("ab", images, strict=True)), True).outcome == outcome
    record = ResultRecord("g", "d", "none", "t", "fd", "lower", "p", value=2.0, low=1.0, high=3.0)
    for share, outcome in ((0.0, "holds"), (0.9e-3, "near"), (1.1e-3, "fails")):
        for name in ("value", "low", "high"):
            other = replace(record, **{name: getattr(record, name) * (1 - share)})  # type: ignore[arg-type]
            assert matching.number(record, other, True).outcome == outcome
            assert matching.number(record, other, False).outcome == ("holds" if not share else "fails")


def test_workers_make_the_same_again(place: Place) -> None:
    """Workers stay from one graph to the next, also where these write to different stores. They have one thread each, where
    the run may have had more: what differs by rounding is no failure."""
    alone, workers = place.verify("--sample", "2"), place.verify("--sample", "2", "--workers", "2")
    expected = {} if threads() == 1 else {"threads": {"then": threads(), "now": 1}}
    assert workers[1]["elsewhere"] == expected and alone[1]["elsewhere"] == {}
    for code, found in (alone, workers):
        assert code == 0 and found["confirmed"] > 0 and found["outcome"] in ("holds", "near")
    assert not list(place.home.glob("verify/.*")), "the scratch folder is gone"


def test_text_says_the_verdict_last(made: Place) -> None:
    done = bench("verify", made.folder, "--sample", "1", home=made.home)
    assert done.stdout.splitlines()[-1] == "HOLDS: everything that was recomputed is bit-equal."
    assert "made with the versions, code and machine of the run" in done.stdout


@pytest.mark.parametrize("tool", ["ssh-keygen", "minisign"])
def test_signatures_as_documented(made: Place, tmp_path: Path, tool: str) -> None:
    """The commands of the documentation sign a manifest and check it, and refuse it once a byte is changed."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    shutil.copyfile(made.folder / "manifest.json", tmp_path / "manifest.json")
    body = re.search(rf"^```sh {tool.partition('-')[0]}\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert body is not None
    commands = body[1].splitlines()
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    with (tmp_path / "manifest.json").open("a") as file:
        file.write(" ")
    assert subprocess.run(commands[-1], shell=True, cwd=tmp_path, capture_output=True).returncode != 0

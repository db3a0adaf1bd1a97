"""`--dataset`: a dataset plug-in is named on the command line, and a run on it can be made again from its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.config import RunConfig, load_components
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.run import folder_name
from tests.small_run import SMALL, bench, run
from tests.tasks import small_folder

ASKED = "-g flat-colour -t cam16-seg -e stain -m kid --controls none --no-downstream --seeds 0".split()
MINE = """
from dataclasses import replace
from bench.types import Card
from tasks.datasets.phantom.dataset import PhantomCam16

class Mine:
    card = Card("mine", "1", "A test: the phantom, as if it were data of a user.")
    provides = frozenset({"masks"})

    def __init__(self, size: int, test_slides: int = 6):
        self.size, self.test_slides = size, test_slides
        self.inner = PhantomCam16(size=size, train_slides=3, validation_slides=2, test_slides=test_slides, per_slide=4)

    def split(self, name):
        made = self.inner.split(name)
        return replace(made, conditions=replace(made.conditions, instances=None, types=None))

class Bare(Mine):
    card = Card("bare", "1", "A test: images and nothing else.")
    provides = frozenset()

class NoDataset:
    card = Card("no-dataset", "1", "A test.")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data in `slides` and plug-ins in `mine.py`."""
    root = tmp_path_factory.mktemp("dataset")
    pictures = {f"p{i}": (small_folder.photo(seed=i), small_folder.halves()) for i in range(12)}
    small_folder.write(root / "slides", pictures)
    (root / "mine.py").write_text(MINE)
    return root


def records(folder: Path) -> list[ResultRecord]:
    return [replace(record, stamp={}) for record in schema.read([folder / "results.jsonl"])]


def config_of(folder: Path) -> dict[str, object]:
    held: dict[str, object] = json.loads((folder / "manifest.json").read_text())["config"]
    return held


def entries(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_dir()}


def test_a_folder_by_its_reader_is_the_folder(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same records, and no entry of the store is another one; a relative path is recorded as an absolute one."""
    monkeypatch.chdir(place)
    by_data = run(*ASKED, "--data", "slides", home=tmp_path / "home", out=tmp_path / "out")
    before = entries(tmp_path / "home")
    by_name = run(*ASKED, "--dataset", "folder:slides", home=tmp_path / "home", out=tmp_path / "out")
    assert records(by_data) == records(by_name) and records(by_name)[0].dataset == "folder-slides"
    assert entries(tmp_path / "home") == before
    assert config_of(by_name)["dataset"] == f"folder:{place / 'slides'}" and config_of(by_name)["data"] == ""
    assert config_of(by_data)["data"] == str(place / "slides") and "dataset" not in config_of(by_data)
    monkeypatch.chdir(tmp_path)
    assert bench("verify", by_name, "--sample", "2", home=tmp_path / "home").exit_code == 0


def test_keys_of_runs_without_it_are_what_they_were() -> None:
    assert folder_name(RunConfig("blur", "cam16-seg")) == "blur--cam16-seg--9829e2ed"
    assert folder_name(RunConfig("blur", "cam16-seg", dataset="phantom-panda")) != "blur--cam16-seg--9829e2ed"


def test_embedded_data_by_name_stay_embedded_whatever_is_configured(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(place / "slides"))
    found = load_components(RunConfig("flat-colour", "region-seg", dataset="phantom-panda"))
    assert found.embedded and found.dataset.card.name == "phantom-panda"
    assert not load_components(RunConfig("flat-colour", "region-seg", dataset=f"folder:{place / 'slides'}")).embedded


def test_records_of_an_embedded_dataset_by_name_say_so(tmp_path: Path) -> None:
    words = ["-g", "flat-colour", "-t", "region-seg", *ASKED[4:], *SMALL, "--dataset", "phantom-panda", "--out", tmp_path]
    done = bench("run", *words, home=tmp_path / "home")
    assert done.exit_code == 0 and done.stderr.startswith("EMBEDDED DATA: phantom-panda")
    found = records(Path(done.stdout.splitlines()[-1]))
    assert {(r.task, r.dataset, "embedded" in r.flags) for r in found} == {("region-seg", "phantom-panda", True)}


def test_options_of_the_dataset_reach_it() -> None:
    options = {"dataset.per_slide": "3"}
    found = load_components(RunConfig("flat-colour", "cam16-seg", dataset="phantom-cam16:32", options=options))
    assert vars(found.dataset)["size"] == 32 and vars(found.dataset)["per_slide"] == 3


def test_a_class_of_a_file_is_run_and_verified_with_permission_only(place: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    mine = f"{place / 'mine.py'}:Mine:32"
    made = run(*ASKED, "--dataset", mine, "-o", "dataset.test_slides=5", home=home, out=tmp_path / "out")
    assert config_of(made)["dataset"] == mine
    (record, *_) = records(made)
    assert (record.dataset, record.n, record.flags) == ("mine:32", 20, ())
    refused = bench("verify", made, home=home)
    assert refused.exit_code == 2 and "--allow-plugin" in refused.stderr
    done = bench("verify", made, "--sample", "2", "--allow-plugin", place / "mine.py", home=home)
    assert done.exit_code == 0, done.stderr + done.stdout


def test_verify_finds_moved_data_by_either_option(tmp_path: Path) -> None:
    home, then, now = tmp_path / "home", tmp_path / "then" / "slides", tmp_path / "now" / "slides"
    pictures = {f"p{i}": (small_folder.photo(seed=i), small_folder.halves()) for i in range(12)}
    small_folder.write(then, pictures)
    made = run(*ASKED, "--dataset", f"folder:{then}", home=home, out=tmp_path / "out")
    then.parent.rename(now.parent)
    assert bench("verify", made, home=home).exit_code == 3
    for words in (["--dataset", f"folder:{now}"], ["--data", now]):
        assert bench("verify", made, "--sample", "2", *words, home=home).exit_code == 0
    both = bench("verify", made, "--data", now, "--dataset", f"folder:{now}", home=home)
    assert both.exit_code == 2 and "leave out one" in both.stderr
    pictures["p3"] = (small_folder.photo(seed=99), small_folder.halves())
    changed = small_folder.write(tmp_path / "changed" / "slides", pictures)
    other = bench("verify", made, "--dataset", f"folder:{changed}", home=home)
    assert other.exit_code == 7, other.stdout


CASES: list[tuple[list[str], int, str]] = [
    (["--data", "slides", "--dataset", "folder:slides"], 2, "leave out one"),
    (["--dataset", "slides"], 2, "is a folder: give --data"),
    (["--dataset", "foldr:slides"], 2, "Did you mean 'folder'"),
    (["--dataset", "folder"], 2, "needs folder: write folder:FOLDER"),
    (["--dataset", "folder:absent"], 3, "no folder"),
    (["--dataset", "phantom-cam16:wide"], 2, "option size takes a whole number"),
    (["--dataset", "mine.py:Mine"], 2, "needs size"),
    (["--dataset", "mine.py:Mien"], 2, "Did you mean 'Mine'"),
    (["--dataset", "absent.py:Mine"], 3, "no file absent.py"),
    (["--dataset", "mine.py:NoDataset"], 2, "NoDataset is no dataset"),
    (["--dataset", "mine.py:Bare:32"], 2, "the task cam16-seg needs masks, which bare does not provide: it provides nothing"),
    (["--dataset", "folder:slides", "-t", "lizard-nuclei"], 2, "needs instances, which folder-slides does not provide"),
    (["--dataset", "folder:slides", "-o", "dataset.sise=3"], 2, "Did you mean 'size'"),
]


@pytest.mark.parametrize(("words", "code", "text"), CASES)
def test_what_cannot_be_read_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, text: str
) -> None:
    monkeypatch.chdir(place)
    done = bench("run", *ASKED, *words, "--out", tmp_path / "out", home=tmp_path / "home")
    assert (done.exit_code, done.stdout) == (code, "") and text in done.stderr, done.stderr


def test_every_command_that_reads_data_takes_it(place: Path, tmp_path: Path) -> None:
    """And says how the task reads classes that have no names."""
    named: Iterable[object] = ("-t", "cam16-seg", "--dataset", f"folder:{place / 'slides'}")
    for command in (("run", *ASKED), ("fit", "-g", "copy-train"), ("export", "conditions")):
        done = bench(*command, *named, "--out", tmp_path / command[0], home=tmp_path / "home")
        assert done.exit_code == 0, done.stderr
        assert "folder-slides have no names: class 0 is read as normal, class 1 as tumour" in done.stderr

"""Words that make no sense are usage errors before anything is read, trained or generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.errors import BenchError, UsageError
from bench.results.folders import LONGEST_NAME, folder_name
from tests import small_run

LONG = "x" * 300
HUGE = "1" + "0" * 23


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("usage") / "home"


RUN = "run -t cam16-seg -g blur"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([*RUN.split(), "--seeds", "-1"], "a seed is 0 or larger"),
        ([*RUN.split(), "--seeds", HUGE], "a seed is 0 or larger, and at most 4294967295"),
        ([*RUN.split(), "--seeds", LONG], "takes whole numbers like 0,1,2"),
        ([*RUN.split(), "--fit-seeds", HUGE], "a seed is 0 or larger, and at most 4294967295"),
        (["fit", "-t", "cam16-seg", "-g", "flat-colour", "--fit-seeds", HUGE], "at most 4294967295"),
        (["suite", "embedded", "--fit-seeds", HUGE], "at most 4294967295"),
        ([*RUN.split(), "-m", ""], "-m"),
        ([*RUN.split(), "-m", "fd,,kid"], "has an empty name"),
        ([*RUN.split(), "-e", ""], "has an empty name"),
        ([*RUN.split(), "-e", " , "], "has an empty name"),
        ([*RUN.split(), "--controls", ""], "has an empty name: give names like a,b, or none"),
        (["run", "-t", "cam16-seg", "-g", ""], "unknown generator ''"),
        (["run", "-t", "", "-g", "blur"], "unknown task ''"),
        (["run", "-t", "cam16-seg", "-g", LONG], "unknown generator 'xxx"),
        (["run", "-t", "cam16-seg", "-g", f"{LONG}.py:Mine"], "no file xxx"),
        (["run", "-t", LONG, "-g", "blur"], "unknown task"),
        ([*RUN.split(), "-e", LONG], "unknown encoder"),
        ([*RUN.split(), "-m", LONG], "unknown metric"),
        ([*RUN.split(), "--layout-generator", LONG], "unknown layout_generator"),
        ([*RUN.split(), "--experiment", LONG], "no experiment"),
        ([*RUN.split(), "--out", LONG], "--out 'xxx"),
        ([*RUN.split(), "--data", LONG], "no data folder"),
        ([*RUN.split(), "-o", f"{LONG}=1"], "nothing in this run has an option"),
        ([*RUN.split(), "-o", "generator.sigma=1e30"], "sigma takes a number, not '1e30'. Numbers are at most"),
        ([*RUN.split(), "-o", "generator.sigma=nan"], "sigma takes a number, not 'nan'"),
        ([*RUN.split(), "-o", "generator.sigma=1e6"], "sigma is a number of pixels above 0 and at most"),
        ([*RUN.split(), "-o", "generator.sigma=-1"], "sigma is a number of pixels above 0"),
        ([*RUN.split(), "-o", f"task.steps={HUGE}"], "steps takes a whole number"),
        ([*RUN.split(), "-o", "dataset.train_slides=-1"], "at least one slide in each split"),
        ([*RUN.split(), "-o", f"dataset.per_slide={HUGE}"], "per_slide takes a whole number"),
        ([*RUN.split(), "-m", "kid", "-o", "kid.subset=0"], "options of the metric kid are written -o metric.NAME=VALUE"),
        ([*RUN.split(), "-m", "kid", "-o", "nothing.subset=0"], "'nothing' owns no options"),
        (["cache", "prune", "--keep", "inf"], "--keep takes a size"),
        (["cache", "prune", "--keep", "nan"], "--keep takes a size"),
        (["cache", "prune", "--keep", "-1"], "--keep takes a size"),
        (["info", LONG], "nothing is called"),
        (["check", LONG], "nothing is called"),
        (["new", "generator", LONG], "letters"),
    ],
)
def test_words_that_make_no_sense(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = small_run.bench(*words, home=home)
    assert done.exit_code in (2, 3) and reason in done.stderr, done.stderr
    assert (done.exit_code == 3) == any(text in reason for text in ("no file", "no data folder"))
    assert len(done.stderr) < 4000 and not (home / "generated").exists() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["run -t cam16-seg -g blur", "suite embedded", "fit -t cam16-seg -g flat-colour"])
@pytest.mark.parametrize("way", ["file", "below a file", "link to nothing", "read-only"])
def test_a_folder_that_cannot_be_written(home: Path, tmp_path: Path, verb: str, way: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    places = {"file": "file", "below a file": "file/out", "link to nothing": "nowhere", "read-only": "/proc/out"}
    done = small_run.bench(*verb.split(), "--out", tmp_path / places[way], home=home)
    assert done.exit_code == 2 and "cannot be written" in done.stderr and not (home / "data").exists(), done.stderr


def test_a_folder_in_the_place_of_the_records_is_found_before_the_run(home: Path, tmp_path: Path) -> None:
    words = ["-g", "blur", "--controls", "none", "--seeds", "0", *small_run.WORDS]
    folder = small_run.run(*words, home=tmp_path / "home", out=tmp_path)
    (folder / "results.jsonl").unlink()
    (folder / "results.jsonl").mkdir()
    done = small_run.bench("run", *words, "--out", tmp_path, home=home)
    assert done.exit_code == 2 and "results.jsonl in it is a folder" in done.stderr and not (home / "data").exists()


def test_a_test_for_a_folder_leaves_nothing(home: Path, tmp_path: Path) -> None:
    done = small_run.bench("run", "-t", "cam16-seg", "-g", "none-such", "--out", tmp_path / "a/b/c", home=home)
    assert done.exit_code == 2 and not list(tmp_path.iterdir())


def test_a_plugin_file_with_a_long_path_has_results(home: Path, tmp_path: Path) -> None:
    """The name of the generator is part of the name of the folder, which file systems limit to 255 letters."""
    place = tmp_path / ("y" * 150) / ("z" * 100)
    place.mkdir(parents=True)
    (place / "mine.py").write_text(
        "from generators.controls import Noise\nfrom bench.types import Card\n"
        "class Mine(Noise):\n    card = Card('mine', '1', 'A long path.')\n"
    )
    folder = small_run.run(
        *("-g", f"{place}/mine.py:Mine", "--controls", "none", "--seeds", "0"), *small_run.WORDS, home=home, out=tmp_path
    )
    assert (folder / "results.jsonl").is_file() and (folder / "manifest.json").is_file() and len(folder.name) <= LONGEST_NAME


def test_names_of_folders() -> None:
    assert folder_name("ldm-prompt", "cam16-seg", key="12345678") == "ldm-prompt--cam16-seg--12345678"
    assert folder_name("a/b c.py:Mine", "cam16-seg", key="1") == "a_b_c.py_Mine--cam16-seg--1"
    assert len(folder_name("a" * 999, "b" * 999, key="12345678")) <= LONGEST_NAME


def test_an_option_may_be_called_as_the_arguments_of_the_registry(home: Path) -> None:
    with pytest.raises(UsageError, match="no option 'name'"):
        registry.load("generators", "blur", name="x")
    with pytest.raises(UsageError, match="no option 'kind'"):
        registry.load("generators", "blur", kind="x")


def test_what_has_no_fits_is_not_announced_as_trained(home: Path, tmp_path: Path) -> None:
    words = ["run", "-g", "blur", "--controls", "none", "--seeds", "0", "--fit-seeds", "0,1", *small_run.WORDS]
    done = small_run.bench(*words, "--out", tmp_path, home=home)
    assert done.exit_code == 0 and "blur has no fits: nothing is trained with fit seeds 0, 1" in done.stderr
    assert "trained anew" not in done.stderr


def test_a_failed_seed_among_several_is_a_note_of_the_table(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from generators.controls import Noise\nfrom bench.types import Card, image_seeds\n"
        "class Mine(Noise):\n    card = Card('mine', '1', 'Seed 1 fails.')\n"
        "    def generate(self, conditions, seeds):\n"
        "        if seeds[0] == image_seeds(1, conditions.ids)[0]:\n            raise RuntimeError('out of order')\n"
        "        return super().generate(conditions, seeds)\n"
    )
    words = ["-g", f"{tmp_path}/mine.py:Mine", "--controls", "none", "--seeds", "0,1", *small_run.WORDS]
    done = small_run.bench("run", *words, "--out", tmp_path, home=home)
    assert done.exit_code == 4
    (table,) = tmp_path.glob("*/table.txt")
    assert "(mine): without seed 1: error, RuntimeError: out of order" in table.read_text()


def test_no_option_of_ours_takes_a_negative_number_or_one_that_nothing_holds(tmp_path: Path) -> None:
    """But the seed of a phantom, of which a digest is taken."""
    taken = []
    for kind in ("generators", "layout_generators", "encoders", "metrics", "tasks", "datasets"):
        for name in registry.names(kind):
            known = registry.parameters(registry.find(kind, name)[0])
            needed = {option: str(tmp_path) for option, parameter in known.items() if parameter.default is parameter.empty}
            for option, parameter in known.items():
                for value in ("-1", HUGE, "1e30", "nan"):
                    if not any(word in str(parameter.annotation) for word in ("int", "float")):
                        continue
                    try:
                        registry.load(kind, name, **{**needed, option: value})
                    except BenchError:
                        continue
                    taken.append((kind, name, option, value))
    assert [found for found in taken if found[2] != "seed" or not found[1].startswith("phantom-")] == []

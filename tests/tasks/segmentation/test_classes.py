"""Each segmentation task means certain classes: others are refused with the options that fit, or the task that takes any."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UsageError
from bench.results import schema
from bench.types import ChecksClasses, DataClasses
from tests.small_run import bench, run
from tests.tasks.small_folder import halves, photo, write

ASKED = "-g flat-colour -e stain -m kid --controls none --no-downstream --seeds 0".split()
PROSTATE = ("background", "stroma", "benign", "cancer")


def classes(*names: str, mapped: bool = True, **more: object) -> DataClasses:
    own = tuple((i,) for i in range(len(names))) if mapped else None
    return DataClasses("folder-mine", names, **{"numbers": own, **more})  # type: ignore[arg-type]


def unnamed(count: int) -> DataClasses:
    return classes(*(f"class-{i}" for i in range(count)))


def check(task: str, found: DataClasses) -> str:
    asked = registry.load("tasks", task)
    assert isinstance(asked, ChecksClasses)
    return asked.check_classes(found)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("cam16-seg", ("normal", "tumour")),
        ("panda-seg", PROSTATE),
        ("panda-seg", ("background", "stroma", "epithelium")),
        ("tcga-seg", ("cluster-0", "cluster-1", "cluster-2")),
        ("region-seg", ("fat", "muscle")),
        ("region-seg", ("class-0", "class-1", "class-2")),
    ],
)
def test_the_classes_of_a_task_need_no_words(task: str, names: tuple[str, ...]) -> None:
    assert check(task, classes(*names)) == ""


@pytest.mark.parametrize(
    ("task", "count", "text"),
    [
        ("cam16-seg", 2, "class 0 is read as normal, class 1 as tumour; -o classes=normal,tumour names them"),
        ("panda-seg", 4, "class 0 is read as background, class 1 as stroma, class 2 as benign, class 3 as cancer"),
        ("panda-seg", 3, "class 0 is read as background, class 1 as stroma, class 2 as epithelium"),
        ("tcga-seg", 2, "class 0 is read as cluster-0, class 1 as cluster-1"),
        ("tcga-seg", 100, "class 5 as cluster-5, ... 100 in all"),
    ],
)
def test_classes_without_names_are_read_by_number(task: str, count: int, text: str) -> None:
    assert text in check(task, unnamed(count))


def test_the_names_option_is_not_proposed_to_a_dataset_that_lacks_it() -> None:
    assert "-o classes" not in check("cam16-seg", classes("class-0", "class-1", mapped=False))


@pytest.mark.parametrize(
    ("task", "found", "text"),
    [
        ("cam16-seg", classes("tumour", "normal"), "fits: --class-map 0=1,1=0 -o classes=normal,tumour."),
        ("cam16-seg", classes("Normal", "Tumor"), "fits: -o classes=normal,tumour."),
        (
            "cam16-seg",
            classes(*PROSTATE),
            "0=ignore,1=ignore,2=0,3=1 -o classes=normal,tumour; left out as not annotated: background, stroma.",
        ),
        (
            "panda-seg",
            classes("stroma", "gleason 3", "Gleason_4", "benign", "Background"),
            "fits: --class-map 0=1,1=3,2=3,3=2,4=0 -o classes=background,stroma,benign,cancer.",
        ),
        ("panda-seg", classes("gland", "stroma", "glass"), "0=2,1=1,2=0 -o classes=background,stroma,epithelium."),
        (  # a --class-map was given: numbers are those of the files, and it is given again even if it leads nowhere else
            "cam16-seg",
            classes("tumour", "normal", numbers=((1, 4), (0,)), ignored=(7,)),
            "fits: --class-map 0=0,1=1,4=1,7=ignore -o classes=normal,tumour.",
        ),
        ("cam16-seg", unnamed(3), "3 classes whose names are not known. Say what each is with --class-map NUMBER=CLASS"),
        ("panda-seg", unnamed(2), "(0 for background, 1 for stroma, 2 for benign, 3 for cancer, or ignore)"),
        ("cam16-seg", classes("tumour", "fat"), "folder-mine has tumour, fat. Say what each is"),
        ("tcga-seg", classes("normal", "tumour"), "means clusters of a pseudo-map, named cluster-0"),
    ],
)
def test_other_classes_are_refused_with_what_fits(task: str, found: DataClasses, text: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(task, found)
    assert text in str(refused.value) and "--task region-seg" in str(refused.value), str(refused.value)


def test_a_dataset_without_the_options_is_not_advised_to_use_them() -> None:
    with pytest.raises(UsageError) as refused:
        check("cam16-seg", classes(*PROSTATE, mapped=False))
    assert "--class-map" not in str(refused.value) and "--task region-seg" in str(refused.value)


@pytest.mark.parametrize("task", ["region-seg", "tcga-seg"])
def test_one_class_is_nothing_to_tell_apart(task: str) -> None:
    with pytest.raises(UsageError, match="at least two; folder-mine has 1 classes"):
        check(task, unnamed(1))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets: `ab` of two classes in the files, `abc` of three."""
    root = tmp_path_factory.mktemp("classes")
    write(root / "ab", {f"p{i}": (photo(seed=i), halves()) for i in range(12)})
    write(root / "abc", {f"p{i}": (photo(seed=i), halves(left=i % 3, right=(i + 1) % 3)) for i in range(24)})
    return root


def refused(place: Path, home: Path, *words: object) -> str:
    done = bench("run", *ASKED, *words, "--out", home / "out", home=home / "home")
    assert (done.exit_code, done.stdout) == (2, "") and not list((home / "out").glob("*")), done.stderr
    return done.stderr


def test_the_options_that_are_proposed_fit(place: Path, tmp_path: Path) -> None:
    """Word by word as printed, also where a class map was given before."""
    for given in (["-o", "classes=fat,Tumor,healthy"], ["--class-map", "2=0,1=1,0=2", "-o", "classes=healthy,Tumor,fat"]):
        text = refused(place, tmp_path, "-t", "cam16-seg", "--data", place / "abc", *given)
        proposed = text.partition("this fits: ")[2].partition(";")[0]
        assert proposed == "--class-map 0=ignore,1=1,2=0 -o classes=normal,tumour"
        home, out = tmp_path / "home", tmp_path / "made"
        words = shlex.split(proposed)
        made = run(*ASKED, "-t", "cam16-seg", "--data", place / "abc", *words, home=home, out=out)
        assert {r.dataset for r in schema.read([made / "results.jsonl"])} == {"folder-abc"}


def test_region_seg_takes_any_classes_and_has_a_table_for_each_data_set(place: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    folders = [
        run(*ASKED, "-t", "region-seg", "--data", place / "ab", home=home, out=out),
        run(*ASKED, "-t", "region-seg", "--dataset", f"folder:{place / 'abc'}", "-o", "classes=x,y,z", home=home, out=out),
    ]
    found = [record for folder in folders for record in schema.read([folder / "results.jsonl"])]
    assert {(r.task, r.dataset) for r in found} == {("region-seg", "folder-ab"), ("region-seg", "folder-abc")}
    assert not any("embedded" in record.flags for record in found)
    shown = bench("leaderboard", "region-seg", "--results", out, home=home).stdout
    assert shown.count("region-seg on folder-ab,") == shown.count("region-seg on folder-abc,") == 1, shown


@pytest.mark.parametrize(("task", "dataset"), [("region-seg", "phantom-panda"), ("tcga-seg", "phantom-tcga")])
def test_without_data_a_phantom_is_used_and_named(task: str, dataset: str, tmp_path: Path) -> None:
    small = [w for o in ("train_slides=3", "validation_slides=2", "test_slides=5", "per_slide=4") for w in ("-o", o)]
    done = bench("run", *ASKED, "-t", task, *small, "--out", tmp_path / "out", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith(f"EMBEDDED DATA: {dataset}.") and f"{task} on {dataset}," in done.stdout


def test_a_phantom_of_clusters_shows_every_cluster() -> None:
    made = registry.load("datasets", "phantom-tcga", train_slides=6, validation_slides=1, test_slides=1).split("train")
    assert made.conditions.classes == tuple(f"cluster-{i}" for i in range(7))
    assert {int(number) for number in set(made.conditions.masks.ravel())} == set(range(7))


def test_the_class_names_of_a_dataset_that_renumbers_in_its_own_way_are_enough(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        """
from dataclasses import replace
from bench.types import Card
from tasks.datasets.phantom.dataset import PhantomPanda

class Mine:
    card = Card("mine", "1", "A test.")
    provides = frozenset({"masks"})
    def __init__(self, class_map: str = "left to right", classes: str = ""):
        self.class_map, self.classes = class_map, classes
        self.inner = PhantomPanda(train_slides=2, validation_slides=1, test_slides=2, per_slide=2)
    def split(self, name):
        return self.inner.split(name)
"""
    )
    text = refused(tmp_path, tmp_path, "-t", "cam16-seg", "--dataset", f"{tmp_path / 'mine.py'}:Mine")
    assert "mine has background, stroma, benign, cancer" in text and "--class-map" not in text

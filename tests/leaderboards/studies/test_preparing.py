"""How images are drawn and ordered, what a study could show, and what `bench study new` writes and refuses."""

from __future__ import annotations

import json
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from leaderboards.studies import power, sampling, schema
from leaderboards.studies.power import Assumptions, Size
from leaderboards.studies.sampling import Sharing
from tests.leaderboards.studies.small_study import ARMS, candidates, make
from tests.small_run import SMALL, bench, run


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("conditions", ["separate", "shared"])
def test_images_are_balanced_over_arms_classes_and_slides(seed: int, conditions: Sharing) -> None:
    arms = candidates()
    drawn = sampling.draw(arms, 8, 6, 3, conditions, np.random.default_rng(seed))
    ids = [str(arms[one.arm].images.conditions.ids[one.row]) for one in (*drawn.scored, *drawn.practice)]
    assert Counter(Counter(ids).values()) == ({1: 27} if conditions == "separate" else {3: 8, 1: 3})
    for arm in range(3):
        rows = [one.row for one in drawn.scored if one.arm == arm]
        assert Counter(arms[arm].labels[rows].tolist()) == {"stroma": 4, "tumour": 4}
        assert set(Counter(arms[arm].units[rows].tolist()).values()) <= {1, 2}
    assert Counter(drawn.scored[number].arm for number in drawn.repeated) == {0: 2, 1: 2, 2: 2}
    assert Counter(one.arm for one in drawn.practice) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("seed", range(5))
def test_every_reader_has_an_order_of_his_own_with_late_repeats(tmp_path: Path, seed: int) -> None:
    key = make(tmp_path, seed=seed, repeats=6).key
    orders = list(key.orders.values())
    assert len({tuple(one.image for one in order) for order in orders}) == 3
    assert len({one.item for order in orders for one in order}) == sum(map(len, orders))
    for order in orders:
        assert [one.practice for one in order] == [True] * 2 + [False] * 18
        shown = [one.image for one in order]
        for place, one in enumerate(order):
            if one.repeat:
                assert place - shown.index(one.image) > 4  # a third of 12 images
        assert sum(one.repeat for one in order) == 6


def test_neither_place_nor_id_tells_the_arm(tmp_path: Path) -> None:
    """Over 200 orders, arms have the same mean place and the same mean of ids read as numbers, within 4 standard errors."""
    made = make(tmp_path, repeats=3)
    arms = candidates()
    drawn = sampling.draw(arms, 8, 6, 0, "separate", np.random.default_rng(0))
    names = [sampling.name_image(arms, one, made.key.salt) for one in drawn.scored]
    arm_of = {one.image: one.arm for one in names}
    values: dict[str, list[tuple[float, float]]] = {arm: [] for arm in ARMS}
    for reader in range(200):
        rng = np.random.default_rng([1, reader])
        order = sampling.order_images(drawn, [one.image for one in names], f"reader-{reader}", made.key.salt, rng)
        for place, one in enumerate(order):
            values[arm_of[one.image]].append((place / (len(order) - 1), int(one.item, 16) / 16**16))
    for found in values.values():
        error = np.sqrt(1 / 12 / len(found))  # of a mean of uniform numbers
        assert (np.abs(np.mean(found, axis=0) - 0.5) < 4 * error).all()


def test_a_secret_seed_gives_other_studies_and_a_given_one_the_same_images(tmp_path: Path) -> None:
    def images(name: str, seed: int | None) -> list[tuple[str, str]]:
        return [(one.arm, one.condition) for one in make(tmp_path / name, seed=seed).key.images]

    assert images("a", 1) == images("b", 1) != images("c", None)
    one, two = (schema.read_key(tmp_path / name / "k" / "key.json") for name in "ab")
    assert one.commitment() != two.commitment()  # the salt is drawn anew
    assert not {image.image for image in one.images} & {image.image for image in two.images}


def test_too_few_conditions_or_too_many_repeats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"38 conditions are needed and there are 36.*--conditions shared"):
        make(tmp_path, images_per_arm=12)
    with pytest.raises(BenchError, match="--repeats 7: at most half of the 12"):
        make(tmp_path, repeats=7)
    assert not (tmp_path / "s").exists() and not (tmp_path / "k").exists()


def test_the_key_is_apart_private_and_committed_to(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert stat.S_IMODE(made.key_file.stat().st_mode) == 0o600
    assert made.key.commitment() == made.study.commitment and made.study.commitment in made.page().read_text()
    for file in made.folder.rglob("*"):
        assert not file.is_file() or made.key.salt not in file.read_text()
    with pytest.raises(BenchError, match="is not empty"):
        make(tmp_path)


def test_data_that_do_not_tell_slides_make_a_study_without_slides(tmp_path: Path) -> None:
    arms = [replace(arm, are_units_known=False) for arm in candidates()]
    made = make(tmp_path, arms)
    assert {image.slide for image in made.key.images} == {""} and len({image.condition for image in made.key.images}) > 12
    text = "\n".join(power.lines(made.study.power))
    assert "sources-unknown" in text and "source_image" in text
    assert "sources-unknown" not in "\n".join(power.lines(make(tmp_path / "known").study.power))


def test_the_formula_is_the_variance_of_simulated_readers() -> None:
    """Mean score of an arm over 3 readers, 12 slides of 5 images: components drawn 4000 times."""
    assumed, rng, trials = Assumptions(slide=0.2, reader=0.5, interaction=0.05), np.random.default_rng(0), 4000
    slides, per_slide, readers = 12, 5, 3
    n = slides * per_slide
    of_slides = rng.normal(0, np.sqrt(0.2), (trials, slides)).mean(axis=1)
    of_images = rng.normal(0, np.sqrt(0.3), (trials, n)).mean(axis=1)
    of_readers = rng.normal(0, np.sqrt(0.05), (trials, readers)).mean(axis=1)
    rest = rng.normal(0, np.sqrt(0.45), (trials, readers * n)).mean(axis=1)
    simulated = (of_slides + of_images + of_readers + rest).var()
    assert 1 / power.effective_images(n, readers, slides, assumed) == pytest.approx(simulated, rel=0.08)


def test_numbers_of_images_and_smallest_effects_belong_together() -> None:
    assumed = Assumptions()
    found = power.describe(Size(40, 3, 3, 100), 0.5, 0.1, True, assumed)
    needed = found["images_needed"]["difference"]["3"]
    for images, enough in ((needed, True), (needed - 1, False)):
        assert (power.power_of_difference(0.5, Size(images, 3, 3, 100), assumed) >= 0.8) == enough
    least = found["smallest"]["equivalence"]
    assert power.power_of_equivalence(least, Size(40, 3, 3, 100), assumed) == pytest.approx(0.8, abs=0.01)
    counts = list(found["images_needed"]["accuracy"].values())
    assert [one is None for one in counts] == sorted((one is None for one in counts), reverse=True)
    assert "accuracy" not in power.describe(Size(40, 3, 3, 100), 0.5, 0.1, False, assumed)["smallest"]


def test_independent_answers_give_the_textbook_numbers() -> None:
    """Without correlations: 64 in each group see d = 0.5 with power 0.8 at 5 % (Cohen 1988, table 2.4.1)."""
    independent = Assumptions(slide=0, reader=0, interaction=0)
    found = power.describe(Size(64, 1, 2, 64), 0.5, 0.1, True, independent)
    assert found["images_needed"]["difference"]["1"] == 64 and found["effective_images"] == 64
    assert found["smallest"]["accuracy"] == pytest.approx(2.8016 * 0.5 / np.sqrt(128), abs=1e-3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ran")
    words = ["-g", "flat-colour", "-t", "cam16-seg", "-e", "stain", "-m", "fd", "--seeds", "0", "--no-downstream"]
    run(*words, "--controls", "crop-paste", *SMALL, home=root / "home", out=root / "out").rename(root / "ran")
    return root


def new(place: Path, out: Path, *words: Any) -> Any:
    usual = ["--images-per-arm", "3", "--repeats", "2", "--practice", "1", "--out", out, "--seed", "1"]
    return bench("study", "new", "mine", *usual, *words, home=place / "home")


def test_a_study_of_a_run_its_control_and_its_real_patches(place: Path, tmp_path: Path) -> None:
    done = new(place, tmp_path / "mine", "--generated", place / "ran", "--generated", f"{place / 'ran'}:crop-paste")
    assert done.exit_code == 0, done.stderr
    study = schema.read_study(tmp_path / "mine")
    assert [arm.name for arm in study.arms] == ["real", "flat-colour", "crop-paste"] and study.embedded
    assert "3 arms of 3 images" in done.stderr and study.commitment in done.stdout
    records = [json.loads(line) for line in (place / "ran" / "results.jsonl").read_text().splitlines()]
    keys = {record["generator"]: record["keys"]["samples"] for record in records if "samples" in record["keys"]}
    assert [arm.samples for arm in study.arms[1:]] == [keys["flat-colour"], keys["crop-paste"]]
    assert sorted(path.name for path in (tmp_path / "mine" / "pages").iterdir()) == ["reader-1.html", "reader-2.html"]
    assert (tmp_path / "mine-key" / "key.json").is_file()


def test_samples_that_the_store_lost_are_generated_again(place: Path, tmp_path: Path) -> None:
    import shutil

    first = new(place, tmp_path / "a", "--generated", place / "ran")
    shutil.rmtree(place / "home" / "generated")
    again = new(place, tmp_path / "b", "--generated", place / "ran")
    assert first.exit_code == again.exit_code == 0, again.stderr
    one, two = (schema.read_key(tmp_path / f"{name}-key" / "key.json") for name in "ab")
    assert [image.condition for image in one.images] == [image.condition for image in two.images]


def test_a_folder_of_images_is_an_arm(place: Path, tmp_path: Path) -> None:
    done = bench("export", "samples", place / "ran", "--out", tmp_path / "samples", home=place / "home")
    assert done.exit_code == 0, done.stderr
    words = ["--generated", f"folder:{tmp_path / 'samples' / 'crop-paste-seed0'}", "-t", "cam16-seg", *SMALL]
    done = new(place, tmp_path / "mine", "--real", "phantom-cam16", *words)
    assert done.exit_code == 0, done.stderr
    assert [arm.name for arm in schema.read_study(tmp_path / "mine").arms] == ["real", "crop-paste-seed0"]
    for option, text in (("test_slides=3", "no real test patches here"), ("seed=9", "was generated for other data")):
        other = ["--real", "phantom-cam16", "--generated", place / "ran", *SMALL, "-o", f"dataset.{option}"]
        done = new(place, tmp_path / "other", *other)
        assert done.exit_code == 7 and text in done.stderr


def test_a_plan_prints_and_writes_nothing(place: Path, tmp_path: Path) -> None:
    done = new(place, tmp_path / "mine", "--generated", place / "ran", "--plan", "--difference", "0.7", "--assume", "spread=2")
    assert done.exit_code == 0, done.stderr
    assert "a score of 0.7" in done.stdout and "spread 2" in done.stdout and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--generated", "nowhere"], 3, "is no folder of bench run"),
        (["--generated", "{ran}:noise"], 3, "has no images of noise for test conditions; it has those of crop-paste"),
        (["--generated", "{ran}", "--generated", "{ran}"], 2, "two arms are called flat-colour"),
        (["--generated", "{ran}", "--questions", "qualities"], 3, "Did you mean 'quality'?"),
        (["--generated", "{ran}", "--assume", "luck=1"], 2, "--assume luck"),
        (["--generated", "{ran}", "--assume", "reader=2"], 2, "reader + interaction is at most 1"),
        (["--generated", "{ran}", "--key", "{out}/key"], 2, "lies in the study"),
        (["--generated", "{ran}", "--accuracy", "0.7"], 2, "between 0 and 0.5"),
        (["--generated", "folder:nowhere"], 2, "--real says which patches are real"),
    ],
)
def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path, words: list[str], code: int, text: str) -> None:
    out = tmp_path / "mine"
    done = new(place, out, *(word.format(ran=place / "ran", out=out) for word in words))
    assert (done.exit_code, text in done.stderr) == (code, True), done.stderr
    assert not out.exists()


def test_a_questionnaire_of_ones_own_is_read_and_checked(place: Path, tmp_path: Path) -> None:
    form = (
        'name = "own"\ntitle = "T"\nsource = "S"\nintroduction = "I"\n[[questions]]\nid = "a"\ntext = "A?"\nkind = "yes-no"\n'
    )
    (tmp_path / "own.toml").write_text(form + 'labels = { 0 = "no", 1 = "yes" }\n')
    done = new(place, tmp_path / "mine", "--generated", place / "ran", "--questions", tmp_path / "own.toml")
    assert done.exit_code == 0 and schema.read_study(tmp_path / "mine").questionnaire.name == "own"
    (tmp_path / "own.toml").write_text(form + 'labels = { 1 = "no", 2 = "yes" }\n')
    done = new(place, tmp_path / "other", "--generated", place / "ran", "--questions", tmp_path / "own.toml")
    assert done.exit_code == 2 and "has the values ['1', '2'], not 0 and 1" in done.stderr


def test_arms_of_other_sizes_are_refused() -> None:
    from leaderboards.studies.sources import _match

    with pytest.raises(BenchError, match="readers would tell them apart by that"):
        _match(candidates(size=16)[1], candidates()[0], "other")
    assert [arm.arm for arm in candidates()] == list(ARMS)

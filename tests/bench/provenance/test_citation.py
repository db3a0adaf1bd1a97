"""`bench info RUN --cite`: what a paper has to report of a run stands in the paragraph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_run import bench, run

WORDS = ["-t", "cam16-seg", "-e", "stain,phantom-cnn", "-m", "fd,precision", "--controls", "noise", "--workers", "1"]
SIZES = {"train_slides": 6, "validation_slides": 2, "test_slides": 5, "per_slide": 4}
SMALL = [word for name, value in SIZES.items() for word in ("-o", f"dataset.{name}={value}")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cited")
    mixes = ["-o", "task.steps=2", "-o", "task.patches=12"]
    run("-g", "crop-paste", *WORDS, *SMALL, *mixes, "--seeds", "0,1", home=place / "home", out=place / "ran")
    return place


def cited(place: Path, folder: Path) -> str:
    done = bench("info", folder, "--cite", home=place / "home")
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_everything_that_a_reader_asks_is_there(place: Path) -> None:
    folder = next((place / "ran").glob("crop-paste*"))
    text = cited(place, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for sentence in (
        "crop-paste (version 1) generated 20 patches, one for each test condition, with 2 seeds (0, 1)",
        "cut from another patch of the same slide (prompt source slide; trained with slide)",
        "The data were phantom-cam16 (version 1), patches of 64 pixels: 24 patches of 6 slides to train, 8 patches of 2 "
        "slides to select, 20 patches of 5 slides to test; no slide is in two splits",
        "Measured were fd, precision over stain (version",
        "over phantom-cnn (version 1, weights ",
        "Downstream models of cam16-seg (version 1) were trained from 12 training conditions on real, synthetic, ",
        "procedural tissue",
        "describe other slides of the same 4 laboratories",
        f"digest of the records {manifest['records']['digest'][:16]}",
        "Options of cam16-seg: encoder tu-test_resnet",
    ):
        assert sentence in text, text
    assert "noise" not in text, "controls are not what the paragraph is about"


def test_other_prompts_and_unknown_sources_are_named(place: Path, tmp_path: Path) -> None:
    words = ["-g", "crop-paste", *WORDS, *SMALL, "--seeds", "0", "--no-downstream", "--prompt-source", "self"]
    text = cited(place, run(*words, home=place / "home", out=tmp_path / "self"))
    assert "cut from the image to be generated (prompt source self; trained with slide)" in text and "1 seed (0)" in text
    assert "Downstream" not in text and "Options of" not in text


def test_a_folder_that_is_none_of_a_run_is_refused(place: Path, tmp_path: Path) -> None:
    done = bench("info", tmp_path, "--cite", home=place / "home")
    assert done.exit_code == 3 and "no manifest.json" in done.stderr
    shown = bench("info", next((place / "ran").iterdir()), "--cite", "--json", home=place / "home")
    assert json.loads(shown.stdout)["paragraph"].startswith("crop-paste")


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(place: Path, tmp_path: Path) -> None:
    folder = next((place / "ran").glob("crop-paste*"))
    other = tmp_path / "other"
    other.mkdir()
    for name in ("manifest.json", "results.jsonl"):
        text = (folder / name).read_text(encoding="utf-8").replace("phantom-cam16", "phantom\\u001b[31m\\ncam16")
        (other / name).write_text(text, encoding="utf-8")
    shown = bench("info", other, "--cite", home=place / "home")
    assert shown.exit_code in (0, 3) and "\x1b" not in shown.stdout + shown.stderr

"""Class maps with 255, not annotated: everything built in takes them, and the contract check finds what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from bench import registry
from bench.cli.check import command
from bench.contracts.layouts import layouts
from bench.contracts.mock import mock, partly_annotated
from bench.files.names import file_stem
from bench.histology import pictures, training_mixes
from bench.pipeline import exporting, prompts
from bench.types import GREY, NOT_ANNOTATED, ImageSet, TrainingMix, image_seeds, silent
from tests.small_run import bench, run
from tests.tasks import small_folder

SMALL = {"steps": "2"}
GENERATORS = [name for name in registry.names("generators") if name not in ("folder", "diffusers")]


@pytest.fixture(scope="module")
def patches() -> ImageSet:
    """Regions, some of them not annotated, with crops cut from what is."""
    return prompts.attach(partly_annotated(mock(64)), prompts.PromptRule())


@pytest.fixture(scope="module")
def nuclei() -> ImageSet:
    """Typed nuclei, some patches partly not annotated."""
    return partly_annotated(layouts(64))


def plug_in(kind: str, name: str) -> Any:
    cls, _ = registry.find(kind, name)
    return cls.trial() if hasattr(cls, "trial") else registry.load(kind, name)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_accepts_maps_with_255(name: str, patches: ImageSet, tmp_path: Path) -> None:
    generator = plug_in("generators", name)
    if hasattr(generator, "fit"):
        generator.fit(patches, 0, silent, tmp_path)
    images = generator.generate(patches.conditions, image_seeds(0, patches.conditions.ids))
    assert images.shape == patches.images.shape and images.dtype == np.uint8


@pytest.mark.parametrize("name", ["flat-colour", "crop-paste"])
def test_flat_controls_leave_grey_what_is_not_annotated(name: str, patches: ImageSet, tmp_path: Path) -> None:
    generator = plug_in("generators", name)
    if hasattr(generator, "fit"):
        generator.fit(patches, 0, silent, tmp_path)
    images = generator.generate(patches.conditions, image_seeds(0, patches.conditions.ids))
    assert (images[patches.conditions.masks == NOT_ANNOTATED] == GREY).all()
    assert (images[patches.conditions.masks == 0] != GREY).any()


def test_generate_takes_its_colours_from_annotated_pixels_alone(patches: ImageSet, tmp_path: Path) -> None:
    generator = registry.load("generators", "flat-colour")
    generator.fit(patches, 0, silent, tmp_path)
    images = generator.generate(patches.conditions, image_seeds(0, patches.conditions.ids))
    masks = patches.conditions.masks
    for value in range(2):
        expected = np.rint(patches.images[masks == value].astype(np.float64).mean(axis=0))
        assert (images[masks == value] == expected).all()


@pytest.mark.parametrize("name", registry.names("layout_generators"))
def test_every_layout_generator_accepts_maps_with_255(name: str, nuclei: ImageSet, tmp_path: Path) -> None:
    generator = plug_in("layout_generators", name)
    if hasattr(generator, "fit"):
        generator.fit(nuclei, 0, silent, tmp_path)
    sampled = generator.sample(nuclei.conditions, image_seeds(0, nuclei.conditions.ids))
    assert sampled.masks.max() < len(nuclei.conditions.classes)


@pytest.mark.parametrize("name", registry.expand("metrics", ("layout",)))
def test_every_layout_metric_leaves_255_out(name: str, nuclei: ImageSet) -> None:
    metric = registry.load("metrics", name)
    other = registry.load("layout_generators", "random-discs").sample(nuclei.conditions, image_seeds(0, nuclei.conditions.ids))
    none = np.where(nuclei.conditions.masks == NOT_ANNOTATED, 0, nuclei.conditions.masks).astype(np.uint8)
    real = [metric.measured(each) for each in (nuclei.conditions, replace(nuclei.conditions, masks=none, types=none))]
    values = [metric.compare_layouts(each, metric.measured(other)) for each in real]
    assert np.isfinite(values[0]) and values[0] == values[1]


def test_the_condition_metric_accepts_maps_with_255(nuclei: ImageSet, tmp_path: Path) -> None:
    metric = registry.load("metrics", "nuclei-faithfulness", **SMALL)
    metric.learn(nuclei, nuclei, 0, silent, tmp_path)
    counts = metric.agree(nuclei, tmp_path).counts
    assert np.isfinite(counts).all()
    assert counts[-1, 0] == 0, "in a patch that is not annotated at all no nucleus is asked for"


@pytest.mark.parametrize("synthetic_source", ["generated", "shuffled", "copied", "augmented"])
@pytest.mark.parametrize("task", registry.names("tasks"))
def test_every_task_learns_from_and_scores_maps_with_255(
    task: str, synthetic_source: Any, patches: ImageSet, nuclei: ImageSet
) -> None:
    shown = nuclei if task == "lizard-nuclei" else patches
    training = training_mixes.training_sets(
        TrainingMix("real+synthetic", 1.0, 1.0, synthetic_source), shown, replace(shown, key="others")
    )
    scored = registry.load("tasks", task, **SMALL, batch="4").score(training, shown, shown, 0, silent)
    assert np.isfinite(scored.counts).all() and len(scored.counts) == len(shown)
    assert (scored.counts[-1] == 0).all(), "a patch that is not annotated at all counts nowhere"


def test_pictures_show_255_in_black_and_exports_keep_it(patches: ImageSet, tmp_path: Path) -> None:
    colours = pictures.render_maps(patches.conditions)
    assert (colours[patches.conditions.masks == NOT_ANNOTATED] == 0).all()
    pictures.write_picture(patches, {"generator": patches}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").is_file()
    exporting.write_conditions({"test": patches}, tmp_path / "out", 0)
    file = tmp_path / "out/masks" / f"{file_stem(str(patches.conditions.ids[0]))}.png"
    assert np.array_equal(np.asarray(Image.open(file)), patches.conditions.masks[0])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight images of which nobody annotated the lowest rows."""

    def partly(seed: int) -> NDArray[np.uint8]:
        mask = small_folder.halves(share=0.4 + seed % 3 / 10)
        mask[-10:] = NOT_ANNOTATED
        return mask

    pictures = {f"image-{i}": (small_folder.photo(seed=i), partly(i)) for i in range(8)}
    return small_folder.write(tmp_path_factory.mktemp("data") / "set", pictures)


def test_a_run_on_a_folder_with_255_gives_every_number(data: Path, tmp_path: Path) -> None:
    words = ["-g", "flat-colour", "-t", "cam16-seg", "--data", data, "-e", "stain", "-m", "kid", "--seeds", "0"]
    controls = ["--controls", "real,shuffle,blur,crop-paste", "--prompt-source", "self"]
    folder = run(*words, *controls, "-o", "task.steps=2", home=tmp_path / "home", out=tmp_path / "out")
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert not [line["reason"] for line in lines if line["status"] == "error"]
    found = {line["measure"] for line in lines if line["generator"] == "flat-colour" and line["status"] == "ok"}
    assert {"kid", "iou"} <= found


STOPS_ON_255 = """\
import numpy as np
from bench.errors import UsageError
from bench.types import Card

class Mine:
    card = Card("mine", "1", "A colour for each class.", licence="Apache-2.0", needs=("masks",))
    deterministic = True

    def generate(self, conditions, seeds):
        if conditions.masks is None:
            raise UsageError("mine needs masks.")
        colours = np.linspace((230, 180, 210), (120, 60, 140), len(conditions.classes))
        return colours[conditions.masks].astype(np.uint8)
"""


def test_bench_check_names_a_generator_that_stops_on_255(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(STOPS_ON_255)
    done = CliRunner().invoke(command, [f"{file}:Mine", "--json"])
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    failed = {each["name"]: each["reason"] for each in outcomes if each["status"] == "failed"}
    assert done.exit_code == 4 and list(failed) == ["accepts_not_annotated"]
    assert "IndexError: index 255" in failed["accepts_not_annotated"]


def test_bench_check_passes_a_generator_made_by_bench_new(tmp_path: Path) -> None:
    done = bench("new", "generator", "my-gan", "--dir", tmp_path, home=tmp_path / "home")
    assert done.exit_code == 0
    checked = CliRunner().invoke(command, [f"{tmp_path}/my_gan/my_gan.py:MyGan", "--size", "32"])
    assert checked.exit_code == 0 and "✓ accepts not annotated" in checked.stdout

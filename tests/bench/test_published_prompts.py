"""The crops of HeteroTissue-Diffuse's public code, held against a literal re-statement of what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from bench import registry
from bench.pipeline import prompts
from bench.pipeline.prompts import PromptRule
from bench.types import GREY, image_seeds, silent
from tasks.datasets.phantom.dataset import PhantomPanda
from tests.small_run import bench, export_conditions, read_values, run
from tests.tasks import small_folder

Mask = NDArray[np.uint8]
SIZE = 256
KEPT = ["-o", "dataset.size=256", "-o", "dataset.smallest=0.01", "-o", "dataset.largest=1"]
SELF = ["--prompt-source", "self", "-o", "crop=published"]


def first_window(region: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """y, x and side of the first square of 200, 190, ..., 40 px, 10 px apart in raster order, that lies in the region."""
    for side in range(200, 30, -10):
        for y in range(0, SIZE - side + 1, 10):
            for x in range(0, SIZE - side + 1, 10):
                if region[y : y + side, x : x + side].all():
                    return y, x, side
    return None


def expected_area(side: int) -> tuple[float, float]:
    """Mean and variance of the pixels of a crop: above 100 px height and width are each drawn from [64, side)."""
    if side <= 100:
        return float(side**2), 0.0
    lengths = np.arange(64, side, dtype=np.float64)
    return lengths.mean() ** 2, (lengths**2).mean() ** 2 - lengths.mean() ** 4


def regions(i: int) -> Mask:
    """A map of two classes whose border lies elsewhere in each image, upright in one half of them and level in the other."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, 55 + 4 * i :] = 1
    return mask if i % 2 else mask.T.copy()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 images of as many slides, in pixels of grey values that no canvas has outside its crop."""
    pictures = {f"p{i:02d}": (small_folder.photo(SIZE, SIZE, i) // 4, regions(i)) for i in range(32)}
    return small_folder.write(tmp_path_factory.mktemp("published") / "set", pictures)


def exported(out: Path, data: Path, *words: object) -> list[dict[str, str]]:
    return export_conditions(out, "--task", "region-seg", "--data", data, *KEPT, *words)


def crops(rows: list[dict[str, str]], out: Path) -> Iterator[tuple[int, tuple[int, ...], Mask]]:
    """Class, box y0 x0 y1 x1, and the map of the patch, of every crop."""
    for row in rows:
        mask = np.asarray(Image.open(out / "conditions" / row["masks"]))
        for c in range(int(mask.max()) + 1):
            if box := row.get(f"box_class-{c}"):
                yield c, tuple(map(int, box.split())), mask


def test_windows_and_shares_are_those_of_the_public_code(data: Path, tmp_path: Path) -> None:
    found = list(crops(exported(tmp_path, data, *SELF), tmp_path))
    areas, means, variances = [], [], []
    for c, (y0, x0, y1, x1), mask in found:
        window = first_window(mask == c)
        assert window is not None
        y, x, side = window
        assert (y0, x0) == (y, x)
        if side <= 100:
            assert (y1 - y0, x1 - x0) == (side, side)
        else:
            assert 64 <= y1 - y0 < side and 64 <= x1 - x0 < side
        mean, variance = expected_area(side)
        areas.append((y1 - y0) * (x1 - x0))
        means.append(mean)
        variances.append(variance)
    assert len(found) > 40
    assert abs(sum(areas) - sum(means)) < 4 * np.sqrt(sum(variances))
    lengths = np.array([(y1 - y0, x1 - x0) for _, (y0, x0, y1, x1), _ in found])
    assert (lengths[:, 0] != lengths[:, 1]).any() and len(np.unique(lengths)) > 10


def coverage(data: Path, out: Path, *words: str) -> dict[str, float]:
    asked = (
        "-g crop-paste -t region-seg --no-downstream --controls none -e stain -m kid --seeds 0 --prompt-source self".split()
    )
    return read_values(run(*asked, "--data", data, *KEPT, *words, home=out / "home", out=out / "out"))


def test_a_run_reports_the_share_that_the_public_code_shows_and_less_than_the_largest_square(
    data: Path, tmp_path: Path
) -> None:
    published, largest = coverage(data, tmp_path, "-o", "crop=published"), coverage(data, tmp_path)
    rows = [row for row in exported(tmp_path, data, *SELF) if row["split"] == "test"]
    expected, variance = 0.0, 0.0
    for row in rows:
        mask = np.asarray(Image.open(tmp_path / "conditions" / row["masks"]))
        for c in (0, 1):
            window = first_window(mask == c)
            if window:
                mean, spread = expected_area(window[2])
                expected, variance = expected + mean, variance + spread
    pixels = len(rows) * SIZE**2
    assert abs(published["prompt-coverage"] - expected / pixels) < 4 * np.sqrt(variance) / pixels
    assert largest["prompt-coverage"] > 1.5 * published["prompt-coverage"]


@pytest.fixture(scope="module")
def panda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels as PANDA has them: background on the left, on the right stroma above, and below it bands of 30 px of labels 2 to
    5, none of which holds a window of 40 px alone. Every third image has only background and stroma in thin stripes."""
    pictures = {}
    for i in range(15):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[:, 100:] = 1
        if i % 3:
            for label in range(2, 6):
                mask[30 * label + 60 : 30 * label + 90, 100:] = label
        else:
            mask[:] = np.indices(mask.shape)[1] // 30 % 2
        pictures[f"p{i:02d}"] = small_folder.photo(SIZE, SIZE, i) // 4, mask
    return small_folder.write(tmp_path_factory.mktemp("panda") / "set", pictures)


MERGED = ["--class-map", "0=0,1=1,2=2,3=2,4=2,5=2"]


def test_labels_of_panda_are_merged_before_the_search_and_the_background_has_no_crop(panda: Path, tmp_path: Path) -> None:
    rows = exported(tmp_path, panda, *MERGED, *SELF, "-o", "background=none")
    assert all(row["box_class-0"] == row["prompt_class-0"] == "" for row in rows)
    shown = {c for c, _, _ in crops(rows, tmp_path)}
    assert shown == {1, 2}
    for c, (y0, x0, y1, x1), mask in crops(rows, tmp_path):
        assert (mask[y0:y1, x0:x1] == c).all()


def test_the_fallback_of_panda_shows_the_class_before(panda: Path, tmp_path: Path) -> None:
    rows = exported(tmp_path, panda, *MERGED, *SELF, "-o", "background=none", "-o", "fallback=paper-panda")
    striped = 0
    for row in rows:
        mask = np.asarray(Image.open(tmp_path / "conditions" / row["masks"]))
        if mask.max() < 2:
            striped += 1
            for c in (1, 2):
                canvas = np.asarray(Image.open(tmp_path / "conditions" / row[f"prompt_class-{c}"]))
                assert ((canvas != GREY).any(axis=2) == (mask == c - 1)).all()
    assert striped > 2


def test_whole_regions_of_the_fallback_are_counted(panda: Path, tmp_path: Path) -> None:
    words = [*MERGED, "-o", "crop=published", "-o", "background=none"]
    without = coverage(panda, tmp_path, *words)
    shifted = coverage(panda, tmp_path, *words, "-o", "fallback=paper-panda")
    assert without["prompt-whole"] == 0 < shifted["prompt-whole"]
    assert without["prompt-missing"] > 0 == shifted["prompt-missing"]


@pytest.mark.parametrize("option", ["crop=published", "background=none", "fallback=paper", "fallback=paper-panda"])
def test_each_option_changes_the_crops(option: str, panda: Path, tmp_path: Path) -> None:
    plain = exported(tmp_path / "plain", panda, *MERGED, "--prompt-source", "self")
    changed = exported(tmp_path / "changed", panda, *MERGED, "--prompt-source", "self", "-o", option)
    assert plain != changed


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "crop=published"], "add --prompt-source self"),
        (["-o", "fallback=paper-panda"], "add --prompt-source self"),
        ([*SELF, "-o", "smallest=0.3"], "leave out smallest"),
        ([*SELF, "-o", "rotate=true"], "leave out rotate"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], text: str, tmp_path: Path) -> None:
    done = bench("export", "conditions", "--task", "cam16-seg", "--out", tmp_path / "c", *words, home=tmp_path / "home")
    assert done.exit_code == 2 and text in done.stderr


def test_crops_of_another_size_are_scaled() -> None:
    region = np.zeros((64, 64), dtype=bool)
    region[:, 20:] = True
    boxes = [prompts.published_window(region, np.random.default_rng(i)) for i in range(200)]
    assert {(y, x) for y, x, _, _ in boxes} == {(0, 20)}
    sides = {length for y0, x0, y1, x1 in boxes for length in (y1 - y0, x1 - x0)}
    assert min(sides) == 16 and max(sides) == round(170 / 4) - 1


def test_the_network_for_panda_has_nine_channels(tmp_path: Path) -> None:
    patches = PhantomPanda(train_slides=3, per_slide=4).split("train")
    masks = np.minimum(patches.conditions.masks, 2)
    conditions = {"masks": masks, "classes": patches.conditions.classes[:3]}
    made = prompts.attach(replace(patches, conditions=replace(patches.conditions, **conditions)), PromptRule())
    images = {}
    for crops_of, channels in (("every-class", 12), ("without-background", 9)):
        generator = registry.load("generators", "ldm-prompt", steps="2", stage_steps="2", sample_steps="2", crops=crops_of)
        work, saved = tmp_path / crops_of / "work", tmp_path / crops_of / "saved"
        work.mkdir(parents=True)
        saved.mkdir()
        generator.fit(made, 0, silent, work)
        generator.save(saved)
        weights = load_file(saved / "ldm-prompt.safetensors")
        assert weights["cond_stage_model.channel_mapper.weight"].shape[1] == channels
        again = registry.load("generators", "ldm-prompt", sample_steps="2", crops=crops_of)
        again.load(saved)
        images[crops_of] = again.generate(made.conditions, image_seeds(0, made.conditions.ids))
    assert not np.array_equal(images["every-class"], images["without-background"])
    training_configs = [registry.load("generators", "ldm-prompt", crops=name).training_config() for name in images]
    assert training_configs[0] != training_configs[1]

"""The task of nuclei: it learns, selects on validation only, repeats exactly, and says what it cannot use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.errors import BenchError, MissingError, UsageError
from bench.types import Conditions, ImageSet, Tally, Task, silent
from tasks.nuclei.task import LizardNuclei

CLASSES = ("background", "large", "small")
COLOURS = np.array([(235, 170, 200), (150, 90, 170), (50, 60, 130)])
RADII = (0.0, 5.2, 3.4)


def toy(count: int, seed: int, size: int = 32) -> ImageSet:
    """Patches with large pale and small dark discs that may touch."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    instances = np.zeros((count, size, size), np.int32)
    masks = np.zeros(instances.shape, np.uint8)
    for patch in range(count):
        for number in range(1, size * size // 200 + 1):
            kind, (cy, cx) = int(rng.integers(1, 3)), rng.uniform(0, size, 2)
            disc = (np.hypot(y - cy, x - cx) < RADII[kind]) & (instances[patch] == 0)
            instances[patch][disc], masks[patch][disc] = 10 * number, kind
    images = np.clip(COLOURS[masks] + rng.normal(0, 8, (*masks.shape, 3)), 0, 255).astype(np.uint8)
    names = np.array([f"{seed}-{i}" for i in range(count)])
    given = Conditions(names, names, CLASSES, size, 1.0, masks=masks, instances=instances, types=masks)
    return ImageSet(f"toy-{seed}", images, given)


def changed(patches: ImageSet, **columns: Any) -> ImageSet:
    return replace(patches, conditions=replace(patches.conditions, **columns))


def masks_of(patches: ImageSet) -> Any:
    assert patches.conditions.masks is not None
    return patches.conditions.masks.copy()


def instances_of(patches: ImageSet) -> Any:
    assert patches.conditions.instances is not None
    return patches.conditions.instances.copy()


TRAIN, VALIDATION, TEST = toy(24, 1), toy(6, 2), toy(8, 3)
QUICK: dict[str, Any] = {"steps": 4, "batch": 4}
LEARNS: dict[str, Any] = {"steps": 60, "batch": 8}


def value(tally: Tally, name: str) -> float:
    return float(tally.measures[name](dict(zip(tally.columns, tally.counts.sum(axis=0).tolist(), strict=True))))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "hovernet.safetensors"))


def learned(task: LizardNuclei, folder: Path, mix: list[ImageSet], validation: ImageSet = VALIDATION, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    task.learn(mix, validation, seed, silent, folder)
    return folder


def same(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return all((ours[name] == theirs[name]).all() for name in ours)


def test_the_registered_task_fulfils_the_protocol() -> None:
    task = registry.load("tasks", "lizard-nuclei")
    assert isinstance(task, Task) and task.card.name == "lizard-nuclei"
    assert task.embedded in registry.names("datasets") and set(task.readers) <= set(registry.names("datasets"))
    assert [mix.name for mix in task.mixes] == ["real", "synthetic", "real+synthetic"] and LizardNuclei.pool == "R2"
    options = registry.describe(task)["options"]
    assert options["steps"] > 0 and options["patches"] > 0 and options["encoder_weights"] is None


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learned(LizardNuclei(**LEARNS), tmp_path_factory.mktemp("nuclei") / "taught", [TRAIN])


def test_a_model_learns_from_its_mix(taught: Path) -> None:
    from tasks.nuclei.scores import nuclei_counts, nuclei_tally

    task = LizardNuclei(**LEARNS)
    made = nuclei_tally(nuclei_counts(*task.segment(taught, TEST.images), TEST.conditions), CLASSES)
    assert value(made, "dice-binary") > 0.85 and value(made, "pq") > 0.5 and value(made, "mpq+") > 0.4
    blank = changed(TRAIN, masks=np.roll(masks_of(TRAIN), 1, axis=0), instances=np.roll(instances_of(TRAIN), 1, axis=0))
    misled = task.score([blank], VALIDATION, TEST, 0, silent)
    assert value(misled, "dice-binary") < value(made, "dice-binary") - 0.2
    assert value(misled, "mpq+") < value(made, "mpq+") - 0.2


def test_what_is_called_is_nuclei_with_one_type_each(taught: Path) -> None:
    instances, types = LizardNuclei(**QUICK).segment(taught, TEST.images)
    assert instances.dtype == np.int32 and types.dtype == np.uint8 and instances.shape == types.shape == (8, 32, 32)
    assert ((instances > 0) == (types > 0)).all() and set(np.unique(types).tolist()) <= {0, 1, 2}
    for patch, kinds in zip(instances, types, strict=True):
        numbers = np.unique(patch[patch > 0])
        assert numbers.tolist() == list(range(1, len(numbers) + 1))
        assert all(len(np.unique(kinds[patch == number])) == 1 for number in numbers)


def test_the_folder_alone_decides_what_is_called(taught: Path) -> None:
    """Each patch for itself, whatever the options of the task that reads it, and at another size."""
    instances, types = LizardNuclei(**QUICK).segment(taught, TEST.images)
    again = LizardNuclei(batch=3, preset="paper").segment(taught, TEST.images[::-1])
    assert (again[0][::-1] == instances).all() and (again[1][::-1] == types).all()
    assert json.loads((taught / "hovernet.json").read_text()) == {
        "network": {"features": 6, "layers": [1, 1, 1, 1], "dense": [2, 1]},
        "classes": list(CLASSES),
        "mpp": 1.0,
    }
    assert LizardNuclei().segment(taught, toy(1, 9, 48).images)[0].any()


def test_score_is_learning_and_segmenting_and_counting(tmp_path: Path) -> None:
    from tasks.nuclei.scores import nuclei_counts

    task = LizardNuclei(**QUICK)
    folder = learned(task, tmp_path / "a", [TRAIN])
    made = task.score([TRAIN], VALIDATION, TEST, 0, silent)
    assert (made.counts == nuclei_counts(*task.segment(folder, TEST.images), TEST.conditions)).all()
    again = task.tally(made.counts, CLASSES)
    assert again.columns == made.columns and set(again.measures) == set(made.measures)


def test_seeds_decide_everything_and_nothing_outside_changes(tmp_path: Path) -> None:
    import torch

    task = LizardNuclei(**QUICK)
    before = torch.get_rng_state()
    first = learned(task, tmp_path / "a", [TRAIN])
    assert (torch.get_rng_state() == before).all()
    torch.rand(7)
    assert same(first, learned(task, tmp_path / "b", [TRAIN]))
    assert not same(first, learned(task, tmp_path / "c", [TRAIN], seed=1))


@pytest.mark.parametrize("options", [{"steps": 6}, {"batch": 6}, {"learning_rate": 1e-4}], ids=lambda o: next(iter(o)))
def test_every_option_changes_the_result(options: dict[str, Any], tmp_path: Path) -> None:
    usual = learned(LizardNuclei(**QUICK), tmp_path / "a", [TRAIN])
    assert not same(usual, learned(LizardNuclei(**{**QUICK, **options}), tmp_path / "b", [TRAIN]))


def test_the_preset_of_the_paper_is_wider_and_takes_an_encoder(tmp_path: Path) -> None:
    from tests.tasks.nuclei.test_training import resnet

    file, _ = resnet(tmp_path)
    task = LizardNuclei(preset="paper", steps=1, batch=2, encoder_weights=file)
    assert registry.describe(task)["digest"] and "digest" not in registry.describe(LizardNuclei())
    given = learned(task, tmp_path / "a", [TRAIN[:4]], VALIDATION[:2])
    plain = learned(LizardNuclei(preset="paper", steps=1, batch=2), tmp_path / "b", [TRAIN[:4]], VALIDATION[:2])
    assert weights(given).keys() == weights(plain).keys() and not same(given, plain)
    assert sum(values.size for values in weights(plain).values()) > 37e6


def test_budgets_are_equal_whatever_the_mix(tmp_path: Path) -> None:
    def steps(name: str, mix: list[ImageSet]) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        (tmp_path / name).mkdir()
        LizardNuclei(**QUICK).learn(mix, VALIDATION, 0, lambda done, total, what: seen.append((done, total)), tmp_path / name)
        return seen

    assert steps("a", [TRAIN]) == steps("b", [TRAIN, toy(9, 4)]) == steps("c", [TRAIN[:3]]) == [(i, 4) for i in range(1, 5)]


def test_both_sets_of_a_mix_are_learned_from(tmp_path: Path) -> None:
    task = LizardNuclei(**QUICK)
    assert not same(learned(task, tmp_path / "a", [TRAIN, toy(24, 4)]), learned(task, tmp_path / "b", [TRAIN, toy(24, 5)]))


def test_the_checkpoint_is_chosen_on_validation_and_never_on_test(tmp_path: Path) -> None:
    task = LizardNuclei(steps=16, batch=4)
    outside = masks_of(VALIDATION) == 0
    misleading = changed(VALIDATION, masks=outside.astype(np.uint8), instances=outside.astype(np.int32))
    assert not same(learned(task, tmp_path / "a", [TRAIN]), learned(task, tmp_path / "b", [TRAIN], misleading))
    usual = task.score([TRAIN], VALIDATION, TEST, 0, silent)
    moved = changed(TEST, masks=masks_of(TEST)[:, ::-1], instances=instances_of(TEST)[:, ::-1])
    other = task.score([TRAIN], VALIDATION, moved, 0, silent)
    predicted = [i for i, name in enumerate(usual.columns) if name.startswith("called-")]
    assert (usual.counts[:, predicted] == other.counts[:, predicted]).all() and (usual.counts != other.counts).any()


def test_unlabelled_pixels_teach_nothing(tmp_path: Path) -> None:
    masks, instances = masks_of(TRAIN), instances_of(TRAIN)
    masks[:, 16:], instances[:, 16:] = 255, 0
    hidden = changed(TRAIN, masks=masks, instances=instances, types=None)
    task = LizardNuclei(**LEARNS)
    wrong = changed(TRAIN, masks=np.where(masks == 255, 0, masks), instances=instances)
    scores = [value(task.score([mix], VALIDATION, TEST, 0, silent), "dice-binary") for mix in (hidden, wrong)]
    assert scores[0] > 0.8 and scores[0] > scores[1]


def test_a_type_that_the_mix_lacks_is_not_learned() -> None:
    masks = masks_of(TRAIN)
    instances = np.where(masks == 1, instances_of(TRAIN), 0)
    large = changed(TRAIN, masks=np.where(masks == 1, masks, 0).astype(np.uint8), instances=instances)
    made = LizardNuclei(**LEARNS).score([large], VALIDATION, TEST, 0, silent)
    assert value(made, "f1:small") == 0 < value(made, "f1:large")
    assert made.counts[:, made.columns.index("called-nuclei:small")].sum() == 0


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_shortest_trainings_end(steps: int) -> None:
    """Five steps rise for one, by whose length less one torch divides."""
    assert LizardNuclei(steps=steps, batch=2).score([TRAIN], VALIDATION, TEST, 0, silent).counts.shape[0] == 8


def test_any_multiple_of_eight_is_a_patch() -> None:
    sets = [toy(4, seed, 40) for seed in (1, 2, 3)]
    assert LizardNuclei(steps=1, batch=2).score([sets[0]], sets[1], sets[2], 0, silent).counts.shape[0] == 4


def without_nuclei(patches: ImageSet) -> ImageSet:
    return changed(patches, masks=masks_of(patches) * 0, instances=instances_of(patches) * 0)


def torn(patches: ImageSet) -> ImageSet:
    instances = instances_of(patches)
    instances[2] = 0
    return changed(patches, instances=instances)


Training = tuple[list[ImageSet], ImageSet, ImageSet]
REFUSED: dict[str, tuple[Callable[[], Training], type[BenchError], str]] = {
    "empty test": (lambda: ([TRAIN], VALIDATION, TEST[:0]), MissingError, "lizard-nuclei, test: there are no patches"),
    "empty validation": (lambda: ([TRAIN], VALIDATION[:0], TEST), MissingError, "validation: there are no patches"),
    "empty training mix": (lambda: ([TRAIN[:0]], VALIDATION, TEST), MissingError, "training mix: there are no patches"),
    "no training mix": (lambda: ([], VALIDATION, TEST), MissingError, "training mix: there are no patches"),
    "no masks": (lambda: ([changed(TRAIN, masks=None)], VALIDATION, TEST), UsageError, "needs conditions with masks"),
    "no instances": (
        lambda: ([changed(TRAIN, instances=None)], VALIDATION, TEST),
        UsageError,
        "needs conditions with instances",
    ),
    "no nuclei": (lambda: ([without_nuclei(TRAIN)], VALIDATION, TEST), MissingError, "training mix: no nucleus in 24 patches"),
    "no nuclei to score": (lambda: ([TRAIN], VALIDATION, without_nuclei(TEST)), MissingError, "test: no nucleus in 8 patches"),
    "two sizes": (lambda: ([toy(4, 1, 48)], VALIDATION, TEST), UsageError, "found 32 x 32 and 48 x 48"),
    "odd size": (lambda: ([toy(4, 1, 36)], toy(4, 2, 36), toy(4, 3, 36)), UsageError, "a multiple of 8 px"),
    "other classes": (lambda: ([changed(TRAIN, classes=("a", "b", "c"))], VALIDATION, TEST), UsageError, "the classes are"),
    "strange types": (lambda: ([changed(TRAIN, masks=masks_of(TRAIN) * 3)], VALIDATION, TEST), UsageError, "class ids 3, 6"),
    "one class": (
        lambda: ([], changed(VALIDATION, classes=("background",)), changed(TEST, classes=("background",))),
        UsageError,
        "nuclei need a class beside the background",
    ),
    "maps that disagree": (lambda: ([torn(TRAIN)], VALIDATION, TEST), UsageError, "1 of 24 patches differ: 1-2"),
    "maps of two shapes": (
        lambda: ([changed(TRAIN, instances=instances_of(TRAIN)[:, 8:])], VALIDATION, TEST),
        UsageError,
        "maps of types and of instances differ in shape",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_before_training(case: str) -> None:
    make, kind, message = REFUSED[case]

    def never(done: int, total: int, what: str) -> None:
        raise AssertionError("trained")

    with pytest.raises(kind, match=message):
        LizardNuclei(**QUICK).score(*make(), 0, never)


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"patches": -1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="takes steps >= 1, batch >= 2"):
        LizardNuclei(**options)


def test_encoder_weights_need_their_preset_and_their_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fit the preset 'paper', whose encoder is a ResNet-50, not"):
        LizardNuclei(encoder_weights=tmp_path / "resnet.pth")
    with pytest.raises(MissingError, match="no encoder weights at .*resnet.pth"):
        LizardNuclei(preset="paper", encoder_weights=tmp_path / "resnet.pth")


def test_what_was_never_trained_cannot_segment(tmp_path: Path, taught: Path) -> None:
    with pytest.raises(MissingError, match="no trained network, .*hovernet.json is missing"):
        LizardNuclei().segment(tmp_path, TEST.images)
    with pytest.raises(UsageError, match="multiples of 8 px; found"):
        LizardNuclei().segment(taught, TEST.images[:, :30])


def test_a_training_that_diverges_is_no_score() -> None:
    with pytest.raises(UsageError, match="diverged by step"):
        LizardNuclei(steps=8, batch=4, learning_rate=1e30).score([TRAIN], VALIDATION, TEST, 0, silent)

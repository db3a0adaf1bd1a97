"""The checks of generators pass what keeps their rules and find what breaks them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contracts import Outcome, check_generator
from bench.messages import needed
from bench.runtime.precision import in_fixed_batches
from bench.types import Card, Conditions, Images, ImageSet, Progress

Seeds = NDArray[np.uint64]
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


class Good:
    """A generator that keeps every rule: a colour per class and grain by the seed."""

    card = Card("good", "1", "Keeps every rule.", licence="MIT", needs=("masks",))

    def __init__(self, grain: float = 9.0) -> None:
        self.grain = grain

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        masks = needed("good", "masks", conditions.masks)
        noise = [np.random.default_rng(s).normal(0, self.grain, (*masks.shape[1:], 3)) for s in seeds.tolist()]
        return np.clip(100 + 60 * masks[..., None] + np.stack(noise), 0, 255).astype(np.uint8)


class Fitted(Good):
    """A trainable that keeps every rule."""

    card = Card("fitted", "1", "Keeps every rule.", licence="MIT", needs=("masks",))

    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        self.mean = train.images.mean()

    def save(self, folder: Path) -> None:
        (folder / "mean").write_text(str(self.mean))

    def load(self, folder: Path) -> None:
        self.mean = float((folder / "mean").read_text())

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        generated = super().generate(conditions, seeds)
        return np.where(generated > self.mean, generated, np.uint8(9))


class WrongShape(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return super().generate(conditions, seeds)[:, 1:]


class Floats(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Any:
        return super().generate(conditions, seeds) / 255


class RoundedTooEarly(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return (super().generate(conditions, seeds) / 255).round().astype(np.uint8)


class Black(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        images[conditions.ids == "mock-1/1"] = 0
        return images


class WarnsOfNan(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        images[:, 0, 0] = np.array(np.nan).astype(np.uint8)
        return images


class ByPlace(Good):
    """The place in the batch enters."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        images[:, 0, 0, 0] = np.arange(len(images))
        return images


class ByBatch(Good):
    """A mean over the batch enters, as batch normalisation lets it."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        return np.clip(images + images[:, 0].mean() % 7, 0, 255).astype(np.uint8)


class Unseeded(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return super().generate(conditions, np.random.default_rng().integers(0, 9**9, len(seeds), dtype=np.uint64))


class NewWeightsEachTime(Good):
    """Weights drawn without a seed, once for each object."""

    def __init__(self, grain: float = 9.0) -> None:
        super().__init__(grain)
        self.weights = np.random.default_rng().integers(0, 200, 3, dtype=np.uint8)

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return super().generate(conditions, seeds) // 2 + self.weights // 2


class IgnoresSeeds(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return super().generate(conditions, np.zeros_like(seeds))


class SaysDeterministic(Good):
    deterministic = True


class ForgetsToSave(Fitted):
    def load(self, folder: Path) -> None:
        self.mean = 120.0


class ReadsUndeclaredColumn(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return super().generate(conditions, seeds) + (0 if conditions.labels is None else 1)


class CrashesWithoutUndeclaredColumn(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        assert conditions.texts is not None
        return super().generate(conditions, seeds)


class Rounds(Good):
    """The size of the batch changes some values by one grey level, as sums in another order do."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        images[:, 0, 0, 0] = 100 + (len(images) > 7)
        return images


class RoundsAsStated(Rounds):
    card = Card("rounds", "1", "Differs by rounding.", licence="MIT", needs=("masks",), tolerance="rounding")


class DependsOnBatch(ByBatch):
    card = Card("depends", "1", "Differs by more than rounding.", licence="MIT", needs=("masks",), tolerance="rounding")


class InFixedBatches(Rounds):
    """The cure that the message names."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        return in_fixed_batches(super().generate, conditions, seeds, size=4)


class WritesIntoMasks(Good):
    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        assert conditions.masks is not None
        conditions.masks[:] = conditions.masks
        return images


class WritesBehindTheFlag(Good):
    """As torch.from_numpy does, which shares memory and ignores that it is read-only."""

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        images = super().generate(conditions, seeds)
        conditions.groups.flags.writeable = True
        conditions.groups[0] = "x"
        return images


class FitsInPlace(Fitted):
    def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
        super().fit(train, seed, progress, work)
        train.images[:] //= 2


class NoLicence(Good):
    card = Card("good", "1", "Keeps every rule.", needs=("masks",))


class NoCard(Good):
    card = "good"  # type: ignore[assignment]


class EmptyCard(Good):
    card = Card("empty", "", "", licence="MIT", needs=("masks",))


class UnknownNeed(Good):
    card = Card("unknown-need", "1", "Needs what nobody has.", licence="MIT", needs=("mask",))


class DropsOption(Good):
    def __init__(self, grain: float = 9.0) -> None:
        self.grain = 9.5


class HidesOption(Good):
    def __init__(self, strength: float = 9.0) -> None:
        super().__init__(strength)


class Unannotated(Good):
    def __init__(self, grain=9.0) -> None:  # type: ignore[no-untyped-def]
        self.grain = grain


class SwallowsOptions(Good):
    def __init__(self, **options: float) -> None:
        super().__init__()


class OptionWithoutKey(Good):
    def __init__(self, grain: float = 9.0, sizes: frozenset[int] = frozenset({1})) -> None:
        super().__init__(grain)
        self.sizes = sizes


class CannotBuild(Good):
    def __init__(self, grain: float = 9.0) -> None:
        raise RuntimeError("no driver")


def outcomes_of(cls: Any) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in check_generator(cls, size=16)}


@pytest.mark.parametrize("cls", [Good, Fitted])
def test_what_keeps_the_rules_passes(cls: Any) -> None:
    statuses = {name: outcome.status for name, outcome in outcomes_of(cls).items()}
    expected_skips = {"save_load_round_trip"} if cls is Good else set()
    assert {name for name, status in statuses.items() if status != "passed"} == expected_skips
    assert len(statuses) == 13


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (WrongShape, "generates", r"uint8 \(12, 15, 16, 3\), not uint8 \(12, 16, 16, 3\)"),
        (Floats, "generates", "float64"),
        (RoundedTooEarly, "generates", r"floats in \[0, 1\]"),
        (Black, "finite", "1 of 12 images are all black"),
        (WarnsOfNan, "finite", "FloatingPointError: invalid value .*test_contracts.py, line"),
        (ByPlace, "batch_independent", "one by one, the image of mock-0/1"),
        (ByBatch, "batch_independent", "the image of"),
        (Unseeded, "same_seed_same_bytes", "the second time"),
        (NewWeightsEachTime, "same_seed_same_bytes", "the second time"),
        (IgnoresSeeds, "other_seed_other_bytes", "same images"),
        (SaysDeterministic, "other_seed_other_bytes", "declares itself deterministic"),
        (ForgetsToSave, "save_load_round_trip", "other images"),
        (ReadsUndeclaredColumn, "needs_complete", r"what its card needs \(masks\) it generates other images"),
        (CrashesWithoutUndeclaredColumn, "needs_complete", "AssertionError"),
        (Rounds, "batch_independent", r"at most 1 grey level, in .* % of values, which is rounding.*in_fixed_batches"),
        (DependsOnBatch, "batch_independent", "more than rounding"),
        (WritesIntoMasks, "inputs_untouched", "read-only"),
        (WritesBehindTheFlag, "inputs_untouched", "changes the conditions"),
        (FitsInPlace, "inputs_untouched", "changes the training patches"),
        (NoCard, "card_complete", "no attribute card"),
        (EmptyCard, "card_complete", "the card lacks version, summary"),
        (NoLicence, "card_complete", "the card lacks licence"),
        (UnknownNeed, "card_complete", "needs mask, which is no column"),
        (DropsOption, "options_kept", "grain is not kept as it was given"),
        (HidesOption, "options_kept", "option strength is not kept as an attribute"),
        (Unannotated, "options_kept", "option grain has no annotation"),
        (SwallowsOptions, "options_kept", r"takes \*\*options"),
        (SwallowsOptions, "unknown_option_refused", "accepted without an error"),
        (OptionWithoutKey, "options_kept", "cannot be part of a key"),
        (CannotBuild, "builds", "RuntimeError: no driver"),
    ],
)
def test_a_broken_rule_is_found(cls: Any, check: str, reason: str) -> None:
    outcome = outcomes_of(cls)[check]
    assert outcome.status == "failed"
    assert re.search(reason, outcome.reason), outcome.reason


def test_what_cannot_generate_is_not_asked_further() -> None:
    outcomes = outcomes_of(WrongShape)
    assert outcomes["card_complete"].status == "passed"
    after = list(outcomes.values())[list(outcomes).index("generates") + 1 :]
    assert {(outcome.status, outcome.reason) for outcome in after} == {("skipped", "generates failed")}


def test_rounding_that_the_card_states_passes_with_its_size() -> None:
    outcome = outcomes_of(RoundsAsStated)["batch_independent"]
    assert outcome.status == "passed"
    assert re.fullmatch(r"to rounding, as its card states: .* at most 1 grey level, in 0\.\d+ % of values", outcome.reason)


def test_fixed_batches_cure_rounding() -> None:
    assert outcomes_of(InFixedBatches)["batch_independent"].status == "passed"
    with pytest.raises(ValueError, match="at least 1, not 0 and 3"):
        in_fixed_batches(lambda rows: rows, np.arange(3), size=0)


def test_a_trial_is_used_where_it_is_offered() -> None:
    class Heavy(Fitted):
        def __init__(self, steps: int = 1000) -> None:
            super().__init__()
            self.steps = steps

        @classmethod
        def trial(cls) -> Heavy:
            return cls(steps=1)

        def fit(self, train: ImageSet, seed: int, progress: Progress, work: Path) -> None:
            assert self.steps == 1
            super().fit(train, seed, progress, work)

    assert [outcome for outcome in outcomes_of(Heavy).values() if outcome.status != "passed"] == []


def test_registered_name_and_card_agree() -> None:
    outcomes = {outcome.name: outcome for outcome in check_generator(Good, "better", 16)}
    assert outcomes["card_complete"].reason == "it is registered as 'better' and the name on its card is 'good'"

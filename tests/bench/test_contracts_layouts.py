"""What `bench check` finds in layout generators: nothing in sound ones, and each fault by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli.check import command
from bench.contracts import check_layout_metric, check_layouts
from bench.types import Card, Conditions
from generators.layout_controls import RandomDiscs
from metrics.layout import InstanceTable, LayoutMix

Change = Callable[[Conditions], Conditions]


def failed(cls: type[Any]) -> set[str]:
    return {outcome.name for outcome in check_layouts(lambda **options: cls(**options), "", 32) if outcome.status == "failed"}


def changed(change: Change) -> type[Any]:
    """The random discs, changed after they are drawn."""

    class Changed(RandomDiscs):
        def sample(self, asked: Conditions, seeds: Any) -> Conditions:
            return change(super().sample(asked, seeds))

    return Changed


@pytest.mark.parametrize("name", ["nasdm-masks", "copy-masks", "random-discs"])
def test_ours_keep_the_contract(name: str) -> None:
    outcomes = check_layouts(lambda **options: registry.load("layout_generators", name, **options), name, 32)
    assert {outcome.status for outcome in outcomes} <= {"passed", "skipped"}, outcomes


def test_bench_check_finds_the_kind_by_the_name() -> None:
    done = CliRunner().invoke(command, ["random-discs", "--size", "32"])
    assert done.exit_code == 0 and "✓ wanted types matter" in done.stdout


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda sampled: replace(sampled, instances=sampled.instances.astype(np.int64)), "samples"),
        (lambda sampled: sampled.masks, "samples"),
        (lambda sampled: replace(sampled, groups=sampled.ids), "condition_carried"),
        (lambda sampled: replace(sampled, texts=sampled.ids), "condition_carried"),
        (lambda sampled: replace(sampled, types=np.zeros_like(sampled.masks)), "nuclei_sound"),
        (lambda sampled: replace(sampled, instances=np.zeros_like(sampled.instances)), "nuclei_sound"),
        (lambda sampled: replace(sampled, instances=(sampled.masks > 0).astype(np.int32)), "nuclei_sound"),
        (lambda sampled: replace(sampled, masks=(m := sampled.masks * 2), types=m), "nuclei_sound"),
    ],
)
def test_a_faulty_layout_is_named(change: Change, fault: str) -> None:
    assert fault in failed(changed(change))


class _Faulty(RandomDiscs):
    card = Card("faulty", "1", "Random discs with a fault.", licence="MIT")


class Batched(_Faulty):
    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        return super().sample(asked, seeds + np.uint64(len(seeds)))


class Seedless(_Faulty):
    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        return super().sample(asked, np.zeros_like(seeds))


class Forgetful(_Faulty):
    calls = 0

    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        Forgetful.calls += 1
        return super().sample(asked, seeds + np.uint64(Forgetful.calls))


class Peeking(_Faulty):
    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        assert asked.masks is not None
        return super().sample(asked, seeds + asked.masks.reshape(len(asked), -1).argmax(axis=1).astype(np.uint64))


class Deaf(_Faulty):
    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        return super().sample(replace(asked, masks=np.ones((len(asked), asked.size, asked.size), np.uint8)), seeds)


class Scribbling(_Faulty):
    def sample(self, asked: Conditions, seeds: Any) -> Conditions:
        sampled = super().sample(asked, seeds)
        asked.masks[:] = 0  # type: ignore[index]
        return sampled


@pytest.mark.parametrize(
    ("cls", "fault"),
    [
        (Batched, "batch_independent"),
        (Seedless, "other_seed_other_layout"),
        (Forgetful, "same_seed_same_layout"),
        (Peeking, "wanted_types_alone_matter"),
        (Deaf, "wanted_types_matter"),
        (Deaf, "missing_masks_refused"),
        (Scribbling, "inputs_untouched"),
    ],
)
def test_a_faulty_layout_generator_is_named(cls: type[Any], fault: str) -> None:
    assert fault in failed(cls)


def test_weights_that_do_not_come_back_are_named() -> None:
    class Lost(_Faulty):
        kept = 0

        def fit(self, train: Any, seed: Any, progress: Any, work: Any) -> None:
            self.kept = 1

        def save(self, folder: Any) -> None: ...

        def load(self, folder: Any) -> None: ...

        def sample(self, asked: Conditions, seeds: Any) -> Conditions:
            return super().sample(asked, seeds + np.uint64(self.kept))

    assert failed(Lost) == {"save_load_round_trip"}


class Unsound(LayoutMix):
    card = Card("unsound", "1", "A mix with a fault.", licence="MIT")


class Constant(Unsound):
    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return 0.5


class Beyond(Unsound):
    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return 100 * super().compare_layouts(real, sampled)


class Whole(Unsound):
    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return int(super().compare_layouts(real, sampled))


class Sideways(Unsound):
    direction = "up"  # type: ignore[assignment]


class Ordered(Unsound):
    def compare_layouts(self, real: InstanceTable, sampled: InstanceTable) -> float:
        return super().compare_layouts(real[: len(real) // 2], sampled)


class Whichever(Unsound):
    def measured(self, conditions: Conditions) -> InstanceTable:
        return super().measured(conditions[: len(conditions) // 2])


@pytest.mark.parametrize(
    ("cls", "fault"),
    [
        (Constant, "identity"),
        (Beyond, "measures"),
        (Whole, "measures"),
        (Sideways, "direction_valid"),
        (Ordered, "order_independent"),
        (Whichever, "rows_sliceable"),
    ],
)
def test_a_faulty_layout_metric_is_named(cls: type[Any], fault: str) -> None:
    outcomes = check_layout_metric(lambda **options: cls(**options), "", 32)
    assert fault in {outcome.name for outcome in outcomes if outcome.status == "failed"}


def test_bench_check_knows_metrics_of_layouts() -> None:
    done = CliRunner().invoke(command, ["layout-counts", "--size", "32"])
    assert done.exit_code == 0 and "✓ rows sliceable" in done.stdout

"""Metrics of layouts: closed forms, identity, direction, slices, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import registry
from bench.contracts import check_layout_metric
from bench.errors import UsageError
from bench.types import Conditions, LayoutMetric, image_seeds, silent
from generators.layout_controls import CopyMasks, RandomDiscs
from metrics.layout import LAYOUT, InstanceTable, area_distances, count_distances, instance_table, mixes, obedience
from tasks.datasets.phantom.dataset import PhantomLizard

TYPES = ("one", "two")
Nucleus = tuple[int, int]
"""Type and area of a nucleus."""


def conditions(*patches: list[Nucleus], size: int = 16) -> Conditions:
    """Patches of nuclei that fill a row each: areas up to the side."""
    masks = np.zeros((len(patches), size, size), dtype=np.uint8)
    instances = np.zeros(masks.shape, dtype=np.int32)
    for i, nuclei in enumerate(patches):
        for row, (kind, area) in enumerate(nuclei):
            masks[i, row, :area], instances[i, row, :area] = kind, 10 + row
    ids = np.array([f"slide-{i}/0" for i in range(len(patches))])
    return Conditions(ids, ids, ("background", *TYPES), size, 1.0, masks, instances, types=masks)


def value(name: str, real: Conditions, sampled: Conditions) -> float:
    metric = registry.load("metrics", name)
    found: float = metric.compare_layouts(metric.measured(real), metric.measured(sampled))
    assert isinstance(found, float)
    return found


REAL = conditions([(1, 4), (1, 8), (2, 3)], [(1, 6)], [(2, 5), (2, 7), (1, 2)])


@pytest.mark.parametrize("name", LAYOUT)
def test_real_against_itself_is_perfect(name: str) -> None:
    metric = registry.load("metrics", name)
    best = metric.bounds[0] if metric.direction == "lower" else metric.bounds[1]
    assert isinstance(metric, LayoutMetric) and value(name, REAL, REAL) == best


def test_areas_by_closed_form() -> None:
    larger = conditions([(1, 7), (1, 11), (2, 3)], [(1, 9)], [(2, 5), (2, 7), (1, 5)])
    spread = np.std([4, 8, 6, 2], ddof=1)
    assert area_distances(instance_table(REAL), instance_table(larger)).tolist() == pytest.approx([3 / spread, 0])
    assert value("layout-areas", REAL, larger) == pytest.approx(1.5 / spread)
    never = conditions([(1, 4), (1, 8)], [(1, 6)], [(1, 2)])
    assert area_distances(instance_table(REAL), instance_table(never)).tolist() == pytest.approx(
        [0, 5 / np.std([3, 5, 7], ddof=1)]
    )


def test_counts_by_closed_form() -> None:
    fewer = conditions([(1, 4)], [(1, 6)], [(2, 5), (2, 7), (1, 2)])
    found = count_distances(instance_table(REAL), instance_table(fewer))
    assert found.tolist() == pytest.approx([(1 / 3) / np.std([2, 1, 1], ddof=1), (1 / 3) / np.std([1, 0, 2], ddof=1)])
    assert value("layout-counts", REAL, fewer) == pytest.approx(found.mean())


def test_mix_by_closed_form() -> None:
    assert mixes(instance_table(REAL)).tolist() == pytest.approx([4 / 7, 3 / 7])
    assert value("layout-mix", REAL, conditions([(1, 3)])) == pytest.approx(3 / 7)
    assert value("layout-mix", REAL, conditions([])) == 1.0


def test_obedience_by_closed_form() -> None:
    sampled = conditions([(1, 2)], [(1, 2), (2, 2)], [(1, 9), (2, 2)])
    assert value("layout-obeyed", REAL, sampled) == pytest.approx(4 / 6)
    found = obedience(instance_table(REAL), instance_table(sampled))
    assert found[1].tolist() == [0.5, 0.0] and found[0, 0] == 1.0 and np.isnan(found[0, 1])
    again = instance_table(sampled)[[2, 0, 1]]
    assert np.array_equal(obedience(instance_table(REAL), again), found, equal_nan=True), "rows are found by id"


@pytest.mark.parametrize("index", [slice(1, 3), [2, 0], [1, 1, 0], np.array([True, False, True])])
def test_a_slice_of_a_instance_table_is_the_instance_table_of_the_slice(index: object) -> None:
    whole, part = instance_table(REAL)[index], instance_table(REAL[index])  # type: ignore[index]
    for one, other in zip(vars(whole).values(), vars(part).values(), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(whole.counts, part.counts) and len(whole) == len(part)


def test_what_is_not_annotated_is_not_counted() -> None:
    assert REAL.types is not None and REAL.instances is not None
    types = np.where(REAL.types == 0, 255, REAL.types).astype(np.uint8)
    types[0, 0, :4] = 255
    found = instance_table(replace(REAL, masks=types, types=types))
    assert found.counts.tolist() == [[1, 1], [1, 0], [1, 2]]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Conditions, Conditions, Conditions]:
    """Real test layouts, copied training layouts and random discs."""
    phantom = PhantomLizard(train_slides=8, test_slides=6, per_slide=8)
    real, copies = phantom.split("test").conditions, CopyMasks()
    copies.fit(phantom.split("train"), 0, silent, tmp_path_factory.mktemp("work"))
    seeds = image_seeds(0, real.ids)
    return real, copies.sample(real, seeds), RandomDiscs().sample(real, seeds)


@pytest.mark.parametrize("name", [name for name in LAYOUT if name != "layout-obeyed"])
def test_copies_are_nearer_than_discs(name: str, sides: tuple[Conditions, Conditions, Conditions]) -> None:
    real, copies, discs = sides
    assert value(name, real, copies) < 0.6 * value(name, real, discs)


def test_another_patchs_layout_obeys_less(sides: tuple[Conditions, Conditions, Conditions]) -> None:
    real, copies, _ = sides
    rows = np.roll(np.arange(len(real)), 1)
    assert value("layout-obeyed", real, replace(copies[rows], ids=real.ids)) < value("layout-obeyed", real, copies)


def test_many_questions_take_no_time(sides: tuple[Conditions, Conditions, Conditions]) -> None:
    from time import perf_counter

    one, other = (instance_table(side) for side in sides[:2])
    many, others = (side[np.arange(640) % len(side)] for side in (one, other))
    metrics = [registry.load("metrics", name) for name in LAYOUT[:3]]
    start = perf_counter()
    for out in range(20):
        rows = np.arange(640) % 20 != out
        for metric in metrics:
            metric.compare_layouts(many[rows], others[rows])
    assert perf_counter() - start < 8, "about a second on a machine with nothing else to do"


def test_what_cannot_be_measured_is_refused() -> None:
    nuclei: InstanceTable = instance_table(REAL)
    with pytest.raises(UsageError, match="needs conditions with instances"):
        instance_table(replace(REAL, instances=None))
    with pytest.raises(UsageError, match="needs conditions with types"):
        instance_table(replace(REAL, types=None))
    with pytest.raises(UsageError, match="found type 2 and the classes background, one"):
        instance_table(replace(REAL, classes=("background", "one")))
    with pytest.raises(UsageError, match="ids of which there is no real layout: slide-1/0, slide-2/0"):
        obedience(nuclei[:1], nuclei)
    with pytest.raises(UsageError, match="layouts of the same types"):
        area_distances(nuclei, instance_table(replace(REAL, classes=("background", "one", "three"))))
    alike = instance_table(conditions([(1, 4)], [(1, 4)]))
    for name in ("layout-areas", "layout-counts"):
        with pytest.raises(UsageError, match="there is no scale to measure on"):
            registry.load("metrics", name).compare_layouts(alike, alike)
    with pytest.raises(UsageError, match="no nucleus at all"):
        registry.load("metrics", "layout-mix").compare_layouts(instance_table(conditions([], [])), alike)
    with pytest.raises(UsageError, match="found 3 real and 0 sampled"):
        registry.load("metrics", "layout-obeyed").compare_layouts(nuclei, nuclei[:0])


@pytest.mark.parametrize("name", LAYOUT)
def test_every_one_keeps_the_contract(name: str) -> None:
    outcomes = check_layout_metric(lambda **options: registry.load("metrics", name, **options), name, 32)
    assert {outcome.status for outcome in outcomes} == {"passed"}, outcomes


def test_cards_are_whole() -> None:
    for name in LAYOUT:
        card = registry.card("metrics", name)
        assert card.name == name and card.notes and card.cost and card.source

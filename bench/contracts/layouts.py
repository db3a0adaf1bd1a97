"""The checks of layout generators, on the nuclei of the mock. Optional abilities are declared in `bench.types`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, Skip, batches, builds, run_checks
from bench.contracts.mock import CLASSES, mock, partly_annotated
from bench.errors import BenchError
from bench.types import NOT_ANNOTATED, Conditions, Fittable, ImageSet, LayoutGenerator, image_seeds, silent

COLUMNS = ("masks", "instances", "types")
KEPT = ("ids", "groups", "classes", "size", "mpp")


def check_layouts(make: Callable[..., LayoutGenerator], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds the plug-in, `name` is its registered name."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as work:
        return run_checks(_Case(make, name, size, Path(work)), CHECKS, essential=(builds, samples))


def layouts(size: int) -> ImageSet:
    """The mock as patches of nuclei: squares of two types. Every third patch shows only one type, and every other square lacks
    its last row."""
    patches = mock(size)
    assert patches.conditions.types is not None and patches.conditions.instances is not None
    numbers, types = patches.conditions.instances, patches.conditions.types.copy()
    types[(numbers % 2 == 0) & (np.roll(numbers, -1, axis=1) != numbers)] = 0
    types[::3][types[::3] == len(CLASSES)] = 0
    instances = np.where(types > 0, numbers, 0).astype(np.int32)
    shown = replace(patches.conditions, classes=("background", *CLASSES), masks=types, types=types, instances=instances)
    return replace(patches, conditions=shown)


@dataclass
class _Case(PluginCase):
    """A layout generator under test, its training layouts and its sampled layouts."""

    work: Path

    @cached_property
    def real(self) -> ImageSet:
        return layouts(self.size)

    def fresh(self) -> LayoutGenerator:
        """A new layout generator, a small one if its class offers that."""
        return cast(LayoutGenerator, self.small())

    @cached_property
    def layout_generator(self) -> LayoutGenerator:
        """The layout generator, trained if it is trainable."""
        layout_generator = self.fresh()
        if isinstance(layout_generator, Fittable):
            layout_generator.fit(self.real, 0, silent, _new(self.work / "fit"))
        return layout_generator

    @cached_property
    def sampled(self) -> Conditions:
        return self.sample()

    def sample(self, rows: list[int] | None = None, run_seed: int = 0, by: LayoutGenerator | None = None) -> Conditions:
        asked = self.real.conditions if rows is None else self.real.conditions[rows]
        return self.sample_for(asked, run_seed, by)

    def sample_for(self, asked: Conditions, run_seed: int = 0, by: LayoutGenerator | None = None) -> Conditions:
        return (by or self.layout_generator).sample(asked, image_seeds(run_seed, asked.ids))


def samples(case: _Case) -> None:
    """One layout for each row: masks uint8, types the same, instances int32, each (n, size, size)."""
    sampled: Any = case.sampled
    if not isinstance(sampled, Conditions):
        raise Broken(f"sample gives {type(sampled).__name__}, not Conditions")
    for column, kind in zip(COLUMNS, (np.uint8, np.int32, np.uint8), strict=True):
        array, wanted = getattr(sampled, column), f"{np.dtype(kind)} {(len(case.real), case.size, case.size)}"
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        if found != wanted:
            raise Broken(f"{column} is {found}, not {wanted}")


def condition_carried(case: _Case) -> None:
    """Ids, groups, classes, size and resolution are the requested ones, and there are no further columns."""
    asked, sampled = case.real.conditions, case.sampled
    if changed := [name for name in KEPT if not np.array_equal(getattr(asked, name), getattr(sampled, name))]:
        raise Broken(f"{', '.join(changed)} is not as requested")
    if more := sorted(sampled.columns() - set(COLUMNS)):
        raise Broken(f"a sampled layout has no {', '.join(more)}")


def nuclei_sound(case: _Case) -> None:
    """Types are among the classes, every pixel of a type belongs to a nucleus and the reverse, a nucleus has one type."""
    masks, instances, types = (getattr(case.sampled, column) for column in COLUMNS)
    if not np.array_equal(masks, types):
        raise Broken("types are not the masks")
    if masks.max() >= len(case.real.conditions.classes):
        raise Broken(f"it samples type {masks.max()}; the classes are {', '.join(case.real.conditions.classes)}")
    if not np.array_equal(masks > 0, instances > 0):
        raise Broken("pixels have a type without a nucleus, or a nucleus without a type")
    for mask, nuclei in zip(masks, instances, strict=True):
        pairs = np.unique(np.stack([nuclei.ravel(), mask.ravel()]), axis=1)
        if len(np.unique(pairs[0])) < pairs.shape[1]:
            raise Broken("a nucleus has pixels of two types")


def batch_independent(case: _Case) -> None:
    """Row i depends on row i and seed i alone: one by one, in sevens and in reverse give the same layouts."""
    for way, chosen in batches(len(case.real)).items():
        for rows in chosen:
            if not _same(case.sample(rows), case.sampled[rows]):
                raise Broken(f"sampled {way}, layouts differ from those sampled all at once")


def same_seed_same_layout(case: _Case) -> None:
    """A second call gives the same layouts."""
    if not _same(case.sample(), case.sampled):
        raise Broken("the same conditions and seeds give other layouts the second time")


def other_seed_other_layout(case: _Case) -> None:
    """Another run seed changes some layout."""
    if _same(case.sample(run_seed=1), case.sampled):
        raise Broken("other seeds give the same layouts: use them")


def wanted_types_alone_matter(case: _Case) -> None:
    """The sampled layouts depend on the types that the requested masks show, and on nothing else of the masks."""
    asked = case.real.conditions
    assert asked.masks is not None
    rolled = np.roll(asked.masks, case.size // 3, axis=2)
    hidden = replace(asked, masks=rolled, instances=None, types=None, texts=None, labels=None, prompts=None)
    if not _same(case.sample_for(hidden), case.sampled):
        raise Broken("other masks of the same types, or absent columns, give other layouts")


def wanted_types_matter(case: _Case) -> None:
    """Other requested types give other layouts."""
    asked = case.real.conditions
    assert asked.masks is not None
    others = replace(asked, masks=np.where(asked.masks > 0, 1 + (asked.masks[:1] > 1), 0).astype(np.uint8))
    if _same(case.sample_for(others), case.sampled):
        raise Broken("the wanted types change nothing")


def save_load_round_trip(case: _Case) -> None:
    """Saved and loaded into a new object, it samples the same layouts."""
    loaded = case.fresh()
    if not isinstance(case.layout_generator, Fittable) or not isinstance(loaded, Fittable):
        raise Skip("nothing is fitted")
    folder = _new(case.work / "saved")
    case.layout_generator.save(folder)
    loaded.load(folder)
    if not _same(case.sample(by=loaded), case.sampled):
        raise Broken("saved and loaded again, it samples other layouts")


def accepts_not_annotated(case: _Case) -> None:
    """Class maps with 255 (not annotated) are accepted in training layouts and requests; no sampled layout has 255."""
    patches, layout_generator = partly_annotated(case.real), case.fresh()
    if isinstance(layout_generator, Fittable):
        layout_generator.fit(patches, 0, silent, _new(case.work / "partly-annotated"))
    sampled = case.sample_for(patches.conditions, by=layout_generator)
    if any((getattr(sampled, column) == NOT_ANNOTATED).any() for column in ("masks", "types")):
        raise Broken("a sampled layout has 255 (not annotated): every pixel needs a class")


def missing_masks_refused(case: _Case) -> str:
    """A request without masks is refused: by the harness where the card needs them, else with an error that names them."""
    if "masks" in case.layout_generator.card.needs:
        return "by the harness, since its card needs them"
    try:
        case.sample_for(replace(case.real.conditions, masks=None))
    except BenchError as refusal:
        if "masks" not in str(refusal):
            raise Broken(f"without masks the error is {str(refusal)!r}, which does not name them") from refusal
    else:
        raise Broken("it samples without masks, which hold the requested types")
    return ""


def inputs_untouched(case: _Case) -> None:
    """It accepts read-only arrays, and neither training nor sampling changes its inputs."""
    given, pristine = layouts(case.size).conditions, layouts(case.size).conditions
    for column in COLUMNS:
        getattr(given, column).flags.writeable = False  # like memory-mapped arrays
    case.sample_for(given)
    for conditions in (given, case.real.conditions):
        if not _same(conditions, pristine):
            raise Broken("sampling changes the requested layouts")


CHECKS: tuple[Check[_Case], ...] = (
    *COMMON,
    samples,
    condition_carried,
    nuclei_sound,
    batch_independent,
    same_seed_same_layout,
    other_seed_other_layout,
    wanted_types_alone_matter,
    wanted_types_matter,
    save_load_round_trip,
    missing_masks_refused,
    accepts_not_annotated,
    inputs_untouched,
)


def _same(one: Conditions, other: Conditions) -> bool:
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [(getattr(one, c), getattr(other, c)) for c in COLUMNS]
    return all(np.array_equal(a, b) for a, b in pairs)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder

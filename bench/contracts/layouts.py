"""What every drawer of layouts must do, on the nuclei of the mock. Beyond the protocol it may have:

fit, save, load       it learns from training layouts first
trial() -> Self       classmethod: an instance whose options are so small that fitting and drawing take seconds
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.contracts.cases import COMMON, Broken, Check, Outcome, Skip, Subject, batches, builds, judge
from bench.contracts.mock import CLASSES, mock, partly_annotated
from bench.errors import BenchError
from bench.types import NOT_ANNOTATED, Conditions, Fittable, ImageSet, Layouts, image_seeds, silent

COLUMNS = ("masks", "instances", "types")
KEPT = ("ids", "groups", "classes", "size", "mpp")


def check_layouts(make: Callable[..., Layouts], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds one, `name` is what it was asked by."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as work:
        return judge(_Desk(make, name, size, Path(work)), CHECKS, essential=(builds, draws))


def layouts(size: int) -> ImageSet:
    """The mock as patches of nuclei: squares of two types, of which every third patch shows one alone; every other square
    lacks its last row."""
    patches = mock(size)
    assert patches.conditions.types is not None and patches.conditions.instances is not None
    numbers, types = patches.conditions.instances, patches.conditions.types.copy()
    types[(numbers % 2 == 0) & (np.roll(numbers, -1, axis=1) != numbers)] = 0
    types[::3][types[::3] == len(CLASSES)] = 0
    instances = np.where(types > 0, numbers, 0).astype(np.int32)
    shown = replace(patches.conditions, classes=("background", *CLASSES), masks=types, types=types, instances=instances)
    return replace(patches, conditions=shown)


@dataclass
class _Desk(Subject):
    """A drawer under test, what it was fitted with and what it drew."""

    work: Path

    @cached_property
    def real(self) -> ImageSet:
        return layouts(self.size)

    def fresh(self) -> Layouts:
        """A new drawer, with the options of `trial` where it has that."""
        trial = getattr(type(self.plugin), "trial", None)
        return cast(Layouts, trial() if trial else self.make())

    @cached_property
    def drawer(self) -> Layouts:
        """Fitted, if it is one to be fitted."""
        drawer = self.fresh()
        if isinstance(drawer, Fittable):
            drawer.fit(self.real, 0, silent, _new(self.work / "fit"))
        return drawer

    @cached_property
    def drawn(self) -> Conditions:
        return self.draw()

    def draw(self, rows: list[int] | None = None, run_seed: int = 0, by: Layouts | None = None) -> Conditions:
        asked = self.real.conditions if rows is None else self.real.conditions[rows]
        return self.draw_for(asked, run_seed, by)

    def draw_for(self, asked: Conditions, run_seed: int = 0, by: Layouts | None = None) -> Conditions:
        return (by or self.drawer).draw(asked, image_seeds(run_seed, asked.ids))


def draws(desk: _Desk) -> None:
    """One layout for each row: masks uint8, types the same, instances int32, each (n, size, size)."""
    drawn: Any = desk.drawn
    if not isinstance(drawn, Conditions):
        raise Broken(f"draw gives {type(drawn).__name__}, not Conditions")
    for column, kind in zip(COLUMNS, (np.uint8, np.int32, np.uint8), strict=True):
        array, wanted = getattr(drawn, column), f"{np.dtype(kind)} {(len(desk.real), desk.size, desk.size)}"
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        if found != wanted:
            raise Broken(f"{column} is {found}, not {wanted}")


def condition_carried(desk: _Desk) -> None:
    """Ids, groups, classes, size and resolution are those that were asked, and no other column is made up."""
    asked, drawn = desk.real.conditions, desk.drawn
    if changed := [name for name in KEPT if not np.array_equal(getattr(asked, name), getattr(drawn, name))]:
        raise Broken(f"{', '.join(changed)} is not what was asked")
    if more := sorted(drawn.columns() - set(COLUMNS)):
        raise Broken(f"a drawn layout has no {', '.join(more)}")


def nuclei_sound(desk: _Desk) -> None:
    """Types are among the classes, every pixel of a type belongs to a nucleus and the reverse, a nucleus has one type."""
    masks, instances, types = (getattr(desk.drawn, column) for column in COLUMNS)
    if not np.array_equal(masks, types):
        raise Broken("types are not the masks")
    if masks.max() >= len(desk.real.conditions.classes):
        raise Broken(f"it draws type {masks.max()}; the classes are {', '.join(desk.real.conditions.classes)}")
    if not np.array_equal(masks > 0, instances > 0):
        raise Broken("pixels have a type without a nucleus, or a nucleus without a type")
    for mask, nuclei in zip(masks, instances, strict=True):
        pairs = np.unique(np.stack([nuclei.ravel(), mask.ravel()]), axis=1)
        if len(np.unique(pairs[0])) < pairs.shape[1]:
            raise Broken("a nucleus has pixels of two types")


def batch_independent(desk: _Desk) -> None:
    """Row i depends on row i and seed i alone: one by one, in sevens and in reverse give the same layouts."""
    for way, chosen in batches(len(desk.real)).items():
        for rows in chosen:
            if not _same(desk.draw(rows), desk.drawn[rows]):
                raise Broken(f"drawn {way}, layouts are others than when all are drawn at once")


def same_seed_same_layout(desk: _Desk) -> None:
    """Asked again it draws the same."""
    if not _same(desk.draw(), desk.drawn):
        raise Broken("the same conditions and seeds give other layouts the second time")


def other_seed_other_layout(desk: _Desk) -> None:
    """Another run seed changes some layout."""
    if _same(desk.draw(run_seed=1), desk.drawn):
        raise Broken("other seeds give the same layouts: use them")


def wanted_types_alone_matter(desk: _Desk) -> None:
    """Of the asked masks it looks at the types that they show and nothing else."""
    asked = desk.real.conditions
    assert asked.masks is not None
    rolled = np.roll(asked.masks, desk.size // 3, axis=2)
    hidden = replace(asked, masks=rolled, instances=None, types=None, texts=None, labels=None, prompts=None)
    if not _same(desk.draw_for(hidden), desk.drawn):
        raise Broken("other masks of the same types, or absent columns, give other layouts")


def wanted_types_matter(desk: _Desk) -> None:
    """Asked for other types it draws other layouts."""
    asked = desk.real.conditions
    assert asked.masks is not None
    others = replace(asked, masks=np.where(asked.masks > 0, 1 + (asked.masks[:1] > 1), 0).astype(np.uint8))
    if _same(desk.draw_for(others), desk.drawn):
        raise Broken("the wanted types change nothing")


def save_load_round_trip(desk: _Desk) -> None:
    """Saved, and loaded into a new object, it draws the same."""
    loaded = desk.fresh()
    if not isinstance(desk.drawer, Fittable) or not isinstance(loaded, Fittable):
        raise Skip("nothing is fitted")
    folder = _new(desk.work / "saved")
    desk.drawer.save(folder)
    loaded.load(folder)
    if not _same(desk.draw(by=loaded), desk.drawn):
        raise Broken("saved and loaded again, it draws other layouts")


def accepts_not_annotated(desk: _Desk) -> None:
    """Class maps with 255, not annotated, in training layouts and in what is asked for are accepted; none is drawn."""
    patches, drawer = partly_annotated(desk.real), desk.fresh()
    if isinstance(drawer, Fittable):
        drawer.fit(patches, 0, silent, _new(desk.work / "partly-annotated"))
    drawn = desk.draw_for(patches.conditions, by=drawer)
    if any((getattr(drawn, column) == NOT_ANNOTATED).any() for column in ("masks", "types")):
        raise Broken("it draws 255, not annotated: a drawn layout says what every pixel is")


def missing_masks_refused(desk: _Desk) -> None:
    """Without masks nothing is asked for: refused, with an error that names them."""
    try:
        desk.draw_for(replace(desk.real.conditions, masks=None))
    except BenchError as refusal:
        if "masks" not in str(refusal):
            raise Broken(f"without masks it says {str(refusal)!r}, which does not name them") from refusal
    else:
        raise Broken("it draws without masks, which say what is asked for")


def inputs_untouched(desk: _Desk) -> None:
    """Read-only arrays are enough for it, and neither fitting nor drawing changes what it is given."""
    given, pristine = layouts(desk.size).conditions, layouts(desk.size).conditions
    for column in COLUMNS:
        getattr(given, column).flags.writeable = False  # memory-mapped arrays are
    desk.draw_for(given)
    for conditions in (given, desk.real.conditions):
        if not _same(conditions, pristine):
            raise Broken("it changes the layouts that it is given")


CHECKS: tuple[Check[_Desk], ...] = (
    *COMMON,
    draws,
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

"""The checks of generators. Optional abilities are declared in `bench.types`."""

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
from bench.contracts.mock import mock, partly_annotated
from bench.types import Conditions, Generator, Images, IsDeterministic, Trainable, image_seeds, silent

ROUNDING = 2
"""Grey levels: a larger change from batch to batch is no rounding."""


def check_generator(make: Callable[..., Generator], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes on 12 mock patches of `size` px. `make(**options)` builds the generator, `name` is its registered name."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as work:
        return run_checks(_Case(make, name, size, Path(work)), CHECKS, essential=(builds, generates))


@dataclass
class _Case(PluginCase):
    """A generator under test, its training patches and its generated patches."""

    work: Path

    def fresh(self) -> Generator:
        """A new generator, a small one if its class offers that."""
        return cast(Generator, self.small())

    @cached_property
    def generator(self) -> Generator:
        """The generator, trained if it is trainable."""
        generator = self.fresh()
        if isinstance(generator, Trainable):
            generator.fit(self.real, 0, silent, _new(self.work / "fit"))
        return generator

    @cached_property
    def images(self) -> Images:
        return self.generate()

    def generate(self, rows: list[int] | None = None, run_seed: int = 0, by: Generator | None = None) -> Images:
        conditions = self.real.conditions if rows is None else self.real.conditions[rows]
        return (by or self.generator).generate(conditions, image_seeds(run_seed, conditions.ids))


def generates(case: _Case) -> None:
    """One uint8 (size, size, 3) image for each condition, in 0..255."""
    images: Any = case.images
    wanted = (len(case.real), case.size, case.size, 3)
    found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
    if found != f"uint8 {wanted}":
        raise Broken(f"generate gives {found}, not uint8 {wanted}")
    if images.max() == 1:
        raise Broken("no pixel is above 1: floats in [0, 1] were cast to uint8")


def finite(case: _Case) -> None:
    """No NaN is converted to uint8: numpy then warns, and torch gives black pixels."""
    with np.errstate(invalid="raise"):
        images = case.generate()
    if black := int((images == 0).all(axis=(1, 2, 3)).sum()):
        raise Broken(f"{black} of {len(images)} images are all black, as NaN is after a cast to uint8")


def batch_independent(case: _Case) -> str:
    """Image i depends on condition i and seed i alone: one by one, in sevens and in reverse give the same bytes, or, where the
    card has the tolerance `rounding`, the same images to `ROUNDING` grey levels."""
    largest, differing, first = 0, 0, ""
    for way, chosen in batches(len(case.real)).items():
        for rows in chosen:
            change = np.abs(case.generate(rows).astype(np.int16) - case.images[rows])
            largest, differing = max(largest, int(change.max())), differing + int(np.count_nonzero(change))
            if change.any() and not first:
                name = case.real.conditions.ids[rows][change.any(axis=(1, 2, 3))][0]
                first = f"generated {way}, the image of {name} differs from the one generated together with all others"
    if not first:
        return ""
    share = f"{100 * differing / (len(batches(1)) * case.images.size):.2g} % of values"
    levels = f"at most {largest} grey level{'s' if largest > 1 else ''}, in {share}"
    if largest > ROUNDING:
        raise Broken(f"{first}: by {levels}, more than rounding; what else is in the batch enters")
    if case.generator.card.tolerance == "rounding":
        return f"to rounding, as its card states: batches change values by {levels}"
    raise Broken(
        f"{first}: by {levels}, which is rounding: a library sums in another order in a batch of another size. Generate in "
        "batches of one fixed size (bench.runtime.precision.in_fixed_batches), or write tolerance='rounding' on the card"
    )


def same_seed_same_bytes(case: _Case) -> None:
    """A second call gives the same images. An untrained generator gives them from a new object too."""
    again = case.generator if isinstance(case.generator, Trainable) else case.fresh()
    if not (np.array_equal(case.generate(), case.images) and np.array_equal(case.generate(by=again), case.images)):
        raise Broken("the same conditions and seeds give other images the second time")


def other_seed_other_bytes(case: _Case) -> None:
    """Another run seed changes some image, unless the generator declares itself deterministic."""
    differs = not np.array_equal(case.generate(run_seed=1), case.images)
    deterministic = isinstance(case.generator, IsDeterministic) and case.generator.deterministic
    if deterministic and differs:
        raise Broken("it declares itself deterministic, and other seeds give other images")
    if deterministic:
        raise Skip("deterministic: a condition has one image")
    if not differs:
        raise Broken("other seeds give the same images: use them, or declare deterministic = True")


def save_load_round_trip(case: _Case) -> None:
    """Saved and loaded into a new object, it generates the same images."""
    loaded = case.fresh()
    if not isinstance(case.generator, Trainable) or not isinstance(loaded, Trainable):
        raise Skip("nothing is trained")
    folder = _new(case.work / "saved")
    case.generator.save(folder)
    loaded.load(folder)
    if not np.array_equal(case.generate(by=loaded), case.images):
        raise Broken("saved and loaded again, it generates other images")


def needs_complete(case: _Case) -> None:
    """The columns that its card needs are enough: the harness gives these and no others, and refuses data without one."""
    needs = case.generator.card.needs
    absent = {column: None for column in case.real.conditions.columns() - set(needs)}
    conditions = replace(case.real.conditions, **absent)  # type: ignore[arg-type]
    try:
        images = case.generator.generate(conditions, image_seeds(0, conditions.ids))
    except Exception as error:
        raise Broken(f"given only what its card needs ({', '.join(needs) or 'nothing'}) it raises {error!r}") from error
    if not np.array_equal(images, case.images):
        raise Broken(f"given only what its card needs ({', '.join(needs) or 'nothing'}) it generates other images")


def accepts_not_annotated(case: _Case) -> None:
    """Class maps with 255 (not annotated) are accepted in training patches and conditions, and every image is complete."""
    if "masks" not in case.generator.card.needs:
        raise Skip("the card needs no masks")
    patches, generator = partly_annotated(case.real), case.fresh()
    if isinstance(generator, Trainable):
        generator.fit(patches, 0, silent, _new(case.work / "partly-annotated"))
    images: Any = generator.generate(patches.conditions, image_seeds(0, patches.conditions.ids))
    if images.dtype != np.uint8 or images.shape != case.images.shape:
        raise Broken(f"of maps with 255 generate gives {images.dtype} {images.shape}, not uint8 {case.images.shape}")
    if black := int((images == 0).all(axis=(1, 2, 3)).sum()):
        raise Broken(f"of maps with 255 {black} of {len(images)} images are all black, as NaN is after a cast to uint8")


def inputs_untouched(case: _Case) -> None:
    """It accepts read-only arrays, and neither training nor generation changes its inputs."""
    given, pristine = mock(case.size).conditions, mock(case.size)
    for array in _arrays(given):
        array.flags.writeable = False  # like memory-mapped arrays
    case.generator.generate(given, image_seeds(0, given.ids))
    for conditions in (given, case.real.conditions):
        pairs = zip(_arrays(conditions), _arrays(pristine.conditions), strict=True)
        if not all(np.array_equal(now, before) for now, before in pairs):
            raise Broken("generation changes the conditions")
    if not np.array_equal(case.real.images, pristine.images):
        raise Broken("fitting changes the training patches")


CHECKS: tuple[Check[_Case], ...] = (
    *COMMON,
    generates,
    finite,
    batch_independent,
    same_seed_same_bytes,
    other_seed_other_bytes,
    save_load_round_trip,
    needs_complete,
    accepts_not_annotated,
    inputs_untouched,
)


def _arrays(conditions: Conditions) -> list[NDArray[Any]]:
    values = [*vars(conditions).values(), *(vars(conditions.prompts).values() if conditions.prompts else ())]
    return [value for value in values if isinstance(value, np.ndarray)]


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder

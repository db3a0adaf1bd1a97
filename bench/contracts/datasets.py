"""The checks of datasets, on their own patches: the first slides of every split are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations
from typing import Any, cast

import numpy as np

from bench.contracts.cases import COMMON, Broken, Check, Outcome, PluginCase, Skip, builds, run_checks
from bench.files.names import file_stem
from bench.histology.sampling import is_plausible_mpp
from bench.pipeline.checks import check_patches
from bench.pipeline.data import SPLITS, check_groups
from bench.types import NOT_ANNOTATED, Conditions, Dataset, ImageSet, ProvidesPools, ProvidesPromptDonors

MOST = 64
"""Patches of a split whose pixels are compared."""


def check_dataset(make: Callable[..., Dataset], name: str = "", size: int = 64) -> list[Outcome]:
    """Outcomes for a dataset. `make(**options)` builds it, `name` is its registered name with its argument; patches have the
    size of the dataset, not `size`."""
    return run_checks(_Case(make, name, size), CHECKS, essential=(builds, provides_columns, splits_read))


@dataclass
class _Case(PluginCase):
    """A dataset under test and its splits."""

    def fresh(self) -> Dataset:
        """A new dataset, a small one if its class offers that."""
        return cast(Dataset, self.small())

    @cached_property
    def dataset(self) -> Dataset:
        return self.fresh()

    @cached_property
    def splits(self) -> dict[str, ImageSet]:
        return {name: self.dataset.split(name) for name in SPLITS}


def provides_columns(case: _Case) -> None:
    """`provides` names columns of conditions, without prompts, which the harness cuts."""
    if not isinstance(case.plugin, Dataset):
        raise Broken("it lacks a member of a dataset: card, provides, split")
    given: Any = case.plugin.provides
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise Broken(f"provides is {given!r}, not a set of names of columns")
    columns = {field.name for field in fields(Conditions)} - {"ids", "groups", "classes", "size", "mpp", "prompts"}
    if unknown := sorted(set(given) - columns):
        raise Broken(f"provides names {', '.join(unknown)}, which is none of {', '.join(sorted(columns))}")


def splits_read(case: _Case) -> str:
    """train, validation, test and holdout are patches with conditions, each column with its type and a row for each patch."""
    for name, patches in case.splits.items():
        check_patches("it", patches, f"split {name!r}")
        if not len(patches):
            raise Broken(f"the split {name} has no patch")
        for patch in patches.conditions.ids.tolist():
            file_stem(patch)  # ids become names of files
    return ", ".join(f"{len(found)} {name} of {len(np.unique(found.conditions.groups))} slides" for name, found in _all(case))


def columns_provided(case: _Case) -> None:
    """Every split has the columns that `provides` names."""
    for name, patches in case.splits.items():
        if lacking := sorted(set(case.dataset.provides) - patches.conditions.columns()):
            raise Broken(f"the split {name} has no {', '.join(lacking)}, which it provides")


def slides_apart(case: _Case) -> None:
    """No slide is in two of train, validation and test, none of the holdout in train or test; no patch is in two splits."""
    check_groups(case.splits)
    for (one, first), (other, second) in combinations(_all(case), 2):
        if {one, other} != {"validation", "holdout"} and len(np.intersect1d(first.conditions.ids, second.conditions.ids)):
            raise Broken(f"{one} and {other} share an id of a patch")


def several_slides(case: _Case) -> None:
    """The test set has two slides or more: they are the sampling unit of every interval."""
    units = len(np.unique(case.splits["test"].conditions.units))
    if units < 2:
        raise Broken(f"the test set has {units} slide: no interval can be given")


def splits_agree(case: _Case) -> None:
    """All splits have the same classes, size and resolution, and the resolution is that of a microscope."""
    kept = {name: (found.conditions.classes, found.conditions.size, found.conditions.mpp) for name, found in _all(case)}
    for name, values in kept.items():
        if repr(values) != repr(kept["train"]):
            raise Broken(f"{name} has classes, size and mpp {values}, and train {kept['train']}")
    mpp = kept["train"][2]
    if not np.isnan(mpp) and not is_plausible_mpp(mpp):
        raise Broken(f"mpp is {mpp:g} microns per pixel, which no slide scanner gives")


def classes_shown(case: _Case) -> str:
    """Maps of train and test show the classes; with a note of those that they lack."""
    if "masks" not in case.dataset.provides:
        raise Skip("it provides no masks")
    classes, notes = case.splits["train"].conditions.classes, []
    for name in ("train", "test"):
        masks: Any = case.splits[name].conditions.masks
        found = set(np.concatenate([np.unique(np.asarray(part)) for part in masks]).tolist())
        if not found - {NOT_ANNOTATED}:
            raise Broken(f"no pixel of {name} is annotated")
        if absent := [each for number, each in enumerate(classes) if number not in found]:
            notes.append(f"{name} shows no {', '.join(absent)}")
    return "; ".join(notes)


def patches_differ(case: _Case) -> None:
    """Patches are no copies of each other, and not all of one colour."""
    for name, found in _all(case):
        images = np.asarray(found.images[:MOST])
        if len(images) > 1 and (images == images[:1]).all():
            raise Broken(f"the first {len(images)} patches of {name} are one image")
        if (images == images[:, :1, :1]).all():
            raise Broken(f"the first {len(images)} patches of {name} have one colour each")


def keys_name_content(case: _Case) -> None:
    """Splits with different patches have different keys, since caches go by them. A holdout may be the validation split."""
    for (one, first), (other, second) in combinations(_all(case), 2):
        if not first.key or (first.key == second.key and not np.array_equal(first.conditions.ids, second.conditions.ids)):
            raise Broken(f"{one} and {other} have other patches and the same key {first.key!r}: a key names its content")


def same_in_new_object(case: _Case) -> None:
    """A second object with the same options gives the same splits."""
    again = case.fresh()
    for name, found in _all(case):
        other = again.split(name)
        same = other.key == found.key and np.array_equal(other.conditions.ids, found.conditions.ids)
        if not same or not np.array_equal(other.images[:MOST], found.images[:MOST]):
            raise Broken(f"a second object with the same options gives another split {name}")


def pools_and_donors_apart(case: _Case) -> str:
    """Pools for downstream training and patches for prompts are readable, and keep to their slides."""
    notes = []
    if isinstance(case.dataset, ProvidesPools):
        for name in case.dataset.pools:
            patches = case.dataset.split(name)
            check_patches("it", patches, f"split {name!r}")
            for other in ("validation", "test") if name == "R1" else ("train", "validation", "test"):
                if len(np.intersect1d(patches.conditions.groups, case.splits[other].conditions.groups)):
                    raise Broken(f"the pool {name} and {other} share a slide")
            notes.append(f"{len(patches)} {name}")
    if isinstance(case.dataset, ProvidesPromptDonors) and case.dataset.has_prompt_donors:
        donors, test = case.dataset.prompt_donors(), case.splits["test"].conditions
        check_patches("it", donors, "prompt_donors")
        if any(donors.conditions.overlaps(row, test).any() for row in range(min(len(donors), MOST))):
            raise Broken("a patch for prompts shows pixels of a test patch")
        notes.append(f"{len(donors)} for prompts")
    if not notes:
        raise Skip("it has neither")
    return ", ".join(notes)


def _all(case: _Case) -> list[tuple[str, ImageSet]]:
    return list(case.splits.items())


CHECKS: tuple[Check[_Case], ...] = (
    *COMMON,
    provides_columns,
    splits_read,
    columns_provided,
    slides_apart,
    several_slides,
    splits_agree,
    classes_shown,
    patches_differ,
    keys_name_content,
    same_in_new_object,
    pools_and_donors_apart,
)

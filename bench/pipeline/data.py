"""The data of a run: splits, pools and prompts, and what of them each generator is shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.cache import Cache, key_of
from bench.config import Components
from bench.errors import UsageError
from bench.histology.sampling import CONFIRM_MPP, implausible_mpp, is_plausible_mpp
from bench.pipeline import prompts
from bench.provenance import sources
from bench.store import load_set, save_set
from bench.types import Conditions, Dataset, Generator, ImageSet, Progress, ProvidesPromptDonors

MAPS = {"masks", "instances", "types"}
"""Condition columns that say what is where; all that layouts and downstream models are shown."""
SPLITS = ("train", "validation", "test", "holdout")
COLUMNS = 2
"""Raised when datasets give more columns of the same patches: cached splits that lack them are made again."""


@dataclass(frozen=True)
class DataSplits:
    """The data of a run, once as the dataset gives it and once with prompts attached where a generator is shown them."""

    plain: dict[str, ImageSet]
    prompted: dict[str, ImageSet]
    """Patches to learn from with prompt source that generators are fitted on, those to generate with prompt source of the run."""
    training: ImageSet
    """The real patches that downstream models are trained on."""
    mix: ImageSet
    """The same with prompts: the conditions that generators generate for downstream models."""
    pool: str = "train"
    """The split that they come from."""
    donors: ImageSet | None = None
    """Patches of the test slides outside every reference set, that prompts of test patches are cut from; None where there are
    none, or where nothing is cut from them."""


def set_up(components: Components, cache: Cache, progress: Progress, crops: bool = False) -> DataSplits:
    """Splits of the dataset, and the same with crops attached where a generator is shown them or they are wanted, from
    the cache or made."""
    plain: dict[str, ImageSet] = {}
    for number, name in enumerate(SPLITS):
        plain[name] = split(components.dataset, name, cache)
        progress(number + 1, len(SPLITS), "data")
    check_groups(plain)
    name = pool(components)
    training = plain["train"] if name == "train" else pooled(components, name, plain, cache)
    rows = spread(training.conditions.ids, getattr(components.task, "patches", 0))

    cut = crops or _prompts_shown(components)
    donors = prompt_donors(components, plain, cache) if cut else None

    def prompted(patches: ImageSet, rule: prompts.PromptRule = components.rule, others: ImageSet | None = None) -> ImageSet:
        return prompted_set(patches, rule, cache, others) if cut else patches

    prompted_splits = {"train": prompted(plain["train"], components.learned), "test": prompted(plain["test"], others=donors)}
    return DataSplits(plain, prompted_splits, training[rows], prompted(training)[rows], name, donors)


def _prompts_shown(components: Components) -> bool:
    return any("prompts" in generator.card.needs for generator in components.generators)


def pool(components: Components) -> str:
    """The split that downstream training mixes are made of: what experiment or task name, where the dataset has it; train otherwise."""
    wanted = components.experiment.pool if components.experiment else getattr(components.task, "pool", "train")
    if wanted == "train" or wanted in getattr(components.dataset, "pools", ()):
        return str(wanted)
    if components.experiment:
        raise UsageError(
            f"the experiment {components.config.experiment} is made of the pool {wanted}, which {components.dataset.card.name} has not. "
            "Choose a dataset with pools (bench list datasets), or pool = 'train' in a TOML file of your own."
        )
    return "train"


def pooled(components: Components, name: str, plain: dict[str, ImageSet], cache: Cache) -> ImageSet:
    """The patches of a pool: R1 is of training slides, any other of slides in no split."""
    patches = split(components.dataset, name, cache)
    for other in ("validation", "test") if name == "R1" else ("train", "validation", "test"):
        _apart({name: patches, other: plain[other]}, name, other)
    return patches


def split(dataset: Dataset, name: str, cache: Cache) -> ImageSet:
    """One split, memory-mapped from the cache. Its key names its content as the dataset says; that of a dataset from outside
    also holds what the dataset is made of, since an edit may change the content and not the key."""
    described = registry.describe(dataset)

    def make(work: Path) -> None:
        made = dataset.split(name)
        foreign = sources.describe(type(dataset))
        save_set(replace(made, key=key_of({"key": made.key, **foreign})) if foreign else made, work)

    found = load_set(cache.entry("data", {"dataset": described, "split": name, "columns": COLUMNS}, make))
    mpp = found.conditions.mpp
    if not is_plausible_mpp(mpp) and described["options"].get(CONFIRM_MPP) is not True:
        raise UsageError(implausible_mpp(f"patches of {dataset.card.name} have an mpp of {mpp:g}"))
    return found


def prompt_donors(components: Components, plain: dict[str, ImageSet], cache: Cache) -> ImageSet | None:
    """Patches of the test slides outside every reference set, memory-mapped from the cache; None where the dataset has none
    or the prompt source has no use for them. Raises UsageError where they are of a slide that is fitted on, or in a split."""
    dataset = components.dataset
    if (
        not isinstance(dataset, ProvidesPromptDonors)
        or not dataset.has_prompt_donors
        or components.rule.prompt_source == "self"
    ):
        return None
    spec = {"dataset": registry.describe(dataset), "split": "prompt donors", "columns": COLUMNS}
    donors = load_set(cache.entry("data", spec, lambda work: save_set(dataset.prompt_donors(), work)))
    for name in ("train", "validation"):
        _apart({"prompt donors": donors, name: plain[name]}, "prompt donors", name)
    for name in ("test", "holdout"):
        shared = [i for i in range(len(donors)) if donors.conditions.overlaps(i, plain[name].conditions).any()]
        if shared:
            listed = ", ".join(donors.conditions.ids[shared[:5]].tolist())
            raise UsageError(f"{len(shared)} patches to cut prompts from show pixels of {name} patches ({listed}).")
    return donors


def prompted_set(patches: ImageSet, rule: prompts.PromptRule, cache: Cache, others: ImageSet | None = None) -> ImageSet:
    """The patches with prompts cut by the rule, from `others` first."""
    spec = {"patches": patches.key, "rule": repr(rule), "overlapping": prompts.overlapping(patches.conditions)}
    spec |= {"donors": others.key} if others is not None else {}
    return load_set(cache.entry("prompts", spec, lambda work: save_set(prompts.attach(patches, rule, others), work)))


def spread(ids: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Row numbers of `count` patches (all for 0), chosen by the hash of their id: the same ones in any order of the set."""
    if not count or count >= len(ids):
        return np.arange(len(ids))
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in ids.tolist()])
    return np.sort(order[:count])


def check_groups(sets: dict[str, ImageSet]) -> None:
    """Raises UsageError if a slide is in two of train, validation and test, or the holdout is fitted or tested on."""
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test"), ("train", "holdout")):
        _apart(sets, one, other)
    again = np.intersect1d(sets["test"].conditions.ids, sets["holdout"].conditions.ids)
    if len(again):
        raise UsageError(f"{len(again)} held-out patches are also test patches ({', '.join(again[:5].tolist())}).")


def _apart(sets: dict[str, ImageSet], one: str, other: str) -> None:
    both = np.intersect1d(sets[one].conditions.groups, sets[other].conditions.groups)
    if len(both):
        listed = ", ".join(both[:5].tolist())
        raise UsageError(f"{len(both)} slides are in both {one} and {other} ({listed}): the splits leak.")


def shown(generator: Generator, splits: DataSplits, name: str) -> ImageSet:
    """A split with the condition columns that the generator declares, and no other: what it sees is what it says."""
    needs = set(generator.card.needs)
    patches = splits.prompted[name] if "prompts" in needs else splits.plain[name]
    return only(patches, needs)


def only(patches: ImageSet, needs: set[str]) -> ImageSet:
    """The set without the optional columns that are not needed."""
    hidden = {column: None for column in patches.conditions.columns() - needs}
    return replace(patches, conditions=replace(patches.conditions, **hidden))  # type: ignore[arg-type]


def fitting_set(generator: Generator, splits: DataSplits) -> ImageSet:
    """The real patches a generator may learn from: training patches, or what a control says it is shown."""
    wanted = getattr(generator, "shown", "train")
    if wanted == "target":
        train, test = (shown(generator, splits, name) for name in ("train", "test"))
        return joined(train, test)
    return only(splits.plain[wanted], set(generator.card.needs)) if wanted != "train" else shown(generator, splits, "train")


def joined(one: ImageSet, other: ImageSet) -> ImageSet:
    """Two sets in a row, with the columns both have; prompts are left behind."""
    first, second = one.conditions, other.conditions
    columns = (first.columns() & second.columns()) - {"prompts"}
    merged: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("ids", "groups", *sorted(columns))
    }
    conditions = Conditions(**merged, classes=first.classes, size=first.size, mpp=first.mpp)
    return ImageSet(f"{one.key}+{other.key}", np.concatenate([one.images, other.images]), conditions)

"""The data of a run: splits, pools and prompts, each an entry of the store made by a job.

The keys of all other jobs depend on the content of these sets, so they are made first. A set in the store is only opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from bench import registry
from bench.config import Components
from bench.errors import MissingError, RefusedError, StoppedError, UsageError
from bench.histology.sampling import CONFIRM_MPP, implausible_mpp, is_plausible_mpp
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Failed, Outcome
from bench.jobs.store import EntryRef, Store, key_of
from bench.loading import asked_of
from bench.pipeline import prompts
from bench.pipeline.checks import check_patches
from bench.pipeline.classes import read_classes
from bench.pipeline.plugins import Plugin
from bench.pipeline.prompts import PromptReport, PromptRule
from bench.pipeline.sets import SetRef, keep_columns, load_into_memory, load_set, save_set, select
from bench.provenance import sources
from bench.provenance.digests import digest_of_array, digest_of_patch, root_digest
from bench.results.terms import ABSENT
from bench.types import Conditions, ImageSet, LimitsPatches, ProvidesPools, ProvidesPromptDonors, UsesPool

MAPS = {"masks", "instances", "types"}
"""Condition columns that are maps: the only ones that layout generators and downstream models get."""
SPLITS = ("train", "validation", "test", "holdout")
DONORS = "prompt donors"
"""Read in addition to the splits: patches of the test slides in no reference set."""
_HOLDOUT_RULE = "no slide of train or test"
"""Part of the key of the split: entries of earlier versions, which may hold test slides, are not read."""

Execute = Callable[[Sequence[Job]], dict[EntryRef, Outcome]]
"""Runs jobs and returns how each ended."""


@dataclass(frozen=True)
class Patches:
    """A set of real patches in the store: the job that makes it, its reference for workers, and its arrays in this process."""

    job: Job
    ref: SetRef
    patches: ImageSet
    images_key: str
    """Key of the images, independent of attached prompts."""

    @property
    def key(self) -> str:
        return self.patches.key

    @property
    def needs(self) -> tuple[Job, ...]:
        return (self.job,)

    @property
    def conditions(self) -> Conditions:
        return self.patches.conditions

    def __len__(self) -> int:
        return len(self.patches)

    def rows(self, chosen: np.ndarray[Any, Any]) -> Patches:
        """Some of the rows; all of them are the set itself."""
        if len(chosen) == len(self):
            return self
        part = select(self.patches, chosen)
        images_key = ImageSet.part_key_of(self.images_key, chosen)
        # rows of this set, which may itself be some rows of the entry
        of_entry = chosen if self.ref.rows is None else np.asarray(self.ref.rows)[chosen]
        ref = replace(self.ref, key=part.key, rows=tuple(of_entry.tolist()))
        return replace(self, ref=ref, patches=part, images_key=images_key)

    def keep_columns(self, columns: set[str]) -> Patches:
        """The set with these optional columns and no others."""
        ref = replace(self.ref, columns=tuple(sorted(columns)))
        return replace(self, ref=ref, patches=keep_columns(self.patches, columns))


@dataclass(frozen=True)
class DataSplits:
    """The sets of a run: as the dataset gives them, and with prompts if a generator needs prompts."""

    plain: dict[str, Patches]
    prompted: dict[str, Patches]
    """`train` with the prompt source that generators are trained with, `test` with the one of the run."""
    training: Patches
    """The real patches that downstream models are trained on."""
    pool: Patches
    """The same with prompts: the conditions that are generated for downstream models."""
    pool_name: str = "train"
    """The split of the pool."""
    prompt_report: PromptReport | None = None
    """Report on the prompts of the test patches, if prompts were cut."""
    donors: Patches | None = None
    """Patches of the test slides outside every reference set, that prompts of test patches are cut from; None where there are
    none, or where nothing is cut from them."""
    class_reading: str = ""
    """How the task reads the classes of the data; empty if their names say it."""

    @property
    def test(self) -> Patches:
        return self.plain["test"]

    def join(self, one: str, other: str, columns: set[str], with_splits: bool = False) -> Patches:
        """Two splits joined, without prompts: the training patches of controls that show targets. `with_splits`: with the
        split of each patch."""
        sets = [self.plain[name].keep_columns(columns - {"prompts"}) for name in (one, other)]
        key = "+".join(part.key for part in sets)
        action = JoinSets(tuple(part.ref for part in sets), (one, other) if with_splits else ())
        needs = tuple(job for part in sets for job in part.needs)
        spec: dict[str, Any] = {"joined": [part.key for part in sets], "columns": sorted(columns)}
        spec |= {"splits": [one, other]} if with_splits else {}
        job = Job("data", spec, action, needs, label="join splits")
        conditions = sets[0].conditions[[]]  # columns that are known before the job has run
        return Patches(job, SetRef(job.ref, key), ImageSet(key, sets[0].patches.images[:0], conditions), key)


def load_splits(components: Components, store: Store, execute: Execute, with_prompts: bool = False) -> DataSplits:
    """Splits of the dataset, the pool of downstream models, and prompts if a generator needs them or `with_prompts` is set.

    Raises UsageError if splits share slides, the resolution is implausible or the task means other classes, and the error of
    a job that failed.
    """
    pool_name = pool_of(components)
    cut = with_prompts or any("prompts" in generator.card.needs for generator in components.generators)
    names = tuple(dict.fromkeys((*SPLITS, pool_name)))
    jobs = {name: split_job(components.dataset_plugin, name) for name in names}
    if cut and _has_prompt_donors(components):
        jobs[DONORS] = split_job(components.dataset_plugin, DONORS)
    raise_failure(execute(list(jobs.values())))
    sets = {name: _open_patches(job, store) for name, job in jobs.items()}
    _check_resolution(components, sets["test"].conditions.mpp)
    class_reading = read_classes(components, sets["test"].conditions.classes)
    check_groups({name: sets[name].patches for name in SPLITS})
    if pool_name != "train":
        _check_pool(pool_name, sets)
    donors = sets.get(DONORS)
    if donors is not None:
        _check_donors(donors, sets)
    plain, training = {name: sets[name] for name in SPLITS}, sets[pool_name]
    prompted, report = {"train": plain["train"], "test": plain["test"], "pool": training}, None
    if cut:
        made = {
            "train": prompts_job(plain["train"], components.learned, None),
            "test": prompts_job(plain["test"], components.rule, donors),
            "pool": prompts_job(training, components.rule, None),
        }
        raise_failure(execute(list(made.values())))
        prompted = {name: _open_patches(job, store, prompted[name].images_key) for name, job in made.items()}
        report = PromptReport(**store.read_json(made["test"].ref, "report.json"))
    rows = choose_spread(training.conditions.ids, components.task.patches if isinstance(components.task, LimitsPatches) else 0)
    pool = prompted.pop("pool").rows(rows)
    return DataSplits(plain, prompted, training.rows(rows), pool, pool_name, report, donors, class_reading)


def split_job(dataset: Plugin, name: str) -> Job:
    """Reads one split of a dataset, or its patches for prompts alone (`DONORS`), into the store."""
    spec = {"dataset": registry.describe(dataset.build()), "split": name}
    if name == "holdout":
        spec["rule"] = _HOLDOUT_RULE
    return Job("data", spec, ReadSplit(dataset, name), label=f"read the {name} split")


def prompts_job(patches: Patches, rule: PromptRule, donors: Patches | None) -> Job:
    """Cuts prompts for a set, from `donors` first where they are given."""
    spec = {"patches": patches.key, "rule": rule.described(), "donors": donors.key if donors is not None else ""}
    needs = (*patches.needs, *(donors.needs if donors is not None else ()))
    action = CutPrompts(patches.ref, rule, donors.ref if donors is not None else None)
    return Job("prompts", spec, action, needs, label=f"cut prompts ({rule.label()})")


@dataclass(frozen=True)
class ReadSplit:
    """Action: one split of a dataset, with the digests that a manifest lists.

    The key of a set is the one that the dataset states. For a dataset plug-in from outside it also includes the digest of its
    code, since an edit may change the content without changing the stated key.
    """

    dataset: Plugin
    split: str

    def __call__(self, work: Path, context: JobContext) -> None:
        dataset = self.dataset.build()
        foreign = sources.describe(type(dataset))

        def read() -> ImageSet:
            made = dataset.prompt_donors() if self.split == DONORS else dataset.split(self.split)
            check_patches(self.dataset.name, made, f"split {self.split!r}")
            return cast(ImageSet, made)

        # an error of one of our own datasets keeps its traceback
        made = asked_of("datasets", self.dataset.name, read) if foreign else read()
        if foreign:
            made = replace(made, key=key_of({"key": made.key, **foreign}))
        save_set(made, work)
        (work / "digests.json").write_text(json.dumps(digests_of(made)), encoding="utf-8")


def digests_of(patches: ImageSet) -> dict[str, str]:
    """Digests of the patches, of their groups, and of each column."""
    ids = patches.conditions.ids.tolist()
    columns = sorted(patches.conditions.columns() - {"prompts"})
    return {
        "images": root_digest({name: digest_of_patch(patches.images[i]) for i, name in enumerate(ids)}),
        "groups": root_digest(dict(zip(ids, patches.conditions.groups.tolist(), strict=True))),
        **{name: digest_of_array(np.asarray(getattr(patches.conditions, name))) for name in columns},
    }


@dataclass(frozen=True)
class CutPrompts:
    """Action: the set with prompts, and what they show."""

    patches: SetRef
    rule: PromptRule
    donors: SetRef | None = None

    def __call__(self, work: Path, context: JobContext) -> None:
        donors = None if self.donors is None else load_into_memory(self.donors.load(context.store))
        made = prompts.attach(load_into_memory(self.patches.load(context.store)), self.rule, donors)
        save_set(made, work)
        (work / "report.json").write_text(json.dumps(asdict(prompts.report(made.conditions, self.rule))), encoding="utf-8")


@dataclass(frozen=True)
class JoinSets:
    """Action: sets joined, with the columns that all of them have."""

    sets: tuple[SetRef, ...]
    splits: tuple[str, ...] = ()
    """Name of each set, for the column `splits`; without that column if there are none."""

    def __call__(self, work: Path, context: JobContext) -> None:
        loaded = [ref.load(context.store) for ref in self.sets]
        first = loaded[0].conditions
        columns = frozenset.intersection(*(part.conditions.columns() for part in loaded)) - {"prompts"}
        merged: dict[str, Any] = {
            name: np.concatenate([np.asarray(getattr(part.conditions, name)) for part in loaded])
            for name in ("ids", "groups", *sorted(columns))
        }
        if self.splits:
            merged["splits"] = np.repeat(np.array(self.splits), [len(part) for part in loaded])
        conditions = Conditions(**merged, classes=first.classes, size=first.size, mpp=first.mpp)
        images = np.concatenate([np.asarray(part.images) for part in loaded])
        save_set(ImageSet("+".join(part.key for part in loaded), images, conditions), work)


def pool_of(components: Components) -> str:
    """The split that downstream models are trained on: the one that experiment or task names if the dataset has it, else
    train."""
    task = components.task
    wanted = components.experiment.pool if components.experiment else task.pool if isinstance(task, UsesPool) else "train"
    has_it = isinstance(components.dataset, ProvidesPools) and wanted in components.dataset.pools
    if wanted == "train" or has_it:
        return str(wanted)
    if components.experiment:
        raise UsageError(
            f"the experiment {components.config.experiment} needs the pool {wanted}, which "
            f"{components.dataset.card.name} does not have. Choose a dataset with pools (bench list datasets), or write "
            "pool = 'train' in a TOML file of your own."
        )
    return "train"


def choose_spread(ids: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Row numbers of `count` patches (all for 0), chosen by the hash of their id: the same patches in any order of the set."""
    if not count or count >= len(ids):
        return np.arange(len(ids))
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in ids.tolist()])
    return np.sort(order[:count])


def check_groups(sets: dict[str, ImageSet]) -> None:
    """Raises UsageError if a slide is in two of train, validation and test, or the holdout has a slide of train or test."""
    pairs = (("train", "validation"), ("train", "test"), ("validation", "test"), ("train", "holdout"), ("test", "holdout"))
    for one, other in pairs:
        _check_apart(sets[one], sets[other], one, other)


def raise_failure(outcomes: dict[EntryRef, Outcome]) -> None:
    """Raises the first failure as the error that it was."""
    for outcome in outcomes.values():
        if isinstance(outcome, Failed):
            error = outcome.error
            if error.code == "usage":
                raise UsageError(error.message)
            if error.code in ABSENT:
                raise MissingError(error.message)
            if error.code == "interrupted":
                raise StoppedError(error.message)
            if error.code in ("refused", "memory"):
                raise RefusedError(error.message)
            raise RuntimeError(f"{error.type}: {error.message}\n{error.traceback}")


def _has_prompt_donors(components: Components) -> bool:
    dataset = components.dataset
    return components.rule.prompt_source != "self" and isinstance(dataset, ProvidesPromptDonors) and dataset.has_prompt_donors


def _check_resolution(components: Components, mpp: float) -> None:
    described = registry.describe(components.dataset)
    if not is_plausible_mpp(mpp) and described["options"].get(CONFIRM_MPP) is not True:
        raise UsageError(implausible_mpp(f"patches of {components.dataset.card.name} have an mpp of {mpp:g}"))


def _check_donors(donors: Patches, sets: dict[str, Patches]) -> None:
    """Raises UsageError if donors are from a slide of train or validation, or share pixels with a reference patch."""
    for name in ("train", "validation"):
        _check_apart(donors.patches, sets[name].patches, DONORS, name)
    for name in ("test", "holdout"):
        theirs = sets[name].conditions
        shared = [i for i in range(len(donors)) if donors.conditions.overlaps(i, theirs).any()]
        if shared:
            listed = ", ".join(donors.conditions.ids[shared[:5]].tolist())
            raise UsageError(f"{len(shared)} patches to cut prompts from show pixels of {name} patches ({listed}).")


def _check_pool(name: str, plain: dict[str, Patches]) -> None:
    """R1 is made of training slides, any other pool of slides in no split."""
    for other in ("validation", "test") if name == "R1" else ("train", "validation", "test"):
        _check_apart(plain[name].patches, plain[other].patches, name, other)


def _check_apart(one: ImageSet, other: ImageSet, name: str, other_name: str) -> None:
    both = np.intersect1d(one.conditions.groups, other.conditions.groups)
    if len(both):
        listed = ", ".join(both[:5].tolist())
        raise UsageError(f"{len(both)} slides are in both {name} and {other_name} ({listed}): the splits leak.")


def _open_patches(job: Job, store: Store, images_key: str = "") -> Patches:
    patches = load_set(store, job.ref)
    return Patches(job, SetRef(job.ref, patches.key), patches, images_key or patches.key)

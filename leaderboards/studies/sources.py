"""Where the images of a study are from: real test patches, and generated sets of runs or of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.cli.export import find_kept, generate_again, require_kept
from bench.config import PLACEHOLDER, RunConfig, load_components
from bench.errors import MissingError, NotComparableError, UsageError
from bench.histology.sampling import StatesSampling
from bench.messages import listed_names, shorten
from bench.pipeline.data import load_splits
from bench.pipeline.exporting import list_sample_sets
from bench.pipeline.plugins import Plugin
from bench.provenance import manifest
from bench.results import schema as results
from bench.types import Conditions, ImageSet, Procedural, Strings, image_seeds
from leaderboards.studies.schema import REAL

if TYPE_CHECKING:
    from bench.run import RunContext

FOLDER = "folder:"
TASK = "region-seg"
"""The task by which a folder of data is read where no run names one: classes of any names."""
AT_ONCE = 64
_LATER: Strings = np.empty(0, np.str_)
"""In place of the classes of conditions that are those of the real patches."""


@dataclass(frozen=True)
class Candidates:
    """The images that one arm can show, one for each condition."""

    arm: str
    generator: str
    seed: int | None
    images: ImageSet
    units: Strings
    """str (n,): sampling unit of each image."""
    labels: Strings
    """str (n,): class of each patch, by `label_patches`."""
    are_units_known: bool = True
    """Whether the data tell which images are of one slide or patient. If not, each image is a unit of its own: balanced over,
    but of no use for intervals."""


@dataclass(frozen=True)
class Asked:
    """What the user named: real data, and a generated set for each further arm."""

    real: str
    """A dataset as `--dataset` names it, a folder of data, or a run folder. Empty: the test patches of the first run."""
    generated: tuple[str, ...]
    """`RUN`, `RUN:GENERATOR` for another generator of the run than its own, or `folder:DIR`."""
    task: str
    """Empty: that of the first run, or `region-seg`."""
    options: Mapping[str, str]
    allowed: tuple[Path, ...] = ()
    """Plug-in files whose code may run."""


def load_candidates(asked: Asked, context: RunContext) -> tuple[list[Candidates], bool]:
    """The arms, real patches first, and whether the real patches are procedural. What the store no longer holds is generated
    again. Raises NotComparableError if the arms are not of the same test patches."""
    config = _config_of_real(asked)
    components = load_components(config)
    real = load_splits(components, context.store, context.execute).test.patches
    labels = label_patches(real.conditions)
    dataset = components.dataset
    is_known = dataset.sampling.is_known if isinstance(dataset, StatesSampling) else True
    arms = [Candidates(REAL, "", None, real, np.asarray(real.conditions.units), labels, is_known)]
    for text in asked.generated:
        found = _of_folder(text, real) if text.startswith(FOLDER) else _of_run(text, asked, context)
        arms.append(replace(_match(found, arms[0], text), are_units_known=is_known))
    names = [arm.arm for arm in arms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two arms are called {listed_names(twice)}: give each generator once.")
    return arms, bool(isinstance(dataset, Procedural) and dataset.procedural)


def _config_of_real(asked: Asked) -> RunConfig:
    """How the real patches are read."""
    runs = [_split_run(text)[0] for text in asked.generated if not text.startswith(FOLDER)]
    named = Path(asked.real) if asked.real else runs[0] if runs else None
    if named is None:
        raise UsageError("--real says which patches are real: a dataset, a folder of data, or a run. No run names them here.")
    if (named / manifest.NAME).is_file():
        config = manifest.config_of(manifest.read(named), asked.allowed)
        return replace(config, options={**config.options, **asked.options}, task=asked.task or config.task)
    task = asked.task
    if not task:
        configs = [manifest.config_of(manifest.read(run), asked.allowed) for run in runs[:1]]
        task = configs[0].task if configs else TASK
    is_data = registry.is_folder(Path(asked.real)) or asked.real in ("embedded", REAL)
    where: dict[str, Any] = {"data": asked.real} if is_data else {"dataset": asked.real}
    return RunConfig(generator=PLACEHOLDER, task=task, controls=(), options=asked.options, **where)


def _split_run(text: str) -> tuple[Path, str]:
    """Folder of the run, and the generator in it; empty for its own."""
    if registry.is_folder(Path(text)):
        return Path(text), ""
    folder, colon, name = text.partition(":")
    if not colon or not registry.is_folder(Path(folder)):
        raise MissingError(
            f"--generated {shorten(text, 300)!r} is no folder of bench run, no RUN:GENERATOR and no folder:DIR of samples."
        )
    return Path(folder), name


def _of_run(text: str, asked: Asked, context: RunContext) -> Candidates:
    """The set of test conditions of the first run seed."""
    run, name = _split_run(text)
    file = run / manifest.RECORDS
    if not file.is_file():
        raise MissingError(f"no {manifest.RECORDS} in {run}. Give a folder that bench run wrote.")
    config = manifest.config_of(manifest.read(run), asked.allowed)
    records = [record for record in results.read([file]) if not record.mix]  # others are of what downstream models saw
    sets = list_sample_sets(records)
    wanted = name or config.generator
    own = sorted((seed, generator, key) for generator, seed, key in sets if generator == wanted)
    if not own:
        there = sorted({generator for generator, _, _ in sets})
        raise MissingError(
            f"{run} has no images of {wanted} for test conditions; it has those of {listed_names(there) or 'no generator'}. "
            "Name one as RUN:GENERATOR."
        )
    seed, generator, key = own[0]
    if find_kept(key, context.store) is None:
        generate_again(run, {key}, asked.allowed, context)
    kept = require_kept(key, generator, run, context.store)
    images = kept.load(context.store)
    # a sampled layout has a class of its own
    labels = label_patches(images.conditions) if kept.conditions.entry.kind == "layouts" else _LATER
    return Candidates(generator, generator, seed, images, np.asarray(images.conditions.units), labels)


def _of_folder(text: str, real: ImageSet) -> Candidates:
    """The images of a folder of samples, by the ids of the test patches."""
    generator = Plugin("generators", text, ()).build()
    conditions = real.conditions
    images = generator.generate(conditions, image_seeds(0, conditions.ids))
    found = ImageSet(generator.digest[:32], images, conditions)
    name = Path(text.removeprefix(FOLDER)).resolve().name
    return Candidates(name, text, None, found, np.asarray(conditions.units), _LATER)


def _match(found: Candidates, real: Candidates, text: str) -> Candidates:
    """The arm with the classes of its conditions. Readers would tell arms of different sizes apart at once."""
    theirs, ours = found.images.conditions, real.images.conditions
    if (theirs.size, theirs.mpp) != (ours.size, ours.mpp) and not (
        theirs.size == ours.size and np.isnan([theirs.mpp, ours.mpp]).all()
    ):
        raise NotComparableError(
            f"{shorten(text, 300)} has images of {theirs.size} px at {theirs.mpp} microns a pixel, and the real patches have "
            f"{ours.size} px at {ours.mpp}: readers would tell them apart by that."
        )
    rows = {name: row for row, name in enumerate(ours.ids.tolist())}
    if unknown := [name for name in theirs.ids.tolist() if name not in rows]:
        raise NotComparableError(
            f"{shorten(text, 300)} has images of {len(unknown)} conditions that are no real test patches here, e.g. "
            f"{listed_names(unknown[:3])}. Give --real the data of that run."
        )
    same = np.asarray([rows[name] for name in theirs.ids.tolist()], dtype=np.int64)
    if found.labels is not _LATER:
        return found
    if (other := _find_other_map(theirs, ours, same)) is not None:
        raise NotComparableError(
            f"{shorten(text, 300)} was generated for other data: the map of {other} is not that of the real test patch of "
            "this name. Give --real the data of that run."
        )
    return replace(found, labels=real.labels[same])


def _find_other_map(theirs: Conditions, ours: Conditions, rows: NDArray[np.int64]) -> str | None:
    """Id of a condition whose class map is not that of its row in the real set; None if all are the same."""
    if theirs.masks is None or ours.masks is None:
        return None
    for start in range(0, len(rows), AT_ONCE):
        chosen = rows[start : start + AT_ONCE]
        one, two = (np.asarray(maps) for maps in (theirs.masks[start : start + AT_ONCE], ours[chosen].masks))
        if (differ := (one != two).any(axis=(1, 2))).any():
            return str(theirs.ids[start + int(differ.argmax())])
    return None


def label_patches(conditions: Conditions) -> Strings:
    """str (n,): class of each patch: that of the whole patch where the data have one, otherwise the type of most nuclei,
    counted in pixels, otherwise the class with most annotated pixels; `none` where nothing is annotated."""
    if conditions.labels is not None:
        return np.asarray([str(label) for label in np.asarray(conditions.labels).tolist()])
    maps, hidden = (conditions.types, 0) if conditions.types is not None else (conditions.masks, 255)
    if maps is None:
        return np.full(len(conditions), "none")
    found: list[str] = []
    for start in range(0, len(conditions), AT_ONCE):
        for one in np.asarray(maps[start : start + AT_ONCE]):
            counts = np.bincount(one.ravel(), minlength=256)
            counts[[hidden, 255]] = 0
            value = int(counts.argmax())
            names: Sequence[str] = conditions.classes
            found.append("none" if not counts.any() else names[value] if value < len(names) else str(value))
    return np.asarray(found)

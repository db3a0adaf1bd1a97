"""Which dataset a run reads: the one that `--dataset` names, the folder of `--data` or BENCH_DATA, or embedded data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bench import registry
from bench.errors import MissingError, UsageError
from bench.loading import asked_of
from bench.messages import shorten
from bench.types import Procedural, RecognisesFolder

if TYPE_CHECKING:
    from bench.config import Components


@dataclass(frozen=True)
class DataSource:
    """A dataset plug-in by name, and where its data are from."""

    name: str
    """Of the plug-in, with its first argument: `folder:/data/slides`."""
    embedded: bool
    """Whether the data are procedural: records then carry the flag `embedded`."""
    folder: str
    """`embedded`, or the folder that the dataset reads; empty where the dataset was named."""


@runtime_checkable
class _HasSplits(Protocol):
    def split(self, name: str) -> Any: ...


def find_source(data: str, dataset: str, task_name: str, task: Any) -> DataSource:
    """The dataset of a run: `data` and `dataset` as the user gave them, `task` the class of the task.

    Embedded data never replaces a folder that was named. Raises UsageError if both are given or the dataset does not exist,
    MissingError if there is no such folder or no reader of the task recognises it.
    """
    if data and dataset:
        raise UsageError(
            f"--data {shorten(data, 300)} and --dataset {shorten(dataset, 300)} both say which data are read: leave out one."
        )
    if dataset:
        return asked_of("datasets", dataset, lambda: _named(dataset))
    return asked_of("tasks", task_name, lambda: _of_folder(data, task))


def _named(dataset: str) -> DataSource:
    if not registry.is_known("datasets", dataset) and registry.is_folder(Path(dataset)):
        raise UsageError(f"--dataset takes the name of a dataset, and {shorten(dataset, 300)!r} is a folder: give --data.")
    found = registry.find("datasets", dataset)[0]
    if not isinstance(found, _HasSplits):
        raise UsageError(f"--dataset {shorten(dataset, 300)}: {found.__name__} is no dataset, since it has no split().")
    procedural = isinstance(found, Procedural) and found.procedural
    return DataSource(registry.absolute_argument("datasets", dataset), procedural, "")


def _of_folder(data: str, task: Any) -> DataSource:
    configured = os.environ.get("BENCH_DATA", "")
    if data == "real" and not configured:
        raise MissingError("--data real: no data folder is configured. Set BENCH_DATA to it, or give --data DIR.")
    if data in ("", "real"):
        data = configured or "embedded"
    if data == "embedded":
        return DataSource(task.embedded, True, data)
    if not registry.is_folder(Path(data)):
        raise MissingError(
            f"no data folder {shorten(data, 300)!r}. Give an existing one, or --data embedded for the built-in phantom."
        )
    found = str(Path(data).resolve())
    return DataSource(f"{_reader(task, Path(data))}:{found}", False, found)


GENERAL = "folder"
"""The reader of images with class maps that anybody can make."""


def _reader(task: Any, folder: Path) -> str:
    """The first of the task's readers that recognises the layout of the folder. A single reader is taken without a check, and
    so is `folder` where no other one recognises it: it says what is missing."""
    if len(task.readers) == 1:
        return str(task.readers[0])
    for name in task.readers:
        reader = registry.find("datasets", name)[0]
        if isinstance(reader, RecognisesFolder) and reader.recognises(folder):
            return str(name)
    if GENERAL in task.readers:
        return GENERAL
    raise MissingError(
        f"{folder} has none of the layouts that {task.card.name} reads: {', '.join(task.readers)}. "
        "See docs/data.md for what each expects."
    )


def provided(dataset: Any) -> set[str]:
    """The condition columns that a dataset provides, with the prompts that the harness cuts from its masks."""
    return set(dataset.provides) | ({"prompts"} if "masks" in dataset.provides else set())


def check_task(components: Components) -> None:
    """Raises UsageError if the dataset does not provide the columns that the task needs."""
    task, dataset = components.task, components.dataset
    has = provided(dataset)
    if missing := sorted(set(task.card.needs) - has):
        raise UsageError(
            f"the task {task.card.name} needs {', '.join(missing)}, which {dataset.card.name} does not provide: it provides "
            f"{', '.join(sorted(has)) or 'nothing but images'}. Choose another pair: bench list datasets, bench list tasks."
        )

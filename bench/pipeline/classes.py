"""The classes of the data of a run, held against those that its task means."""

from __future__ import annotations

from typing import Any

from bench import registry
from bench.config import Components
from bench.loading import asked_of
from bench.types import NOT_ANNOTATED, ChecksClasses, DataClasses, Dataset

CLASS_MAP, CLASSES = "class_map", "classes"
"""Options of a dataset that renumbers classes, `0=1,1=0,2=ignore`, and names them, `normal,tumour`."""


def read_classes(components: Components, names: tuple[str, ...]) -> str:
    """How the task reads classes of these names; empty if the names are its own, or it takes any. UsageError if the task means
    other classes. A task that failed is not asked: its own records have the reason."""
    task = components.task
    if components.task_plugin.failure is not None or not isinstance(task, ChecksClasses):
        return ""
    dataset = components.dataset
    found = asked_of("datasets", components.dataset_plugin.name, lambda: describe_classes(dataset, names))
    return asked_of("tasks", components.config.task, lambda: str(task.check_classes(found)))


def describe_classes(dataset: Dataset, names: tuple[str, ...]) -> DataClasses:
    """The classes with the numbers in the files that they come from, if the dataset has options for these."""
    options = registry.option_values(dataset)
    if not {CLASS_MAP, CLASSES} <= set(options):
        return DataClasses(dataset.card.name, names)
    try:
        given = _parse(options[CLASS_MAP])
    except ValueError:  # of a dataset that writes them in another way
        return DataClasses(dataset.card.name, names)
    if not given:
        return DataClasses(dataset.card.name, names, tuple((number,) for number in range(len(names))))
    numbers = tuple(tuple(number for number, target in given.items() if target == i) for i in range(len(names)))
    return DataClasses(dataset.card.name, names, numbers, tuple(n for n, target in given.items() if target == NOT_ANNOTATED))


def _parse(class_map: Any) -> dict[int, int]:
    """Number in the files -> class. ValueError if the text is no list of `0=1` or `2=ignore`."""
    pairs = (part.partition("=") for part in str(class_map or "").split(",") if part.strip())
    return {int(number): NOT_ANNOTATED if target.strip() == "ignore" else int(target) for number, _, target in pairs}

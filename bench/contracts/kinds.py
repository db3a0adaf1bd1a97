"""The kind of a plug-in, found by its name or by the methods of its class, and the contract of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import registry
from bench.contracts.cases import Outcome
from bench.contracts.datasets import check_dataset
from bench.contracts.encoders import check_encoder
from bench.contracts.generators import check_generator
from bench.contracts.layout_metrics import check_layout_metric
from bench.contracts.layouts import check_layouts
from bench.contracts.metrics import check_metric
from bench.contracts.tasks import check_task
from bench.errors import UsageError, did_you_mean
from bench.messages import shorten

_METHODS = {
    "generators": ("generate",),
    "encoders": ("encode",),
    "metrics": ("compare", "compare_trained", "agree", "compare_layouts", "tally_repeats"),
    "tasks": ("score",),
    "datasets": ("split",),
    "layout_generators": ("sample",),
}
"""Kind -> the methods of which a class of that kind has one."""
_CONTRACTS: dict[str, Callable[..., list[Outcome]]] = {
    "generators": check_generator,
    "encoders": check_encoder,
    "metrics": check_metric,
    "tasks": check_task,
    "datasets": check_dataset,
    "layout_generators": check_layouts,
}
KINDS = tuple(_CONTRACTS)


def contract_of(kind: str, cls: type[Any]) -> Callable[..., list[Outcome]]:
    """The checks of a class of this kind."""
    if kind == "metrics" and "compare_layouts" in dir(cls):
        return check_layout_metric
    return _CONTRACTS[kind]


def find_kind(name: str) -> str:
    """The kind of a registered name, or of a class in a file by its methods. UsageError if there is none, or more than one."""
    if registry.is_file(name):
        known = set(dir(registry.find("generators", name)[0]))
        found = tuple(kind for kind, methods in _METHODS.items() if known.intersection(methods))
        what = f"{shorten(name)} has methods of"
    else:
        found = registry.kinds_of(name)
        what = f"{shorten(name)!r} is the name of"
    if len(found) > 1:
        raise UsageError(f"{what} {' and '.join(found)}: say which, --kind {' or --kind '.join(found)}.")
    if found:
        return found[0]
    if registry.is_file(name):
        methods = ", ".join(method for each in _METHODS.values() for method in each)
        raise UsageError(f"{shorten(name)} has none of the methods that make a plug-in: {methods}. Write one, or give --kind.")
    known_names = sorted({each for kind in KINDS for each in registry.names(kind)})
    raise UsageError(
        f"nothing is called {shorten(name)!r}.{did_you_mean(name.partition(':')[0], known_names)} "
        "See: bench list, or give path.py:Class."
    )

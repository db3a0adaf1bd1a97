"""`bench.evaluate`: what `bench run` does, from Python."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from bench import registry
from bench.api.results import Results
from bench.config import RunConfig
from bench.errors import UsageError, did_you_mean
from bench.types import Generator

SETTINGS = tuple(field.name for field in fields(RunConfig) if field.name not in ("generator", "task", "data", "options"))
"""Keywords of `evaluate` beyond those that it names."""
_ACTIVE: list[str] = []
"""The task of the call that runs in this process."""


def evaluate(
    generator: object,
    task: str,
    data: str | PathLike[str] = "",
    *,
    options: Mapping[str, object] | None = None,
    out: str | PathLike[str] = "results",
    workers: int = 1,
    scheduler: str = "",
    **settings: Any,
) -> Results:
    """Trains, generates, measures and scores one generator, as `bench run` does; what is in the store is not computed again.

    `generator`: a name as on the command line, or a class, or an object of a class, with `card` and `generate`. A class is
    found by the file that defines it, and an object is made again in each process from the parameters of its constructor,
    which it keeps as attributes of their names. A script that defines the class and calls `evaluate` does the latter under
    `if __name__ == "__main__":`, since its file is imported as a plug-in.

    `options`: name or owner.name -> value, as `-o` on the command line: `{"dataset.size": 64}`. `workers`: processes; more
    than 1 needs `if __name__ == "__main__":` too. `settings`: the fields of `bench.config.RunConfig`, e.g.
    `metrics=["fd", "kid"]`, `seeds=(0, 1, 2)`, `controls=()`, `downstream=False`.

    Raises subclasses of `bench.errors.BenchError`, with what was asked, what was found and the next step. Numbers that failed
    do not raise: see `Results.errors`.
    """
    from bench import run
    from bench.cli.options import open_context
    from bench.runtime import import_guard

    import_guard.check()
    if _ACTIVE:
        raise UsageError(
            "bench.evaluate was called while another call runs: a file that defines a generator is imported as a plug-in. Put "
            'the call under `if __name__ == "__main__":`.'
        )
    name, own = name_generator(generator)
    given = {**own, **{option: _spell(option, value) for option, value in (options or {}).items()}}
    config = RunConfig(name, task, str(data), options=given, **_settings(settings))
    _ACTIVE.append(task)
    try:
        with open_context(workers, scheduler) as context:
            outcome = run.run(config, context, Path(out))
    finally:
        _ACTIVE.clear()
    return Results(outcome.records, outcome.tables, Path(out) / outcome.folder.name, outcome.faults)


def name_generator(generator: object) -> tuple[str, dict[str, str]]:
    """The name by which any process finds a generator, and the options that make the object again. UsageError where there is
    no such name."""
    if isinstance(generator, str):
        return generator, {}
    cls: type[Any] = generator if isinstance(generator, type) else type(generator)
    if not isinstance(cls, Generator):
        raise UsageError(
            f"{cls.__qualname__} is no generator: the class needs a `card` and a method `generate(conditions, seeds)`. "
            "bench new generator NAME writes one."
        )
    own = {} if isinstance(generator, type) else _options_of(generator)
    written = f"{cls.__module__}:{cls.__qualname__}"
    if installed := next((n for n in registry.names("generators") if registry.entry("generators", n).value == written), ""):
        return installed, own
    file = _file_of(cls)
    if file is None or "." in cls.__qualname__:
        raise UsageError(
            f"the class {cls.__qualname__} is not at the top of a file, and workers find it by its file. Write it into one, "
            f"e.g. mine.py, and give 'mine.py:{cls.__name__}' or the class that is imported from it."
        )
    return f"{file}:{cls.__name__}", own


def _file_of(cls: type[Any]) -> Path | None:
    try:
        file = inspect.getsourcefile(cls)
    except (TypeError, OSError):
        return None
    return Path(file).resolve() if file is not None and Path(file).is_file() else None


def _options_of(generator: object) -> dict[str, str]:
    """The options of an object that differ from their defaults."""
    cls = type(generator)
    known = registry.parameters(cls)
    try:
        values = registry.option_values(generator)
    except AttributeError as error:
        raise UsageError(
            f"{cls.__qualname__} does not keep the parameter {error.name!r} of its constructor as an attribute of that name, "
            "from which the object is made again."
        ) from error
    changed = {name: value for name, value in values.items() if value != known[name].default}
    return {f"generator.{name}": _spell(f"{cls.__qualname__}({name}=...)", value) for name, value in changed.items()}


def _spell(owner: str, value: object) -> str:
    """A value as `-o` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ",".join(_spell(owner, part) for part in value)
    if isinstance(value, str | int | float | PathLike):
        return str(value)
    raise UsageError(
        f"{owner}: an option is text, a number, true or false, a path, or several of them, not {type(value).__name__}: it "
        "stands in the records. Give what the object is made of, e.g. the path of its weights."
    )


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the config; names and numbers may be one, several, or text with commas."""
    if unknown := sorted(set(given) - set(SETTINGS)):
        raise UsageError(
            f"bench.evaluate takes no {unknown[0]!r}.{did_you_mean(unknown[0], SETTINGS)} It takes: {', '.join(SETTINGS)}."
        )
    found = dict(given)
    for name in ("encoders", "metrics", "controls"):
        if found.get(name) is not None:
            found[name] = tuple(part for part in _several(found[name]) if part)
    for name in ("seeds", "fit_seeds"):
        if name in found:
            found[name] = tuple(int(part) for part in _several(found[name]))
    if found.get("weights") is not None:
        found["weights"] = Path(found["weights"])
    return found


def _several(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, Iterable) else [value]

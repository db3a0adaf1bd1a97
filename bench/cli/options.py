"""Options and output that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UsageError
from bench.types import PROMPT_SOURCES

if TYPE_CHECKING:
    from bench.run import RunContext


def assignments(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Mapping[str, str]:
    """`-o name=value`, repeated, as a mapping. What stands before a colon is a name of its own and kept as it is."""
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"-o takes name=value, not {text!r}.")
        scope, colon, option = name.strip().rpartition(":")
        pairs[scope + colon + option.replace("-", "_")] = value
    return pairs


FIT_SEEDS = (
    "Train the generator anew with each of these seeds, and measure every fit, e.g. 0,1,2.  "
    "[default: one fit, the shipped weights or those of fit seed 0]"
)
"""What `--fit-seeds` does, for the commands that have it."""


def numbers(_ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """`0,1,2` as whole numbers without repeats; none where an option whose default is empty is not given."""
    name = parameter.opts[0]
    if not text and parameter.default == "":
        return ()
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name} takes whole numbers like 0,1,2, not {text!r}.") from None
    if len(set(found)) != len(found):
        raise UsageError(f"{name} {text}: a seed stands twice.")
    return found


def words(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as names; `none` or an empty text is no name; None where nothing was given."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say on what data and with which prompts."""
    for decorate in (
        click.option("--data", default="", help="embedded, real (the folder in BENCH_DATA), or a folder."),
        click.option("--class-map", default="", help="Merge classes of a folder, e.g. 0=1,1=0,2=0,3=0."),
        click.option(
            "--prompt-source",
            type=click.Choice(PROMPT_SOURCES),
            default="slide",
            show_default=True,
            help="Where prompt crops come from: the target itself, another patch of its slide, another slide.",
        ),
        click.option("-o", "options", multiple=True, callback=assignments, help="name=value or owner.name=value."),
    ):
        function = decorate(function)
    return function


def merged(options: Mapping[str, str], class_map: str) -> dict[str, str]:
    """The `-o` options with `--class-map` among them."""
    return {**options, **({"dataset.class_map": class_map} if class_map else {})}


def execution_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say who runs the jobs."""
    for decorate in (
        click.option("--workers", default=0, help="Processes on this machine.  [default: one a core, at most 4]"),
        click.option("--scheduler", default="", help="Address of a dask scheduler, e.g. tcp://host:8786: see docs/scale.md."),
    ):
        function = decorate(function)
    return function


@contextmanager
def open_context(workers: int = 0, scheduler: str = "") -> Iterator[RunContext]:
    """What a command needs to run jobs: the store, an executor whose workers stay until the command ends, progress and log."""
    from bench.jobs.choosing import Kept, choose_executor
    from bench.jobs.progress import default_reporter
    from bench.jobs.store import Store, default_root
    from bench.pipeline import plugins
    from bench.run import RunContext

    plugins.forget()
    opened: dict[str, Kept] = {}

    def executor_for(jobs: int) -> Kept:
        chosen = choose_executor(workers, scheduler, jobs)
        return opened.setdefault(repr(chosen), Kept(chosen))

    choose_executor(workers, scheduler, 0)  # refuses options that make no sense before any work
    root = default_root().absolute()
    try:
        yield RunContext(Store(root), executor_for, default_reporter(), lambda text: click.echo(text, err=True))
    finally:
        for kept in opened.values():
            kept.close()

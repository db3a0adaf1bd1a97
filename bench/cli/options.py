"""Options and output that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UsageError
from bench.runtime.launch import read_launch
from bench.types import PROMPT_SOURCES

if TYPE_CHECKING:
    from bench.jobs.collective import Group
    from bench.run import RunContext


def parse_assignments(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Mapping[str, str]:
    """`-o name=value`, repeated, as a mapping. A prefix that ends in a colon is kept as it is."""
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
"""Help of `--fit-seeds`, for the commands that have it."""


def parse_seeds(_ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """`0,1,2` as whole numbers without repeats; none if an option whose default is empty is not given."""
    name = parameter.opts[0]
    if not text and parameter.default == "":
        return ()
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name} takes whole numbers like 0,1,2, not {text!r}.") from None
    if min(found) < 0:
        raise UsageError(f"{name} {text}: a seed is 0 or larger.")
    if len(set(found)) != len(found):
        raise UsageError(f"{name} {text}: a seed is given twice.")
    return found


def parse_names(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as names; `none` and an empty text give no name; None if the option was not given."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options for data and prompts."""
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
        click.option("-o", "options", multiple=True, callback=parse_assignments, help="name=value or owner.name=value."),
    ):
        function = decorate(function)
    return function


def merge_class_map(options: Mapping[str, str], class_map: str) -> dict[str, str]:
    """The `-o` options with `--class-map` among them."""
    return {**options, **({"dataset.class_map": class_map} if class_map else {})}


def execution_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options for the executor."""
    for decorate in (
        click.option("--workers", default=0, help="Processes on this machine.  [default: one a core, at most 4]"),
        click.option("--scheduler", default="", help="Address of a dask scheduler, e.g. tcp://host:8786: see docs/scale.md."),
    ):
        function = decorate(function)
    return function


@contextmanager
def open_context(workers: int = 0, scheduler: str = "", group: Group | None = None) -> Iterator[RunContext]:
    """The context of a command: the store, an executor whose workers stay until the command ends, progress and log.

    `group`: the processes of a command that runs in several. Raises UsageError if a launcher started several processes of a
    command that does not: each would do the same work.
    """
    from bench.jobs.choosing import Kept, choose_executor
    from bench.jobs.collective import Collective
    from bench.jobs.progress import default_reporter
    from bench.jobs.store import Store, default_root
    from bench.pipeline import plugins
    from bench.run import RunContext

    plugins.forget()
    opened: dict[str, Kept] = {}

    launch = read_launch()
    if launch.ranks > 1 and group is None:
        raise UsageError(
            f"this is {launch} that a launcher started. Only training runs in several processes: launch `bench fit`, with "
            "the same generator, task and options, and then give this command without a launcher: it finds the weights."
        )

    def executor_for(jobs: int) -> Kept:
        chosen = choose_executor(workers, scheduler, jobs) if group is None else Collective(group)
        return opened.setdefault(repr(chosen), Kept(chosen))

    choose_executor(workers, scheduler, 0)  # refuses options that make no sense before any work
    store = Store(default_root())
    try:
        yield RunContext(store, executor_for, default_reporter(), lambda text: click.echo(text, err=True))
    finally:
        for kept in opened.values():
            kept.close()
        store.release()

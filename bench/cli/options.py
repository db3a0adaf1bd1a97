"""Options and output that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.config import ENCODERS
from bench.errors import BrokenPluginError, UsageError
from bench.messages import echo, shorten
from bench.results.folders import check_writable
from bench.runtime.launch import read_launch
from bench.runtime.plugin_code import guarded_process, is_interruption, stdout_to_stderr
from bench.types import PROMPT_SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    from bench.jobs.collective import Group
    from bench.run import RunContext


def parse_assignments(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> Mapping[str, str]:
    """`-o name=value`, repeated, as a mapping. A prefix that ends in a colon is kept as it is."""
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"-o takes name=value, not {shorten(text)!r}.")
        scope, colon, option = name.strip().rpartition(":")
        pairs[scope + colon + option.replace("-", "_")] = value
    return pairs


FIT_SEEDS = (
    "Train the generator anew with each of these seeds, and measure every fit, e.g. 0,1,2.  "
    "[default: one fit, the shipped weights or those of fit seed 0]"
)
"""Help of `--fit-seeds`, for the commands that have it."""


LARGEST_SEED = 2**32 - 1
"""What every library takes as a seed."""


def parse_seeds(_ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """`0,1,2` as whole numbers without repeats; none if an option whose default is empty is not given."""
    name = parameter.opts[0]
    if not text and parameter.default == "":
        return ()
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name} takes whole numbers like 0,1,2, not {shorten(text)!r}.") from None
    if min(found) < 0 or max(found) > LARGEST_SEED:
        raise UsageError(f"{name} {shorten(text)}: a seed is 0 or larger, and at most {LARGEST_SEED}.")
    if len(set(found)) != len(found):
        raise UsageError(f"{name} {shorten(text)}: a seed is given twice.")
    return found


def parse_names(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as names; `none` gives no name; None if the option was not given. UsageError on an empty name."""
    if text is None or text == parameter.default == "":
        return None if text is None else ()
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise UsageError(f"{parameter.opts[0]} {shorten(text)!r} has an empty name: give names like a,b, or none.")
    return tuple(name for name in names if name != "none")


def writable_folder(_ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """A folder for results. UsageError, before any work, if it can neither be made nor be written into."""
    if value is not None:
        check_writable(value, parameter.opts[0])
    return value


Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str, panels: bool = False) -> Complete:
    """Completes, in a shell, names of plug-ins of some kinds, also the last one of several that are separated by commas."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        from bench import registry

        before, comma, begun = typed.rpartition(",")
        known = [name for kind in kinds for name in registry.names(kind)]
        known += registry.panel_names() if panels else []
        return [f"{before}{comma}{name}" for name in sorted(set(known)) if name.startswith(begun.casefold())]

    return complete


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


DATASET = "In place of --data, a dataset plug-in: NAME, NAME:ARGUMENT, e.g. folder:DIR, or path.py:Class[:ARGUMENT]."
"""Help of `--dataset`, for the commands that have it."""


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options for data and prompts."""
    for decorate in (
        click.option("--data", default="", help="embedded, real (the folder in BENCH_DATA), or a folder."),
        click.option("--dataset", default="", shell_complete=names_of("datasets"), help=DATASET),
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


def encoder_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options for encoders and their weights."""
    chosen = click.option(
        "--encoders",
        "-e",
        default=",".join(ENCODERS),
        show_default=True,
        callback=parse_names,
        shell_complete=names_of("encoders", panels=True),
        help="Names or panels.",
    )
    return chosen(weights_option(function))


def weights_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option for weights of encoders, which commands need that read the names of encoders from elsewhere."""
    return click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Folder with weights of encoders.")(
        function
    )


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option for plug-in files that a file names, for commands that read names of plug-ins from files."""
    return click.option(
        "--allow-plugin",
        "allowed",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE.py",
        help="Run the code of this plug-in file if it is named there; repeated.  [default: only installed plug-ins]",
    )(function)


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

    Inside, what is printed on stdout goes to stderr, since plug-ins print too: a command prints its data afterwards.

    `group`: the processes of a command that runs in several. Raises UsageError if a launcher started several processes of a
    command that does not: each would do the same work.
    """
    from bench.jobs.choosing import Kept, choose_executor
    from bench.jobs.collective import Collective
    from bench.jobs.progress import default_reporter
    from bench.jobs.store import Store, default_root
    from bench.pipeline import plugins
    from bench.registry import describe_plugin_error
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
    with guarded_process(), stdout_to_stderr():
        try:
            yield RunContext(store, executor_for, default_reporter(), lambda text: echo(text, err=True))
        except (SystemExit, KeyboardInterrupt) as error:
            if is_interruption(error):
                raise
            raise BrokenPluginError(f"a plug-in ended the command: {describe_plugin_error(error)}.") from error
        finally:
            for kept in opened.values():
                kept.close()
            store.release()

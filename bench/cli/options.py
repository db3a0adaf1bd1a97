"""Options and output that several commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from bench.errors import UsageError
from bench.types import PROMPT_SOURCES, Progress


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


def numbers(_ctx: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """`0,1,2` as whole numbers without repeats."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--seeds takes whole numbers like 0,1,2, not {text!r}.") from None
    if len(set(found)) != len(found):
        raise UsageError(f"--seeds {text}: a seed stands twice.")
    return found


def words(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as names; `none` or an empty text is no name; None where nothing was said."""
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


def progress_bar() -> Progress:
    """Progress with remaining time on stderr; quiet where stderr is not a terminal."""
    if not sys.stderr.isatty():
        return lambda done, total, what: None
    started: dict[str, tuple[float, int]] = {}

    def show(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        since, first = started.setdefault(what, (now, done))
        left = (now - since) / (done - first) * (total - done) if done > first else None
        remaining = "" if left is None else f"  {left:4.0f} s left"
        bar = ("#" * round(20 * done / max(total, 1))).ljust(20)
        click.echo(f"\r\033[K{what:28.28s} [{bar}] {done}/{total}{remaining}", nl=False, err=True)
        if done >= total:
            click.echo("\r\033[K", nl=False, err=True)
            started.pop(what)

    return show

"""Messages: parts that many plug-ins need, and the one way in which text reaches the terminal.

Names, ids, reasons and paths come from files of strangers. What a terminal obeys or hides in them (escape sequences, other
control characters, marks that reverse the direction of writing, lone surrogates) is replaced before it is shown.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

from bench.errors import UsageError, limit_length

_Value = TypeVar("_Value")
_ADVICE = re.compile(
    r"""This\ file\ can\ still\ be\ loaded.*
    | (\(\d\)\ )?In\ PyTorch\ [\d.]+,\ we\ changed\ the\ default.*
    | \(\d\)\ Alternatively,\ to\ load\ with.*
    | Please\ file\ an\ issue\ with\ the\ following.*?:\s
    | Please\ use\ `torch\.serialization.*
    | Check\ the\ documentation\ of\ torch\.load.*
    | [^.\n]*weights_only`?\ ?(=|set\ to)\ ?`?False[^.\n]*\.?""",
    re.VERBOSE,
)
"""What torch says of ways to load a file of weights that it refused: all of them run code from the file."""


def needed(owner: str, column: str, value: _Value | None) -> _Value:
    """The value of a condition column. UsageError, with the name of the column, if it is absent."""
    if value is None:
        raise UsageError(f"{owner} needs conditions with {column}, and these have none: choose a dataset that has them.")
    return value


def listed(names: Iterable[object], most: int = 10) -> str:
    """The first names, comma-separated, and the total number if there are more."""
    words = [str(name) for name in names]
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def listed_names(names: Iterable[object], most: int = 10) -> str:
    """The same for names from files, each `printable`."""
    return listed(map(printable, names), most)


def printable(entry: object) -> str:
    """Text for one line: line breaks and other white space are blanks, and "�" stands for each character
    that a terminal would obey or not show."""
    text = str(entry)
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def printable_lines(text: object) -> str:
    """Text of several lines, each `printable`."""
    return "\n".join(map(printable, str(text).split("\n")))


def echo(text: object = "", err: bool = False) -> None:
    """Prints text on stdout, or on stderr, `printable`. Everything that a command prints goes through here, but for tables on
    a terminal and progress, which have styles of their own. Lines on stderr, which is for messages, are of limited length."""
    import click

    click.echo(printable_lines(limit_length(str(text)) if err else text), err=err)


def echo_lines(lines: Iterable[object], err: bool = False) -> None:
    """Prints each entry as one line, also where a name of a file in it has a line break, and of limited length."""
    for line in lines:
        echo(limit_length(printable(line)), err=err)


def without_advice(text: str) -> str:
    """The text without torch's advice on how to load weights in spite of what is wrong with them."""
    return _ADVICE.sub("", text) if "weights_only" in text else text


def describe_error(error: BaseException) -> str:
    """The message of an error of a library, on one line and not long, without advice to run code from a file."""
    return printable(" ".join(without_advice(str(error)).split())[:300]) or type(error).__name__


def show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints the traceback of an exception that nothing caught, in place of `sys.excepthook`."""
    text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
    print(printable_lines(without_advice(text)), file=sys.stderr)


def shorten(value: object, most: int = 80) -> str:
    """A name or value of a user or a file, as a message shows it: on one line, `printable`, and not long."""
    text = printable(value)
    return text if len(text) <= most else f"{text[:most]}..."

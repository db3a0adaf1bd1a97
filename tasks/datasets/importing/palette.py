"""Turns values or colours of maps into classes, by a palette that the user gave or accepted.

Numbers 0, 1, ... without a gap are taken as they are. Anything else (colours, 0 and 255, 1 and 2) is proposed, and the user
decides: a wrong guess would be a wrong class in every number of a benchmark.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, UsageError
from bench.files.regular import describe_fault, read_text
from bench.messages import listed_names
from tasks.datasets.index import some
from tasks.datasets.pixels import IGNORE

Value = int
"""A value of a map: a class number, or a colour as 65536 red + 256 green + blue."""
MOST_COLOURS = 24
"""Values that a proposal lists. Maps of more are drawn with soft edges, or compressed with loss."""
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})|(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})|(\d{1,5})")


@dataclass(frozen=True)
class Palette:
    """What each value means."""

    is_colour: bool
    numbers: Mapping[Value, int]
    """Value -> class, 255 for not annotated."""
    classes: tuple[str, ...]
    """Names of the classes 0, 1, ..."""
    origin: str
    """Where it is from, as the manifest shows it."""

    def apply(self, values: NDArray[np.int64], where: str) -> NDArray[np.uint8]:
        """Classes, uint8 (h, w), of values, int64 (h, w). Raises DamagedError on a value that the palette lacks."""
        known = np.array(sorted(self.numbers), dtype=np.int64)
        at = np.minimum(np.searchsorted(known, values), len(known) - 1)
        strange = known[at] != values
        if strange.any():
            found, counts = np.unique(values[strange], return_counts=True)
            shown = some([f"{show(int(v), self.is_colour)} ({n} px)" for v, n in zip(found, counts, strict=True)])
            kind = "colour" if self.is_colour else "value"
            raise DamagedError(
                f"{where} holds the {kind} {shown}, which the palette does not name. Add it to --palette, for example "
                f"{show(int(found[0]), self.is_colour)}=ignore."
            )
        table = np.array([self.numbers[int(value)] for value in known], dtype=np.uint8)
        return table[at]


def to_values(found: NDArray[np.uint8] | NDArray[np.int32], is_colour: bool) -> NDArray[np.int64]:
    """int64 (h, w) of a map of values (h, w) or colours (h, w, 3); of colours that are grey and mean values, one channel."""
    wide = found.astype(np.int64)
    if wide.ndim == 3:
        return wide[..., 0] * 65536 + wide[..., 1] * 256 + wide[..., 2] if is_colour else wide[..., 0]
    return wide * 65793 if is_colour else wide  # grey v as the colour v, v, v


def is_grey(found: NDArray[np.uint8] | NDArray[np.int32]) -> bool:
    """Whether a map has one channel, or three that are equal."""
    return found.ndim == 2 or bool((found == found[..., :1]).all())


def show(value: Value, is_colour: bool) -> str:
    """A value as `--palette` takes it."""
    return f"{value >> 16},{value >> 8 & 255},{value & 255}" if is_colour else str(value)


def parse(text: str, classes: tuple[str, ...]) -> Palette:
    """The palette of `--palette`: `255,0,0=tumour;0,0,0=normal`, `#ff0000=tumour`, `0=normal;255=tumour`, or a file of one
    such entry a line. The class `ignore` is not annotated. Classes are numbered in the order of `classes`, or of their first
    entry. Raises UsageError on other text.
    """
    origin = "--palette"
    if "=" not in text:
        if fault := describe_fault(Path(text)):
            raise UsageError(f"--palette {text!r} is no palette (255,0,0=tumour;0,0,0=normal) and no file: it {fault}.")
        origin, text = f"the file {text}", read_text(Path(text), "palette")
    entries: dict[Value, str] = {}
    colours: set[bool] = set()
    for entry in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        if entry.startswith("# ") or entry == "#":
            continue
        written, equals, name = (word.strip() for word in entry.partition("="))
        value, is_colour = _value(written, entry)
        if not equals or not name or "," in name:
            raise UsageError(f"--palette has {entry!r}. Write COLOUR=NAME, for example 255,0,0=tumour; names have no comma.")
        if entries.setdefault(value, name) != name:
            raise UsageError(f"--palette names {written} twice.")
        colours.add(is_colour)
    if len(colours) != 1:
        raise UsageError("--palette names colours and single values together." if colours else "--palette names no colour.")
    found = [name for name in dict.fromkeys(entries.values()) if name != "ignore"]
    if classes and sorted(classes) != sorted(found):
        raise UsageError(f"--classes {','.join(classes)} and --palette, which names {listed_names(found, 30)}, disagree.")
    ordered = classes or tuple(found)
    numbers = {value: IGNORE if name == "ignore" else ordered.index(name) for value, name in entries.items()}
    return Palette(colours.pop(), numbers, ordered, origin)


def _value(written: str, entry: str) -> tuple[Value, bool]:
    match = _COLOUR.fullmatch(written)
    if match is None:
        raise UsageError(f"--palette has {entry!r}. Write 255,0,0=NAME, #ff0000=NAME, or 1=NAME for maps of one channel.")
    if match[1]:
        return int(match[1], 16), True
    if match[5]:
        return int(match[5]), False
    parts = [int(match[i]) for i in (2, 3, 4)]
    if max(parts) > 255:
        raise UsageError(f"--palette has {entry!r}: red, green and blue lie between 0 and 255.")
    return parts[0] * 65536 + parts[1] * 256 + parts[2], True


def choose(counts: Counter[Value], is_colour: bool, classes: tuple[str, ...], accept: bool, command: str) -> Palette:
    """The palette of values that were found, with their numbers of pixels, where none was given.

    Whole numbers 0, 1, ... without a gap are classes. Raises UsageError with the proposal as a command line for anything
    else unless it was accepted, and DamagedError on too many values.
    """
    values = sorted(counts)
    if len(values) > MOST_COLOURS:
        raise DamagedError(_too_many(counts, is_colour))
    plain = not is_colour and values == list(range(len(values)))
    with_gap = not is_colour and [v for v in values if v != IGNORE] == list(range(len(values) - 1)) and len(values) > 2
    names = _names(len(values) - (with_gap and not plain), classes)
    if plain:
        return Palette(False, {v: v for v in values}, names, "the numbers in the maps are the classes")
    targets = [*range(len(values) - 1), IGNORE] if with_gap else list(range(len(values)))
    proposal = {v: target for v, target in zip(values, targets, strict=True)}
    if accept:
        return Palette(is_colour, proposal, names, "proposed from the values of the maps, and accepted")
    raise UsageError(_proposal(counts, proposal, is_colour, names, command))


def _names(count: int, classes: tuple[str, ...]) -> tuple[str, ...]:
    if classes and len(classes) != count:
        raise UsageError(f"--classes names {len(classes)} classes ({', '.join(classes)}), and the maps have {count}.")
    return classes or tuple(f"class-{i}" for i in range(count))


def _proposal(
    counts: Counter[Value], proposal: Mapping[Value, int], is_colour: bool, names: tuple[str, ...], command: str
) -> str:
    total = sum(counts.values())
    kind = "colours" if is_colour else "values"
    found = ", ".join(f"{show(v, is_colour)} ({counts[v] / total:.1%})" for v in proposal)
    words = ";".join(f"{show(v, is_colour)}={'ignore' if n == IGNORE else names[n]}" for v, n in proposal.items())
    why = " 255 means not annotated in a data folder." if not is_colour and IGNORE in proposal else ""
    return (
        f"the maps hold the {kind} {found}.{why} Say what they mean, with names of your own or ignore for not annotated:\n"
        f'{command} --palette "{words}"\nor take this as it is with --accept-palette.'
    )


def _too_many(counts: Counter[Value], is_colour: bool) -> str:
    total = sum(counts.values())
    top = counts.most_common(6)
    share = sum(n for _, n in top) / total
    shown = ", ".join(f"{show(v, is_colour)} ({n / total:.1%})" for v, n in top)
    return (
        f"the maps hold {len(counts)} {'colours' if is_colour else 'values'}, more than {MOST_COLOURS}: edges are blended "
        f"(anti-aliased) or the files were compressed with loss, so that pixels at edges have no class. The most frequent, "
        f"{shown}, cover {share:.1%}. Export the maps again without anti-aliasing, as PNG, resized by nearest neighbour."
    )


def parse_classes(text: str) -> tuple[str, ...]:
    """Names of `--classes`. Raises UsageError on an empty or a double name."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    return check_names(names, text)


def check_names(names: Iterable[str], text: str) -> tuple[str, ...]:
    """The names, all different and none empty."""
    made = tuple(names)
    if "" in made or len(set(made)) < len(made):
        raise UsageError(f"--classes {text!r} has an empty or a double name. Write --classes normal,tumour.")
    return made

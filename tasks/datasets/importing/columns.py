"""Finds sampling units, laboratories, splits and microns per pixel for the index that an import writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import DamagedError, UsageError, did_you_mean
from bench.histology.sampling import implausible_mpp, is_plausible_mpp
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing
from tasks.datasets.index import CLUSTERS, SPLIT_NAMES, UNITS, some, spelling

NUCLEI_SPLITS = {**SPLIT_NAMES, "r1": "R1", "r2": "R2"}
_UNIT_NAMES = {"patient": "patient", "case": "case", "source": "source", "slide": "slide", "sourceimage": "source_image"}
OTHER_NAMES = {"patientname": "patient", "participant": "patient", "wsi": "slide", "wsiname": "slide", "slidename": "slide"}
MPP_NAMES = ("mpp", "micronsperpixel", "umperpixel", "umpx", "micronsperpx")
MEANINGS = ("image", "mask", "id", *_UNIT_NAMES.values(), *CLUSTERS, "split", "mpp")
"""What `--columns` can name."""
_PROPOSALS = (
    ("patient", re.compile(r"(TCGA-\w\w-\w{4})")),
    ("slide", re.compile(r"((?:tumor|normal|test)_\d{3})(?=\D)")),
    ("source", re.compile(r"(.+?)[_-]x?\d+[_-]y?\d+$")),
    ("source", re.compile(r"(.+)[_-]\d+$")),
)
"""File names that often carry a patient or slide. They are proposed, and never taken."""


@dataclass(frozen=True)
class Indexed:
    """The rows of an index, and where its columns are from."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    origins: Mapping[str, str]
    """Column of the index -> what it was made of."""
    hints: tuple[str, ...]
    """What the user may want to do."""


def build(pairing: Pairing, options: ImportOptions) -> Indexed:
    """The index of a pairing's items. Raises UsageError where an option names what is not there, and DamagedError where cells
    cannot be read."""
    _check_names(pairing, options)
    made: dict[str, list[str]] = {"id": [item.id for item in pairing.items]}
    origins = {"id": "the names of the images" if "id" not in options.columns else f"column {options.columns['id']}"}
    for target, (source, values) in _from_table(pairing, options).items():
        made[target], origins[target] = values, source
    made |= _asked(pairing, options.unit_from, "--unit-from", "source", origins)
    splits = _asked(pairing, options.split_from, "--split-from", "split", origins)
    made |= splits
    if "split" in made:
        made["split"] = [
            _split(value, item, pairing, options) for value, item in zip(made["split"], pairing.items, strict=True)
        ]
    mpp, origin = _mpp(pairing, options, made.pop("mpp", None), origins)
    if mpp:
        made["mpp"], origins["mpp"] = mpp, origin
    for name, meaning in pairing.meanings.items():
        if name in ("part", "tissue"):
            made[name], origins[name] = [item.columns.get(name, "") for item in pairing.items], meaning
    columns = tuple(made)
    rows = tuple(dict(zip(columns, cells, strict=True)) for cells in zip(*made.values(), strict=True))
    return Indexed(columns, rows, origins, tuple(_hints(pairing, made)))


def _check_names(pairing: Pairing, options: ImportOptions) -> None:
    known = sorted({name for item in pairing.items for name in item.columns})
    for meaning, column in options.columns.items():
        if meaning not in MEANINGS:
            raise UsageError(
                f"--columns {meaning}={column}: known meanings are {', '.join(MEANINGS)}.{did_you_mean(meaning, MEANINGS)}"
            )
        if column not in known and meaning not in ("image", "mask"):
            raise UsageError(
                f"--columns {meaning}={column}: the source has no column {column!r}.{did_you_mean(column, known)} Its columns "
                f"are: {', '.join(known) or 'none'}."
            )


def _from_table(pairing: Pairing, options: ImportOptions) -> dict[str, tuple[str, list[str]]]:
    """Column of the index -> its origin and cells, for columns of the source that are known by name or were named."""
    present = list(dict.fromkeys(name for item in pairing.items for name in item.columns))
    chosen: dict[str, str] = {}
    for column in present:
        plain = spelling(column)
        target = _UNIT_NAMES.get(plain) or OTHER_NAMES.get(plain) or (plain if plain in CLUSTERS else "")
        target = target or ("split" if plain == "split" else "mpp" if plain in MPP_NAMES else "")
        if target:
            chosen.setdefault(target, column)
    chosen |= {meaning: column for meaning, column in options.columns.items() if meaning not in ("image", "mask", "id")}
    made = {}
    for target, column in chosen.items():
        cells = [item.columns.get(column, "") for item in pairing.items]
        origin = (
            pairing.meanings[column].partition(", ")[2] if pairing.meanings.get(column, "").startswith(f"{target}, ") else ""
        )
        made[target] = (origin or f"column {column}", cells)
    return made


def _asked(pairing: Pairing, wish: str, option: str, default: str, origins: dict[str, str]) -> dict[str, list[str]]:
    """The columns that `--unit-from` or `--split-from` asks for: of a column of the source, or of names by a pattern."""
    if not wish:
        return {}
    known = sorted({name for item in pairing.items for name in item.columns})
    if wish in known:
        target = _UNIT_NAMES.get(spelling(wish), default) if default == "source" else default
        origins[target] = f"column {wish} ({option})"
        return {target: [item.columns.get(wish, "") for item in pairing.items]}
    try:
        pattern = re.compile(wish)
    except re.error as error:
        raise UsageError(f"{option} {wish!r} is no column of the source and no regular expression: {error}.") from error
    if not pattern.groups:
        raise UsageError(
            f"{option} {wish!r} is no column of the source ({', '.join(known) or 'it has none'}), and as a regular expression "
            "for names of images it has no group. Write the part that is wanted in brackets: '(TCGA-..-....)'."
        )
    allowed = {**_UNIT_NAMES, **{name: name for name in CLUSTERS}, "split": "split"}
    named = list(pattern.groupindex)
    targets = [allowed.get(spelling(name), "") for name in named] or [default]
    if "" in targets or (named and len(named) < pattern.groups):
        raise UsageError(f"{option} {wish!r}: groups are named {', '.join(sorted(allowed.values()))}, all of them or none.")
    if unlike := [item.id for item in pairing.items if pattern.search(item.id) is None]:
        raise UsageError(
            f"{option} {wish!r} does not match {some(unlike)}: {len(unlike)} of {len(pairing.items)} names of images."
        )
    found = [match for item in pairing.items if (match := pattern.search(item.id))]
    groups: list[str | int] = [*named] if named else [1]
    cells = {target: [match.group(group) or "" for match in found] for target, group in zip(targets, groups, strict=True)}
    for target in targets:
        origins[target] = f"names of images by {wish} ({option})"
    return cells


def _split(value: str, item: Item, pairing: Pairing, options: ImportOptions) -> str:
    given = options.split_names.get(value, value)
    names = NUCLEI_SPLITS if pairing.kind == "nuclei" else SPLIT_NAMES
    if given.casefold() not in names:
        known = ", ".join(dict.fromkeys(names.values()))
        raise UsageError(
            f"the split of {item.id} is {value!r}; known are {known}. Say what it means: --splits {value or 'VALUE'}=train,..."
        )
    return names[given.casefold()]


def _mpp(
    pairing: Pairing, options: ImportOptions, column: list[str] | None, origins: Mapping[str, str]
) -> tuple[list[str], str]:
    """Cells and origin of microns per pixel; no cells where nothing is known."""
    cells, origin = column or [], origins.get("mpp", "")
    if options.mpp is not None:
        cells, origin = [f"{options.mpp:g}"] * len(pairing.items), "--mpp"
    elif not cells and pairing.mpp is not None:
        cells, origin = [f"{pairing.mpp:g}"] * len(pairing.items), pairing.mpp_from
    for item, cell in zip(pairing.items, cells, strict=bool(cells)):
        number = _number(cell, item, origin)
        if not options.confirm_mpp and not is_plausible_mpp(number):
            raise UsageError(implausible_mpp(f"mpp of {item.id} is {number:g} ({origin})"))
    return cells if any(cells) else [], origin


def _number(cell: str, item: Item, origin: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError as error:
        raise DamagedError(f"mpp of {item.id} is {cell!r} ({origin}). Give microns per pixel or nothing.") from error


def _hints(pairing: Pairing, made: Mapping[str, Sequence[str]]) -> list[str]:
    hints = []
    if not any(spelling(name) in UNITS for name in made):
        hints.append("sampling unit: not known, each image is its own: images of one slide may be in several splits")
        names = [item.id for item in pairing.items]
        for target, pattern in _PROPOSALS:
            found = [match.group(1) for name in names if (match := pattern.search(name))]
            if len(found) == len(names) and 2 < len(set(found)) < len(names):
                hints.append(
                    f"if names of images begin with the {target}: --unit-from '(?P<{target}>{pattern.pattern[1:]}' makes "
                    f"{len(set(found))} of them ({some(sorted(set(found)))})"
                )
                break
    if "mpp" not in made:
        hints.append("microns per pixel: not known; --mpp VALUE sets them for all images")
    return hints

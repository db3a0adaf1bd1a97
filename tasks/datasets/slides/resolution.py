"""The microns per pixel of a slide's finest level, from its properties in a fixed order, or refused with the reason.

The objective's power is no source: a "20x" scan of CAMELYON16 has 0.243 microns per pixel. It only shows values that are ten
times off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DamagedError, MissingError, UsageError

SMALLEST, LARGEST = 0.1, 4.0
"""Microns per pixel that are plausible for the finest level of a scanned slide."""
ANISOTROPY = 0.02
"""Relative difference of the two axes up to which pixels count as square."""
DISAGREEMENT = 4.0
"""Factor by which a value may differ from what the objective's power suggests, 10 / power microns per pixel."""
CONTRADICTION = 2.0
"""Factor by which a value from the user may differ from the slide's own before it has to be confirmed."""
OVERRIDE = "--mpp-csv"
_UNITS = {"inch": 25400.0, "centimeter": 10000.0}
_COMMENT = re.compile(r"\bMPP(?:\s*=\s*|[^0-9.]{1,3})([0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)", re.IGNORECASE)
_NEXT_STEP = f"Give the slide's microns per pixel in a table with the columns slide,mpp: {OVERRIDE} FILE."


@dataclass(frozen=True)
class Resolution:
    mpp: float
    source: str
    """The property that it comes from, e.g. `openslide.mpp-x`, or `--mpp-csv`, with what the slide says beside it."""


def find_mpp(path: Path, properties: Mapping[str, str], override: float | None = None, confirmed: bool = False) -> Resolution:
    """The microns per pixel of level 0.

    Sources, first one wins: `override`; `openslide.mpp-x`; `aperio.MPP`; `hamamatsu.XResolution` (pixels per centimetre);
    `MPP` in `openslide.comment`; `tiff.XResolution` with an absolute `tiff.ResolutionUnit`.

    Raises MissingError if none says it, and DamagedError if the first one is outside 0.1 to 4, if its axes differ by more than
    2 %, or if it differs by more than a factor of 4 from what `openslide.objective-power` suggests. Raises UsageError for an
    override outside 0.1 to 4, or that differs from a plausible value of the slide by more than a factor of 2. `confirmed`
    accepts the two disagreements.
    """
    sources = list(_read_sources(properties))
    if override is not None:
        return _take_override(path, override, sources, confirmed)
    if not sources:
        raise MissingError(f"{path} does not say how many microns a pixel has. {_NEXT_STEP}")
    name, x, y = sources[0]
    mpp = (x + y) / 2
    if not (SMALLEST <= x <= LARGEST and SMALLEST <= y <= LARGEST):
        raise DamagedError(
            f"{path} says {mpp:g} microns per pixel ({name}), and slides have {SMALLEST:g} to {LARGEST:g}. {_NEXT_STEP}"
        )
    if abs(x - y) > ANISOTROPY * min(x, y):
        raise DamagedError(
            f"{path} says {x:g} microns per pixel across and {y:g} down ({name}), and its pixels have to be square within "
            f"{ANISOTROPY:.0%}. {_NEXT_STEP}"
        )
    _check_objective(path, name, mpp, properties, confirmed)
    return Resolution(mpp, name)


def _take_override(path: Path, mpp: float, sources: list[tuple[str, float, float]], confirmed: bool) -> Resolution:
    if not SMALLEST <= mpp <= LARGEST:
        raise UsageError(f"{mpp:g} microns per pixel were given for {path}, and slides have {SMALLEST:g} to {LARGEST:g}.")
    if not sources:
        return Resolution(mpp, OVERRIDE)
    name, x, y = sources[0]
    found = (x + y) / 2
    plausible = SMALLEST <= found <= LARGEST
    if plausible and not confirmed and not 1 / CONTRADICTION <= mpp / found <= CONTRADICTION:
        raise UsageError(
            f"{mpp:g} microns per pixel were given for {path}, and the slide says {found:g} ({name}), more than a factor of "
            f"{CONTRADICTION:g} away. Correct the table of {OVERRIDE}, or confirm it with --confirm-mpp."
        )
    return Resolution(mpp, f"{OVERRIDE} ({name} says {found:g})")


def _check_objective(path: Path, name: str, mpp: float, properties: Mapping[str, str], confirmed: bool) -> None:
    power = _positive(properties.get("openslide.objective-power"))
    if power is None or confirmed:
        return
    expected = 10 / power
    if not 1 / DISAGREEMENT <= mpp / expected <= DISAGREEMENT:
        raise DamagedError(
            f"{path} says {mpp:g} microns per pixel ({name}) and an objective of {power:g}x, which has about {expected:g}. "
            f"{_NEXT_STEP} If the slide is right, confirm it with --confirm-mpp."
        )


def _read_sources(properties: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Name, and microns per pixel across and down, of each source that the slide has, in order."""
    x, y = (_positive(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    if x or y:
        yield "openslide.mpp-x", x or y or 0.0, y or x or 0.0
    if aperio := _positive(properties.get("aperio.MPP")):
        yield "aperio.MPP", aperio, aperio
    x, y = (_positive(properties.get(f"hamamatsu.{axis}Resolution")) for axis in "XY")
    if x:
        yield "hamamatsu.XResolution", _UNITS["centimeter"] / x, _UNITS["centimeter"] / (y or x)
    if found := _COMMENT.search(properties.get("openslide.comment", "")):
        if comment := _positive(found.group(1).replace(",", ".")):
            yield "openslide.comment", comment, comment
    unit = _UNITS.get(properties.get("tiff.ResolutionUnit", ""))
    x, y = (_positive(properties.get(f"tiff.{axis}Resolution")) for axis in "XY")
    if unit and x:
        yield "tiff.XResolution", unit / x, unit / (y or x)


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None

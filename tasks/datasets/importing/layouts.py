"""The layouts that an import knows, and which of them a source has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError, MissingError, UsageError, did_you_mean
from bench.files.regular import describe_fault, is_folder
from tasks.datasets.importing import coco, geojson, hf, pairs, pannuke, table
from tasks.datasets.importing.pairing import ImportOptions, Pairing


@dataclass(frozen=True)
class Layout:
    """One way in which people keep images and maps."""

    summary: str
    describe: Callable[[Path], str]
    open_pairing: Callable[[ImportOptions], Pairing]


LAYOUTS: Mapping[str, Layout] = {
    "pannuke": Layout("images.npy and masks.npy of PanNuke", pannuke.describe, pannuke.open_pairing),
    "hf": Layout("a folder of Hugging Face datasets, .arrow or .parquet", hf.describe, hf.open_pairing),
    "coco": Layout("images and a JSON file of COCO annotations", coco.describe, coco.open_pairing),
    "geojson": Layout("X.png and X.geojson of QuPath", geojson.describe, geojson.open_pairing),
    "table": Layout("a CSV table of images and maps", table.describe, table.open_pairing),
    "pairs": Layout("X.png beside X_mask.png, or images/ and masks/", pairs.describe, pairs.open_pairing),
}


def recognise(source: Path) -> dict[str, str]:
    """Layout -> what of it the source has, without those that another one includes: a table names the pairs beside it.

    A layout that is there and damaged is recognised, and its fault is reported when it is opened.
    """
    found = {}
    for name, layout in LAYOUTS.items():
        if not is_folder(source) and name not in ("coco", "table"):
            continue
        try:
            text = layout.describe(source)
        except BenchError as error:
            text = f"damaged: {error}"
        if text:
            found[name] = text
    if "table" in found:
        found.pop("pairs", None)
    return found


def open_source(options: ImportOptions) -> tuple[Pairing, str]:
    """What the layout of the source found, and how it was recognised.

    Raises MissingError where there is no source or no layout fits, UsageError where several do.
    """
    source = options.source
    if not is_folder(source) and (fault := describe_fault(source)):
        raise MissingError(f"the source {source} {fault}.")
    if options.layout:
        if options.layout not in LAYOUTS:
            raise UsageError(
                f"no layout {options.layout!r}.{did_you_mean(options.layout, LAYOUTS)} Known are {', '.join(LAYOUTS)}."
            )
        return LAYOUTS[options.layout].open_pairing(options), "--layout"
    found = recognise(source)
    if not found:
        known = "; ".join(f"{name}: {layout.summary}" for name, layout in LAYOUTS.items())
        raise MissingError(f"{source} has none of the layouts that are known. {known}. See docs/data.md.")
    if len(found) > 1:
        seen = "; ".join(f"{name} ({text})" for name, text in found.items())
        raise UsageError(f"{source} may be of several layouts: {seen}. Choose with --layout {' or --layout '.join(found)}.")
    name, text = next(iter(found.items()))
    return LAYOUTS[name].open_pairing(options), text

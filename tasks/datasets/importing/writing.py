"""Makes the data folder of a pairing: all of it under another name first, and then in place with one rename."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, DamagedError, MissingError, UsageError
from bench.files import names, paths
from bench.files.csv_files import write_cell_text
from bench.files.regular import is_folder, is_there, list_folder
from bench.messages import printable
from tasks.datasets import nuclei_tiles
from tasks.datasets.exclusive import only_writer
from tasks.datasets.importing import columns, layouts, palette
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.palette import Palette
from tasks.datasets.importing.reading import as_file, check_pixels, check_size, copy_image, encode_png, read_values
from tasks.datasets.index import some
from tasks.datasets.pixels import IGNORE, picture_size, read_image

MANIFEST = "import.json"
FORMAT = "histobench import 1"


@dataclass
class _Progress:
    """What was found while images and maps were read."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Image -> what is wrong."""
    pixels: Counter[int] = field(default_factory=Counter)
    """Class -> pixels of the maps that were written."""
    nuclei: Counter[int] = field(default_factory=Counter)


def import_folder(options: ImportOptions) -> dict[str, Any]:
    """Makes the data folder `options.out` and returns its manifest, which lists everything that was assumed.

    Raises UsageError where the user has to say something, MissingError and DamagedError where the source is incomplete or
    damaged. Then there is no folder.
    """
    _check_out(options)
    pairing, recognised = layouts.open_source(options)
    _check_ids(pairing)
    progress = _Progress(dict(pairing.unpaired))
    with _work_folder(options.out) as work:
        chosen, pairing = _choose_palette(pairing, options, progress, work)
        _check_skips(progress, options)
        indexed = columns.build(pairing, options)  # before the maps are made: wrong options cost no time
        for part in ("images", *(("region",) if pairing.kind == "region" else ("inst", "type"))):
            (work / part).mkdir()
        written = [item for item in pairing.items if _attempt(item, pairing, chosen, work, progress)]
        _check_skips(progress, options)
        if not written:
            raise MissingError(f"{options.source} gives no image: {_first(progress.skipped)}")
        ids = {item.id for item in written}
        indexed = replace(indexed, rows=tuple(row for row in indexed.rows if row["id"] in ids))
        manifest = _manifest(options, replace(pairing, items=written), recognised, chosen, indexed, progress)
        _write_index(work / "index.csv", indexed)
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if options.out.exists():
            options.out.rmdir()  # empty, as was checked
        work.rename(options.out)
    return manifest


def command_line(options: ImportOptions) -> str:
    """The command of these options without a palette, as the user can give it again."""
    words = ["bench", "data", "import", str(options.source), "--out", str(options.out)]
    pairs = (
        ("--layout", options.layout),
        ("--classes", ",".join(options.classes)),
        ("--mpp", "" if options.mpp is None else f"{options.mpp:g}"),
        ("--unit-from", options.unit_from),
        ("--split-from", options.split_from),
        ("--splits", ",".join(f"{a}={b}" for a, b in options.split_names.items())),
        ("--columns", ",".join(f"{a}={b}" for a, b in options.columns.items())),
    )
    words += [word for option, value in pairs if value for word in (option, value)]
    words += ["--confirm-mpp"] * options.confirm_mpp + ["--skip-damaged"] * options.skip_damaged
    return shlex.join(words)


def _check_out(options: ImportOptions) -> None:
    out = options.out
    if is_there(out) and not is_folder(out):
        raise UsageError(f"--out {out} is a file. Name a folder that does not exist yet.")
    if list_folder(out):
        raise UsageError(f"--out {out} is not empty. Name a folder that does not exist yet: an import never adds to one.")
    if is_folder(options.source) and out.resolve().is_relative_to(options.source.resolve()):
        raise UsageError(f"--out {out} lies in the source {options.source}. Name a folder elsewhere.")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, removed afterwards unless it was renamed; what a killed import left is removed first."""
    try:
        out.resolve().parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UsageError(f"--out {out} cannot be made: {error.strerror} ({error.filename}).") from error
    work = out.resolve().with_name(f".{out.resolve().name}.import")
    with only_writer(out, "import"):
        try:
            paths.delete(work)
            work.mkdir()
            yield work
        finally:
            paths.delete(work)


def _check_ids(pairing: Pairing) -> None:
    """Raises DamagedError where ids occur twice or cannot be names of files."""
    counts = Counter(item.id for item in pairing.items)
    if twice := [name for name, count in counts.items() if count > 1]:
        files = some([item.image.name for item in pairing.items if item.id == twice[0]])
        raise DamagedError(
            f"{len(twice)} ids occur more than once: {some(twice)} ({files}). Give each image an id of its own."
        )
    for item in pairing.items:
        names.path_part(item.id, "id")
        if write_cell_text(item.id) != item.id or any(sign in item.id for sign in ',"\r\n'):
            raise DamagedError(f"the id {item.id!r} is not plain: a spreadsheet would change it. Rename {item.image.name}.")


def _choose_palette(
    pairing: Pairing, options: ImportOptions, progress: _Progress, work: Path
) -> tuple[Palette | None, Pairing]:
    """The palette of the maps, none for computed ones, and the pairing without the items whose maps cannot be read."""
    if not any(isinstance(item.mask, Stored) for item in pairing.items):
        if options.palette or options.accept_palette:
            raise UsageError(f"--palette is for maps of pixels, and the layout {pairing.layout} has none.")
        return None, pairing
    if options.kind == "nuclei":
        raise UsageError(
            f"--kind nuclei needs numbered nuclei: coco, geojson and pannuke have them, {pairing.layout} has maps of classes."
        )
    given = palette.parse(options.palette, options.classes) if options.palette else None
    found, grey = {False: Counter[int](), True: Counter[int]()}, True
    kept = []
    for item in pairing.items:
        assert isinstance(item.mask, Stored)
        try:
            with as_file(item.mask, work) as path:
                values = read_values(path)
        except BenchError as error:
            progress.skipped[item.image.name] = str(error)
            continue
        kept.append(item)
        for is_colour in (False, True):
            numbers, counts = np.unique(palette.to_values(values, is_colour), return_counts=True)
            found[is_colour].update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        grey = grey and palette.is_grey(values)
    pairing = replace(pairing, items=kept)
    if given is not None:
        if not given.is_colour and not grey:
            raise UsageError("--palette names single values, and the maps are in colour. Name colours: 255,0,0=tumour.")
        return given, pairing
    if not kept:
        return None, pairing
    return palette.choose(found[not grey], not grey, options.classes, options.accept_palette, command_line(options)), pairing


def _attempt(item: Item, pairing: Pairing, chosen: Palette | None, work: Path, progress: _Progress) -> bool:
    """Whether the files of one image were written; else why not stands in `progress`."""
    try:
        _write_item(item, pairing, chosen, work, progress)
    except BenchError as error:
        progress.skipped[item.image.name] = str(error)
        for part in ("images", "region", "inst", "type"):
            for path in (work / part).glob(f"{_escape(item.id)}.*"):
                path.unlink()
        return False
    return True


def _write_item(item: Item, pairing: Pairing, chosen: Palette | None, work: Path, progress: _Progress) -> None:
    with as_file(item.image, work) as path:
        check_pixels(path, *picture_size(path))
        shape = read_image(path).shape
        instances = None
        if isinstance(item.mask, Stored):
            assert chosen is not None
            with as_file(item.mask, work) as mask:
                classes = chosen.apply(palette.to_values(read_values(mask), chosen.is_colour), item.mask.name)
        else:
            instances, classes = item.mask.draw((shape[0], shape[1]))
        check_size(path, shape, item.mask.name, classes.shape)
        if pairing.kind == "nuclei":
            assert instances is not None
            nuclei_tiles.check(instances, classes, item.mask.name)
            progress.nuclei.update(nuclei_tiles.nuclei_of(instances, classes))
            (work / "inst" / f"{item.id}.png").write_bytes(encode_png(instances))
        part = "region" if pairing.kind == "region" else "type"
        (work / part / f"{item.id}.png").write_bytes(encode_png(classes))
        copy_image(path, work / "images", item.id)
    numbers, counts = np.unique(classes, return_counts=True)
    progress.pixels.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


def _check_skips(progress: _Progress, options: ImportOptions) -> None:
    """Raises DamagedError where images had to be left out and the user has not allowed it."""
    if progress.skipped and not options.skip_damaged:
        raise DamagedError(
            f"{len(progress.skipped)} images of {options.source} cannot be imported: {_first(progress.skipped)} Correct them, "
            "or leave them out with --skip-damaged. Nothing was written."
        )


def _first(skipped: Mapping[str, str]) -> str:
    texts = [printable(text).rstrip(".") for text in skipped.values()]
    more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
    return "; ".join(texts[:3]) + more + "."


def _write_index(path: Path, indexed: columns.Indexed) -> None:
    import pandas as pd

    pd.DataFrame(list(indexed.rows), columns=list(indexed.columns)).to_csv(path, index=False, lineterminator="\n")


def _escape(name: str) -> str:
    import glob

    return glob.escape(name)


def _manifest(
    options: ImportOptions,
    pairing: Pairing,
    recognised: str,
    chosen: Palette | None,
    indexed: columns.Indexed,
    progress: _Progress,
) -> dict[str, Any]:
    """What was assumed, JSON-able."""
    classes = chosen.classes if chosen else pairing.classes
    total = sum(progress.pixels.values())
    return {
        "format": FORMAT,
        "source": str(options.source),
        "out": str(options.out),
        "layout": pairing.layout,
        "recognised": recognised,
        "kind": pairing.kind,
        "images": len(pairing.items),
        "skipped": dict(progress.skipped),
        "pairs": {
            "rule": pairing.rule,
            "files": [{"id": i.id, "image": i.image.name, "mask": i.mask.name} for i in pairing.items],
        },
        "columns": dict(pairing.meanings),
        "index": dict(indexed.origins),
        "values": _values(chosen),
        "classes": [
            {"number": n, "name": name, "pixels": progress.pixels[n], "share": round(progress.pixels[n] / total, 6)}
            for n, name in enumerate(classes)
        ],
        "not_annotated": round(progress.pixels[IGNORE] / total, 6),
        "nuclei": {name: progress.nuclei[n] for n, name in enumerate(classes) if n} if pairing.kind == "nuclei" else None,
        "groups": {
            name: len({row[name] for row in indexed.rows}) for name in indexed.columns if name not in ("id", "mpp", "split")
        },
        "splits": dict(Counter(row["split"] for row in indexed.rows)) if "split" in indexed.columns else None,
        "statements": list(pairing.statements),
        "hints": list(indexed.hints),
    }


def _values(chosen: Palette | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    named = {
        palette.show(value, chosen.is_colour): "not annotated" if number == IGNORE else f"{number} {chosen.classes[number]}"
        for value, number in chosen.numbers.items()
    }
    return {"from": chosen.origin, "meaning": named}

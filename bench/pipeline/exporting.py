"""Conditions and samples as PNG and CSV, for people who generate elsewhere; the `folder` generator reads samples back.

DIR/conditions.csv             one row a condition: id, split, group, seed, size, mpp, label, text, files, crops
DIR/classes.csv                value in the masks, name
DIR/masks/<id>.png             8-bit class map, 255 = not annotated (instances: 16 bits, types: 8 bits, where they exist)
DIR/prompts/<class>/<id>.png   8-bit RGB canvas, grey outside the crop
DIR/samples/<id>.png           8-bit RGB: what was generated, for `folder:DIR`

In file names the "/" of an id is written "__". Boxes are y0 x0 y1 x1 in pixels. The column `vectors` is not exported. Texts in
tables that a spreadsheet would take for a formula have an apostrophe before them; an image may be named by such an id with or
without it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.files.csv_files import write_cell
from bench.files.names import file_stem, is_key, path_part
from bench.jobs.store import EntryRef, Store
from bench.messages import listed_names
from bench.results.schema import ResultRecord
from bench.types import Conditions, Images, ImageSet, Strings, image_seeds

MAPS: dict[str, type[np.unsignedinteger[Any]]] = {"masks": np.uint8, "instances": np.uint16, "types": np.uint8}
"""Condition columns that are maps, and what they are written as."""


def list_sample_sets(records: Iterable[ResultRecord]) -> list[tuple[str, int, str]]:
    """Name, seed and key of every generated set that records rest on; of a generator with several fits, with the fit in its
    name."""
    held = [record for record in records if "samples" in record.keys]
    fits: dict[str, set[str]] = defaultdict(set)
    for record in held:
        fits[record.generator].add(record.fit.get("seed", ""))
    found = set()
    for record in held:
        several, fit = len(fits[record.generator] - {""}) > 1, record.fit.get("seed", "")
        if fit or not several:  # else a number in which no fit has a part: its set is named by the others
            name = f"{record.generator} (fit {fit})" if several else record.generator
            found.add((name, record.seed, record.keys["samples"]))
    return sorted(found)


def samples_folder(out: Path, generator: str, seed: int) -> Path:
    """Where the images of one generator and seed go."""
    return out / path_part(f"{file_stem(generator, 'generator')}-seed{seed}", "set of samples")


def find_samples(key: object, store: Store) -> EntryRef | None:
    """The listing of a generated set by a key from a file; None where the store has none."""
    ref = EntryRef("samples", str(key))
    # a key from a file is untrusted: it must not lead out of the store
    return ref if is_key(key) and store.has(ref) else None


def write_conditions(sets: Mapping[str, ImageSet], folder: Path, run_seed: int) -> None:
    """Writes the conditions of every split (name -> set) into a new or empty folder; `conditions.csv` comes last.

    The seed of each row is the one that a run with `run_seed` generates that condition with.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: export into a new folder.")
    _refuse_clashes(name for chosen in sets.values() for name in chosen.conditions.ids.tolist())
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for split, chosen in sets.items() for row in _rows(split, chosen.conditions, folder, run_seed)]
    classes = next((chosen.conditions.classes for chosen in sets.values()), ())
    write_csv(folder / "classes.csv", [{"value": value, "name": name} for value, name in enumerate(classes)])
    write_csv(folder / "conditions.csv", rows)


def write_images(ids: Strings, images: Images, folder: Path) -> None:
    """Writes each image to samples/<id>.png under the folder, which may hold images of other ids."""
    _refuse_clashes(ids.tolist())
    samples = folder / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    files = [samples / f"{file_stem(name)}.png" for name in ids.tolist()]
    if present := [file.name for file in files if file.exists()]:
        raise UsageError(f"{samples} already holds {listed_names(present)}: export into another folder.")
    for file, image in zip(files, images, strict=True):
        _write_png(file, image)


def _rows(split: str, conditions: Conditions, folder: Path, run_seed: int) -> Iterator[dict[str, object]]:
    seeds = image_seeds(run_seed, conditions.ids).tolist()
    for i, name in enumerate(conditions.ids.tolist()):
        row: dict[str, object] = {"id": name, "split": split, "group": conditions.groups[i], "seed": seeds[i]}
        row |= {"size": conditions.size, "mpp": conditions.mpp}
        row |= {} if conditions.labels is None else {"label": conditions.labels[i]}
        row |= {} if conditions.texts is None else {"text": conditions.texts[i]}
        yield row | _maps(conditions, i, folder) | _crops(conditions, i, folder)


def _maps(conditions: Conditions, i: int, folder: Path) -> dict[str, object]:
    """Writes the maps of one condition: column -> file, relative to the folder."""
    files: dict[str, object] = {}
    for column, kind in MAPS.items():
        values = getattr(conditions, column)
        if values is None:
            continue
        if values[i].max(initial=0) > np.iinfo(kind).max:
            raise UsageError(f"{column} of {conditions.ids[i]} go up to {values[i].max()}, too many for a PNG.")
        files[column] = f"{column}/{file_stem(str(conditions.ids[i]))}.png"
        _write_png(folder / str(files[column]), values[i].astype(kind))
    return files


def _crops(conditions: Conditions, i: int, folder: Path) -> dict[str, object]:
    """Writes the prompt canvases of one condition: three columns a class, empty where the class has no crop."""
    prompts = conditions.prompts
    if prompts is None:
        return {}
    columns: dict[str, object] = {"prompt_source": prompts.prompt_source}
    for c, name in enumerate(conditions.classes):
        file, box = f"prompts/{file_stem(name, 'class')}/{file_stem(str(conditions.ids[i]))}.png", ""
        if prompts.sources[i, c]:
            _write_png(folder / file, prompts.canvases[i, c])
            box = " ".join(str(edge) for edge in prompts.boxes[i, c].tolist())
        columns[f"prompt_{name}"] = file if box else ""
        columns[f"box_{name}"] = box
        columns[f"source_{name}"] = prompts.sources[i, c]
    return columns


def _write_png(file: Path, pixels: NDArray[Any]) -> None:
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def write_csv(file: Path, rows: list[dict[str, object]]) -> None:
    """Writes rows with the same columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows({column: write_cell(value) for column, value in row.items()} for row in rows)


def _refuse_clashes(ids: Iterable[str]) -> None:
    """Two ids must not share a file name: twice the same, or "a/b" beside "a__b"."""
    names: dict[str, list[str]] = {}
    for name in ids:
        names.setdefault(file_stem(name), []).append(name)
    if clashes := [" and ".join(sorted(same)) for same in names.values() if len(same) > 1]:
        raise UsageError(f"ids that share a file name: {listed_names(clashes)}. Rename them in the dataset's index.")

"""`bench data`: checks a folder of images and maps, or imports one of another layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.errors import UsageError
from bench.messages import echo, echo_lines

NOT_RUNNABLE = 3


@click.group("data")
def data() -> None:
    """Check a folder of images and maps, or import one of another layout."""


@data.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--size", default=None, type=int, help="Side of the patches in pixels.  [default: 64; of nuclei 128]")
@click.option("--mpp", default=None, type=float, help="Microns per pixel of the patches.  [default: as the images are]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def check(context: click.Context, folder: Path, size: int | None, mpp: float | None, as_json: bool) -> None:
    """Say what FOLDER holds, what is wrong with it, and the command that runs on it.

    Exit code 3 if no run is possible.
    """
    from tasks.datasets.checking.report import check_folder, lines_of, to_json

    report = check_folder(folder, size, mpp)
    if as_json:
        echo(json.dumps(to_json(report)))
    else:
        echo_lines(lines_of(report))
    if not report.runnable:
        context.exit(NOT_RUNNABLE)


@data.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The data folder to make.")
@click.option("--layout", default="", help="pannuke, hf, coco, geojson, table or pairs.  [default: recognised]")
@click.option("--palette", default="", help='What values or colours of maps mean: "255,0,0=tumour;0,0,0=ignore", or a file.')
@click.option("--accept-palette", is_flag=True, help="Take the palette that is proposed.")
@click.option("--classes", default="", help="Names of the classes 0, 1, ... in this order: normal,tumour.")
@click.option("--mpp", default=None, type=float, help="Microns per pixel of all images.")
@click.option("--confirm-mpp", is_flag=True, help="Take microns per pixel outside 0.1 to 4.")
@click.option("--unit-from", default="", help="Column, or regular expression for names of images, of the patient or slide.")
@click.option("--split-from", default="", help="Column, or regular expression for names of images, of the split.")
@click.option("--splits", default="", help="What values of the split mean: a=train,b=test.")
@click.option("--columns", default="", help="What columns mean: image=image_path,mask=mask_path,patient=patient_id.")
@click.option(
    "--kind", default="region", type=click.Choice(["region", "nuclei"]), help="What polygons are.", show_default=True
)
@click.option("--outside", default="ignore", show_default=True, help="Class of pixels that no polygon covers.")
@click.option("--skip-damaged", is_flag=True, help="Leave out images that are damaged or have no map.")
@click.option("--json", "as_json", is_flag=True, help="The manifest as one JSON object.")
def import_command(
    source: Path, out: Path, palette: str, classes: str, splits: str, columns: str, as_json: bool, **others: Any
) -> None:
    """Make a data folder of SOURCE: a folder of images and maps, a CSV table, or a COCO file.

    \b
    bench data import pictures --out mine
    bench data import list.csv --out mine --columns image=image_path,mask=mask_path,patient=patient_id

    What was assumed is printed and kept in import.json.
    """
    from tasks.datasets.importing.pairing import ImportOptions
    from tasks.datasets.importing.palette import parse_classes
    from tasks.datasets.importing.summary import lines_of
    from tasks.datasets.importing.writing import import_folder

    options = ImportOptions(
        source,
        out,
        palette=palette,
        classes=parse_classes(classes),
        split_names=parse_pairs(splits, "--splits", "a=train,b=test"),
        columns=parse_pairs(columns, "--columns", "image=image_path,mask=mask_path"),
        **others,
    )
    manifest = import_folder(options)
    if as_json:
        echo(json.dumps(manifest))
    else:
        echo_lines(lines_of(manifest))


def parse_pairs(text: str, option: str, example: str) -> dict[str, str]:
    """The pairs of `a=b,c=d`. Raises UsageError on anything else."""
    made: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not name or not value or name in made:
            raise UsageError(f"{option} has {part!r}. Write each name once: {option} {example}.")
        made[name] = value
    return made

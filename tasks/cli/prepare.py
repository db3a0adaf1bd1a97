"""`bench prepare`: patches with class maps from whole slides and their annotations."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import execution_options, open_context
from bench.errors import MissingError, UsageError
from bench.messages import echo, echo_lines
from bench.types import NOT_ANNOTATED

if TYPE_CHECKING:
    from tasks.datasets.preparing.cut import Rule
    from tasks.datasets.preparing.slide_list import SlideList

DEFAULT_PATCHES = "mixed; all for maps of tissue and glass"
BYTES_OF_PIXEL = 4
"""An RGB pixel and its class, uncompressed."""


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all sources."""
    folder = click.Path(path_type=Path)
    for decorate in (
        click.option("--root", type=folder, required=True, help="Folder of the slides."),
        click.option("--out", type=folder, required=True, help="Folder for the patches; it must not exist."),
        click.option("--mpp", type=float, default=0.5, show_default=True, help="Microns per pixel of the patches."),
        click.option("--size", type=int, default=256, show_default=True, help="Side of the patches in pixels."),
        click.option("--smallest", type=float, default=0.2, show_default=True, help="Least share of a patch's second class."),
        click.option("--largest", type=float, default=0.8, show_default=True, help="Largest share of its first class."),
        click.option("--patches", default="", help=f"mixed by these, all, or CLASS-only.  [default: {DEFAULT_PATCHES}]"),
        click.option("--most", type=int, default=0, show_default=True, help="Patches of a slide, at most; 0 for all."),
        click.option("--mpp-csv", type=folder, help="Table slide,mpp that overrides what slides say."),
        click.option("--confirm-mpp", is_flag=True, help="Take an mpp that contradicts the slide's objective."),
        click.option("--skip-damaged", is_flag=True, help="Leave out slides that cannot be read, and list them."),
        click.option("--dry-run", is_flag=True, help="Say what would be cut, and stop."),
        execution_options,
    ):
        function = decorate(function)
    return function


@click.group("prepare")
def prepare() -> None:
    """Cut patches with class maps from whole slides, for `bench run --data OUT`.

    \b
    bench prepare camelyon16 --root CAMELYON16 --out cam16
    bench prepare panda --root prostate-cancer-grade-assessment --out panda
    bench prepare tcga --root gdc-download --out tcga
    bench prepare slides --root my-slides --classes Tumor=tumour,Stroma=stroma --out mine
    """


@prepare.command("camelyon16")
@_shared
def camelyon16(root: Path, **options: Any) -> None:
    """CAMELYON16 as it is released: training/, testing/, lesion_annotations/."""
    from tasks.datasets.preparing import camelyon16 as source

    _run(source.list_slides(root), "cam16-seg", **options)


@prepare.command("panda")
@click.option(
    "--mapping",
    type=click.Choice(("apart", "paper")),
    default="apart",
    show_default=True,
    help="Meaning of labels: apart by centre, or merged as in the paper.",
)
@_shared
def panda(root: Path, mapping: str, **options: Any) -> None:
    """PANDA as it is released: train_images/, train_label_masks/, train.csv."""
    from tasks.datasets.preparing import panda as source

    _run(source.list_slides(root, mapping), "panda-seg", **options)


@prepare.command("tcga")
@click.option("--manifest", type=click.Path(path_type=Path), help="GDC manifest.  [default: gdc_manifest*.txt in --root]")
@click.option("--checksums", is_flag=True, help="Read each file and compare it with the manifest.")
@_shared
def tcga(root: Path, manifest: Path | None, checksums: bool, **options: Any) -> None:
    """TCGA as gdc-client delivers it, without annotation: the map is tissue and glass.

    For maps of tissue types see bench pseudo-maps.
    """
    from tasks.datasets.preparing import unannotated as source

    _run(source.list_slides(root, manifest, checksums), "region-seg", **options)


@prepare.command("slides")
@click.option("--classes", default="", help="LABEL=CLASS,...; the last one lies over all others. CLASS may be ignore.")
@click.option("--outside", default="", help="Class of what no polygon covers.  [default: not annotated]")
@click.option(
    "--maps",
    type=click.Choice(("annotation", "tissue")),
    default="annotation",
    show_default=True,
    help="From annotations beside the slides, or, without any, tissue and glass.",
)
@_shared
def slides(root: Path, classes: str, outside: str, maps: str, **options: Any) -> None:
    """Slides of your own with annotations beside them: XML, GeoJSON or a label slide of the same name."""
    from tasks.datasets.preparing import slides as source
    from tasks.datasets.preparing import unannotated

    if maps == "tissue" and (classes or outside):
        raise UsageError("--classes and --outside name classes of annotations; with --maps tissue they are glass and tissue.")
    plan = unannotated.list_slides(root) if maps == "tissue" else source.list_slides(root, classes, outside)
    _run(plan, "region-seg", **options)


def _run(plan: SlideList, task: str, workers: int, scheduler: str, out: Path, **options: Any) -> None:
    from tasks.datasets.exclusive import make_parent, only_writer
    from tasks.datasets.preparing.jobs import prepare as prepare_all
    from tasks.datasets.preparing.jobs import slide_jobs

    rule = _rule(plan, options)
    if out.exists():
        raise UsageError(f"--out {out} exists. Give a folder that does not, or remove it.")
    resolutions = read_resolutions(options["mpp_csv"])
    _announce(plan, rule)
    if not plan.slides:
        raise MissingError(f"no slide can be prepared; {len(plan.exclusions)} are left out, see above.")
    jobs = slide_jobs(plan, rule, resolutions, options["confirm_mpp"])
    if options["dry_run"]:
        with open_context(workers, scheduler) as context:
            done = sum(context.store.has(job.ref) for job in jobs.values())
        _forecast(plan, rule, resolutions, options["confirm_mpp"], done)
        return
    make_parent(out)
    with only_writer(out, "command"), open_context(workers, scheduler) as context:
        prepare_all(plan, jobs, rule, context, out, options["skip_damaged"])
    # two centres are too few to be the sampling unit of an interval
    unit = " -o dataset.sampling_unit=slide" if any(slide.centre for slide in plan.slides) else ""
    echo(f"bench run -g ldm-prompt -t {task} --data {out}{unit}", err=True)
    echo(str(out))


def _rule(plan: SlideList, options: dict[str, Any]) -> Rule:
    from tasks.datasets.preparing.cut import EVERY, MIXED, ONLY, Rule

    is_tissue = any(slide.map_rule.tissue for slide in plan.slides)
    options["patches"] = options["patches"] or (EVERY if is_tissue else MIXED)
    known = (MIXED, EVERY, *(f"{name}{ONLY}" for name in plan.classes))
    if options["patches"] not in known:
        raise UsageError(f"--patches {options['patches']!r}; known here are {', '.join(known)}.")
    if options["size"] < 8 or not 0 < options["mpp"] < math.inf or options["most"] < 0:
        raise UsageError("--size is 8 pixels or more, --mpp a positive number, --most 0 or more.")
    if not 0 <= options["smallest"] <= 0.5 or not options["smallest"] <= options["largest"] <= 1:
        raise UsageError("--smallest lies in [0, 0.5], and --largest in [smallest, 1].")
    return Rule(*(options[name] for name in ("size", "mpp", "smallest", "largest", "patches", "most")))


def read_resolutions(path: Path | None) -> dict[str, float]:
    """Slide -> microns per pixel, from the table of the user. MissingError on what is none."""
    if path is None:
        return {}
    from bench.files.regular import read_text
    from tasks.datasets.preparing.slide_list import slide_name

    found: dict[str, float] = {}
    rows = csv.DictReader(io.StringIO(read_text(path, "table of resolutions"), newline=""))
    for number, row in enumerate(rows, start=2):
        try:
            mpp = float(row["mpp"])
        except (KeyError, TypeError, ValueError):
            mpp = math.nan
        if not row.get("slide") or not 0 < mpp < math.inf:
            raise MissingError(f"{path}:{number}: a slide and its mpp are needed, in columns slide and mpp; found {row}.")
        found[slide_name(row["slide"])] = mpp
    return found


def _announce(plan: SlideList, rule: Rule) -> None:
    splits = {name: sum(slide.split == name for slide in plan.slides) for name in ("train", "validation", "test", "")}
    counted = ", ".join(f"{count} {name or 'without a split'}" for name, count in splits.items() if count)
    echo_lines(
        [
            f"{plan.source}: {len(plan.slides)} slides ({counted or 'none'}); classes {', '.join(plan.classes)}",
            f"{rule.size} px at {rule.mpp:g} microns per pixel; {NOT_ANNOTATED} = not annotated",
            *plan.notes,
            *(f"left out: {slide}: {reason}" for slide, reason in plan.exclusions),
        ],
        err=True,
    )


def _forecast(plan: SlideList, rule: Rule, resolutions: dict[str, float], confirm_mpp: bool, done: int) -> None:
    """Prints how many patches and bytes there are at most: opens each slide, reads no pixels."""
    from bench.errors import BenchError
    from tasks.datasets.slides.reader import open_slide

    squares = 0
    for slide in plan.slides:
        try:
            with open_slide(slide.path, resolutions.get(slide.slide), confirm_mpp) as opened:
                width, height = opened.size_at(rule.mpp)
        except BenchError as error:
            echo_lines([f"cannot be read: {slide.slide}: {error}"], err=True)
            continue
        here = (width // rule.size) * (height // rule.size)
        squares += min(here, rule.most) if rule.most else here
    size = squares * rule.size**2 * BYTES_OF_PIXEL
    echo(f"{len(plan.slides)} slides, of which {done} are in the store")
    echo(f"at most {squares} patches, {size / 1e9:.2f} GB before compression; fewer by tissue and class shares")

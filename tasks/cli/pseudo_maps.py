"""`bench pseudo-maps`: class maps of slides without annotation, by clustering."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import execution_options, open_context, parse_assignments
from bench.errors import MissingError, UsageError, did_you_mean
from bench.messages import echo

if TYPE_CHECKING:
    from bench.pipeline.plugins import Plugin


@click.command("pseudo-maps")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Folder of the slides.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the patches; it must not exist.")
@click.option("-e", "--encoder", required=True, help="Encoder whose features are clustered, see bench list encoders.")
@click.option("-o", "options", multiple=True, callback=parse_assignments, help="name=value for the encoder.")
@click.option("--clusters", default=100, show_default=True, help="Clusters at the finest scale.")
@click.option("--scales", default="", help="Numbers of clusters, e.g. 5,10,20.  [default: 5,10,20,50,100 up to --clusters]")
@click.option("--nested", is_flag=True, help="Make each cluster a part of one of the next coarser scale.")
@click.option("--seed", default=0, show_default=True, help="Seed of the clustering.")
@click.option("--mpp", type=float, default=0.5, show_default=True, help="Microns per pixel of cells and patches.")
@click.option("--cell", type=int, default=64, show_default=True, help="Side of a cell in pixels.")
@click.option("--window", type=int, default=0, help="Side of what the encoder sees around a cell.  [default: the cell]")
@click.option("--cells", type=int, default=1000, show_default=True, help="Cells of a slide that are clustered; 0 for all.")
@click.option("--size", type=int, default=256, show_default=True, help="Side of the patches in pixels.")
@click.option("--heterogeneity", type=float, default=0.72, show_default=True, help="Entropy of a patch's map, bits, at least.")
@click.option("--most", type=int, default=0, show_default=True, help="Patches of a slide, drawn by entropy; 0 for all.")
@click.option("--growth", type=float, default=0.0, show_default=True, help="How much larger the most complex patches are.")
@click.option("--rotation", type=float, default=0.0, show_default=True, help="Degrees by which patches are turned, at most.")
@click.option("--stain", type=float, default=0.0, show_default=True, help="Variation of stains, log standard deviation.")
@click.option(
    "--label-by",
    type=click.Choice(("encoder", "classifier")),
    default="encoder",
    show_default=True,
    help="What gives every cell its cluster.",
)
@click.option("--classifier", default="vit_small_patch16_224", show_default=True, help="Vision transformer of timm.")
@click.option("--classifier-steps", type=int, default=2000, show_default=True, help="Training steps of the classifier.")
@click.option("--classifier-rate", type=float, default=3e-4, show_default=True, help="Learning rate of the classifier.")
@click.option("--truth", type=click.Path(path_type=Path), help="Folder of label slides <slide>.tif to compare clusters with.")
@click.option("--manifest", type=click.Path(path_type=Path), help="GDC manifest of the slides.")
@click.option("--mpp-csv", type=click.Path(path_type=Path), help="Table slide,mpp that overrides what slides say.")
@click.option("--confirm-mpp", is_flag=True, help="Take an mpp that contradicts the slide's objective.")
@click.option("--skip-damaged", is_flag=True, help="Leave out slides that cannot be read, and list them.")
@execution_options
def command(root: Path, out: Path, workers: int, scheduler: str, **options: Any) -> None:
    """Make class maps of slides without annotation, by clustering.

    Cells of tissue are clustered by their features, and a cluster is a class.

    \b
    bench pseudo-maps --root slides --encoder uni --clusters 100 --out tcga
    bench run -g ldm-prompt -t tcga-seg --data tcga/k100

    For each scale, OUT/k<clusters> is a folder for `bench run --data`. Numbers of the encoder that made the clusters are
    marked in all tables: it is not independent of the data.
    """
    from tasks.cli.prepare import read_resolutions
    from tasks.datasets.clustering.cells import CellRule
    from tasks.datasets.clustering.classifier import ClassifierRule
    from tasks.datasets.clustering.pseudo_maps import Request, make
    from tasks.datasets.clustering.regions import RegionRule
    from tasks.datasets.exclusive import make_parent, only_writer
    from tasks.datasets.preparing.unannotated import list_slides

    if out.exists():
        raise UsageError(f"--out {out} exists. Give a folder that does not, or remove it.")
    cell = CellRule(options["cell"], options["window"] or options["cell"], options["mpp"], most=options["cells"])
    region = RegionRule(*(options[name] for name in ("size", "heterogeneity", "most", "growth", "rotation", "stain")))
    names = ("classifier", "classifier_steps", "classifier_rate", "seed")
    classifier = ClassifierRule(*(options[name] for name in names)) if options["label_by"] == "classifier" else None
    request = Request(
        encoder=_encoder(options["encoder"], options["options"]),
        clusters=options["clusters"],
        scales=_scales(options["scales"]),
        nested=options["nested"],
        seed=options["seed"],
        cell=cell,
        region=region,
        classifier=classifier,
        resolutions=read_resolutions(options["mpp_csv"]),
        confirm_mpp=options["confirm_mpp"],
        truth=options["truth"],
        skip_damaged=options["skip_damaged"],
    )
    plan = list_slides(root, options["manifest"])
    echo(f"{plan.source}: {len(plan.slides)} slides; clusters of {request.encoder.label} at {request.all_scales}", err=True)
    for note in plan.notes:
        echo(note, err=True)
    for slide, reason in plan.exclusions:
        echo(f"left out: {slide}: {reason}", err=True)
    if not plan.slides:
        raise MissingError(f"no slide is left; {len(plan.exclusions)} are left out, see above.")
    make_parent(out)
    with only_writer(out, "command"), open_context(workers, scheduler) as context:
        held = make(plan, request, context, out)
    _print(held, out, request.clusters)


def _encoder(name: str, options: Mapping[str, str]) -> Plugin:
    """The encoder with its options. Raises what is wrong with its name or its weights before any work."""
    from bench import registry
    from bench.pipeline.plugins import Plugin
    from bench.types import ReportsReadiness

    name = registry.canonical_name("encoders", name)
    if not registry.is_known("encoders", name):
        raise UsageError(f"there is no encoder {name!r}.{did_you_mean(name, registry.names('encoders'))}")
    plugin = Plugin("encoders", registry.absolute_name(name), tuple(sorted(options.items())))
    if isinstance(built := plugin.build(), ReportsReadiness):
        built.ready()
    return plugin


def _scales(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() and len(word) < 6 for word in words):
        raise UsageError(f"--scales takes numbers of clusters, e.g. 5,10,20; not {text!r}.")
    return tuple(map(int, words))


def _print(held: Mapping[str, Any], out: Path, clusters: int) -> None:
    for scale, made in held["patches"].items():
        echo(f"{scale} clusters: {made['patches']} patches, {made['classes']} clusters occur in them", err=True)
    if report := held["classifier"]:
        echo(
            f"classifier, on {report['measured_on']} cells of {report['measured_units']} other units: accuracy "
            f"{report['accuracy']:.3f} (most frequent cluster {report['most_frequent']:.3f}), calibration error "
            f"{report['calibration_error']:.3f}, {report['calibration_error_at_temperature']:.3f} at temperature "
            f"{report['temperature']:.2f}; {report['milliseconds']:.2f} ms a cell, "
            f"encoder {report['encoder_milliseconds']:.2f} ms",
            err=True,
        )
    for scale, found in held["agreement"].items():
        bounds = found["reason"] if found["low"] is None else f"[{found['low']:.3f}, {found['high']:.3f}]"
        value = "undefined" if found["value"] is None else f"{found['value']:.3f}"
        echo(
            f"adjusted Rand index at {scale} clusters: {value} {bounds}, {found['cells']} cells of {found['units']} units",
            err=True,
        )
    echo(f"bench run -g ldm-prompt -t tcga-seg --data {out / f'k{clusters:03d}'}", err=True)
    echo(str(out))

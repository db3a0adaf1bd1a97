"""`bench features`: features of images as a file, with what made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import registry
from bench.cli.options import names_of, open_context, parse_assignments
from bench.errors import MissingError, UsageError
from bench.messages import echo
from bench.results.folders import check_writable
from bench.types import HasDigest, Images

ROWS = 256


@click.command("features")
@click.option("--encoder", "-e", required=True, shell_complete=names_of("encoders"), help="A name, e.g. uni2-h.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Folder with weights of encoders.")
@click.option("--data", required=True, help="A folder of PNG files; with --task embedded, real or a folder as of bench run.")
@click.option("--task", "-t", default="", shell_complete=names_of("tasks"), help="Encode the test patches of a task.")
@click.option("-o", "options", multiple=True, callback=parse_assignments, help="name=value, dataset.name=value.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="An .npz file.")
def command(encoder: str, weights: Path | None, data: str, task: str, options: Mapping[str, str], out: Path) -> None:
    """Write features of images, with their ids, slides, encoder, digest of its weights and precision.

    \b
    bench features -e uni2-h --data generated/samples --out features/generated.npz
    bench features -e uni2-h --data DIR --task cam16-seg --out features/real.npz
    bench run -g folder:generated -t cam16-seg --data DIR --features features
    """
    from bench.provenance.digests import digest_of_patch
    from metrics.encoders.given import FeatureFile

    if out.suffix != ".npz":
        raise UsageError(f"--out {out} is no .npz file: features are written as one.")
    check_writable(out.parent, "--out")
    own = {name: value for name, value in options.items() if not name.startswith("dataset.")}
    known = registry.parameters(registry.find("encoders", encoder)[0])
    given = {**own, **({"weights": str(weights)} if weights and "weights" in known else {})}
    built = registry.load("encoders", encoder, **given)
    of_data = {name: value for name, value in options.items() if name.startswith("dataset.")}
    if of_data and not task:
        raise UsageError(f"{', '.join(of_data)}: options of a dataset are of use with --task alone.")
    rows: list[tuple[str, str]] = []
    digests: list[str] = []
    features: list[Any] = []
    for ids, groups, images in _of_task(task, data, of_data) if task else _of_folder(Path(data)):
        features.append(built.encode(images))
        digests += [digest_of_patch(image) for image in images]
        rows += zip(ids, groups, strict=True)
    about = {
        "encoder": registry.label("encoders", encoder, built),
        "version": str(built.card.version),
        "weights": built.digest if isinstance(built, HasDigest) else "",
        "precision": "float32",
    }
    names, slides = (np.array(column) for column in zip(*rows, strict=True))
    FeatureFile(np.concatenate(features), np.array(digests), names, slides, about).write(out)
    echo(f"{out}: {len(rows)} images, {features[0].shape[1]} features of {about['encoder']}, float32")


Part = tuple[list[str], list[str], Images]
"""Ids, slides and images."""


def _of_task(task: str, data: str, options: Mapping[str, str]) -> Iterator[Part]:
    from bench.config import PLACEHOLDER, RunConfig, load_components
    from bench.pipeline.data import load_splits

    config = RunConfig(PLACEHOLDER, task, data=data, controls=(), options=options)
    with open_context() as context:
        test = load_splits(load_components(config), context.store, context.execute).test.patches
        for start in range(0, len(test), ROWS):
            part = test[start : start + ROWS]
            yield part.conditions.ids.tolist(), part.conditions.groups.tolist(), np.asarray(part.images)


def _of_folder(folder: Path) -> Iterator[Part]:
    """The images of a folder in the order of their names, those of one size together."""
    from bench.files.image_files import check_opaque, check_upright, open_image

    files = sorted(folder.rglob("*.png")) if folder.is_dir() else []
    if not files:
        raise MissingError(f"no PNG files in {folder}. Patches of a dataset are encoded with --task.")
    held: list[tuple[str, Any]] = []
    for file in files:
        with open_image(file) as picture:
            check_upright(file, picture)
            check_opaque(file, picture)
            if picture.mode != "RGB":
                raise MissingError(f"{file} is of the mode {picture.mode}: 8-bit RGB is read.")
            image = np.asarray(picture)
        if held and (len(held) == ROWS or held[0][1].shape != image.shape):
            yield [name for name, _ in held], [""] * len(held), np.stack([one for _, one in held])
            held = []
        held.append((file.relative_to(folder).with_suffix("").as_posix(), image))
    yield [name for name, _ in held], [""] * len(held), np.stack([one for _, one in held])

"""Condition columns as arguments of a pipeline: which column gives which argument, and how.

An argument is mapped as ARGUMENT=SOURCE. `SOURCES` lists what a source needs and gives; `DEFAULTS` what is mapped where
nothing is given, by the class of the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError, did_you_mean
from bench.histology.pictures import COLOURS
from bench.messages import needed
from bench.types import GREY, NOT_ANNOTATED, Conditions, Prompts

NOBODY = "tissue without annotation"
"""The classes of a patch of which nothing is annotated, in words."""


@dataclass(frozen=True)
class Settings:
    """What sources depend on beside conditions."""

    template: str
    """Text with {classes} or {text} in it."""
    palette: NDArray[np.uint8]
    """uint8 (k, 3): colours of the classes."""
    null_class: int | None = None
    """The class label that stands for none, where the pipeline has one."""


Value = NDArray[Any] | list[str]
"""float32 (n, c, h, w) in [0, 1], float32 (n, d), int64 (n,), or n texts."""


@dataclass(frozen=True)
class Source:
    """One way to make an argument."""

    needs: str
    """The condition column that it reads."""
    gives: str
    make: Callable[[Conditions, Settings], Value]


def _map_rgb(conditions: Conditions, settings: Settings) -> Value:
    masks = needed("map-rgb", "masks", conditions.masks)
    if len(settings.palette) < len(conditions.classes):
        raise UsageError(
            f"the palette has {len(settings.palette)} colours, and there are {len(conditions.classes)} classes: "
            f"{', '.join(conditions.classes)}. Give a colour for each: -o generator.palette=#000000,#aa3355,..."
        )
    colours = np.zeros((NOT_ANNOTATED + 1, 3), np.uint8)
    colours[: len(settings.palette)] = settings.palette
    colours[NOT_ANNOTATED] = 0
    return _to_channels(colours[np.asarray(masks)])


def _map_one_hot(conditions: Conditions, settings: Settings) -> Value:
    masks = np.asarray(needed("map-one-hot", "masks", conditions.masks))
    return (masks[:, None] == np.arange(len(conditions.classes))[:, None, None]).astype(np.float32)


def _map_index(conditions: Conditions, settings: Settings) -> Value:
    masks = np.asarray(needed("map-index", "masks", conditions.masks))
    return _to_channels(np.repeat(masks[..., None], 3, axis=-1))


def _crops(conditions: Conditions, settings: Settings) -> Value:
    return _to_channels(_join_crops(conditions))


def _outside_crops(conditions: Conditions, settings: Settings) -> Value:
    shown = _find_crops(needed("outside-crops", "prompts", conditions.prompts), conditions.size)
    return np.float32(1) - np.asarray(shown.any(axis=1, keepdims=True), dtype=np.float32)


def _largest_crop(conditions: Conditions, settings: Settings) -> Value:
    """The largest crop of each patch, enlarged to the side of a patch."""
    from PIL import Image

    prompts = needed("largest-crop", "prompts", conditions.prompts)
    made = np.full((len(conditions), conditions.size, conditions.size, 3), GREY, np.uint8)
    for i, boxes in enumerate(np.asarray(prompts.boxes)):
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        c = int(areas.argmax())
        if areas[c]:
            y0, x0, y1, x1 = boxes[c].tolist()
            crop = Image.fromarray(np.asarray(prompts.canvases[i, c])[y0:y1, x0:x1])
            made[i] = np.asarray(crop.resize((conditions.size, conditions.size), Image.Resampling.BICUBIC))
    return _to_channels(made)


def _class_names(conditions: Conditions, settings: Settings) -> Value:
    """The classes of the map in words, the largest first."""
    texts = []
    for mask in np.asarray(needed("class-names", "masks", conditions.masks)):
        counts = _count(mask, len(conditions.classes))
        order = [c for c in np.argsort(-counts, kind="stable").tolist() if counts[c]]
        words = ", ".join(conditions.classes[c] for c in order) or NOBODY
        texts.append(settings.template.replace("{classes}", words))
    return texts


def _texts(conditions: Conditions, settings: Settings) -> Value:
    held = needed("texts", "texts", conditions.texts).tolist()
    return [settings.template.replace("{text}", text) if "{text}" in settings.template else str(text) for text in held]


def _main_class(conditions: Conditions, settings: Settings) -> Value:
    """The class of most annotated pixels; the null class where nothing is annotated."""
    masks = np.asarray(needed("main-class", "masks", conditions.masks))
    counts = np.stack([_count(mask, len(conditions.classes)) for mask in masks])
    none = counts.sum(axis=1) == 0
    if none.any() and settings.null_class is None:
        raise UsageError(
            f"{int(none.sum())} patches have no annotated pixel, and the pipeline has no null class for them: "
            "map class_labels=labels, or leave those patches out."
        )
    return np.where(none, settings.null_class or 0, counts.argmax(axis=1)).astype(np.int64)


def _labels(conditions: Conditions, settings: Settings) -> Value:
    return np.asarray(needed("labels", "labels", conditions.labels)).astype(np.int64)


def _vectors(conditions: Conditions, settings: Settings) -> Value:
    return np.asarray(needed("vectors", "vectors", conditions.vectors)).astype(np.float32)


def _join_crops(conditions: Conditions) -> NDArray[np.uint8]:
    """uint8 (n, h, w, 3): the crops of all classes on one canvas; where two overlap, that of the lower class."""
    prompts = needed("crops", "prompts", conditions.prompts)
    canvases, shown = np.asarray(prompts.canvases), _find_crops(prompts, conditions.size)
    joined = np.full((len(canvases), *canvases.shape[2:]), GREY, np.uint8)
    for c in range(canvases.shape[1] - 1, -1, -1):
        joined[shown[:, c]] = canvases[:, c][shown[:, c]]
    return joined


def _find_crops(prompts: Prompts, size: int) -> NDArray[np.bool_]:
    """bool (n, k, h, w): where the crop of each class is."""
    y0, x0, y1, x1 = np.moveaxis(np.asarray(prompts.boxes), -1, 0)[..., None, None]
    rows, columns = np.arange(size)[:, None], np.arange(size)
    return (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)


def _count(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    return np.bincount(mask.ravel(), minlength=NOT_ANNOTATED + 1)[:classes]


def _to_channels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (images.transpose(0, 3, 1, 2) / 255).astype(np.float32)


SOURCES: dict[str, Source] = {
    "map-rgb": Source("masks", "the class map in the colours of `palette`; not annotated is black", _map_rgb),
    "map-one-hot": Source("masks", "the class map with one channel a class; not annotated is 0 in all", _map_one_hot),
    "map-index": Source("masks", "the class numbers as grey levels; not annotated is white", _map_index),
    "crops": Source("prompts", "all prompt crops on one grey canvas", _crops),
    "outside-crops": Source("prompts", "1 where no crop is, 0 on crops: what inpainting fills", _outside_crops),
    "largest-crop": Source("prompts", "the largest crop, enlarged to a patch", _largest_crop),
    "class-names": Source("masks", "`template` with the names of the classes of the map, the largest first", _class_names),
    "texts": Source("texts", "the text of the patch, in `template` if that has {text}", _texts),
    "main-class": Source("masks", "number of the class of most annotated pixels", _main_class),
    "labels": Source("labels", "the class of the whole patch", _labels),
    "vectors": Source("vectors", "the embedding of the patch", _vectors),
}
_TEXT = {"prompt": "class-names"}
_INPAINT = {**_TEXT, "image": "crops", "mask_image": "outside-crops"}
DEFAULTS: dict[str, dict[str, str]] = {
    **{name: {} for name in ("DDPMPipeline", "DDIMPipeline", "LDMPipeline", "PNDMPipeline", "ConsistencyModelPipeline")},
    "DiTPipeline": {"class_labels": "main-class"},
    **{
        name: _TEXT
        for name in (
            "StableDiffusionPipeline",
            "StableDiffusionXLPipeline",
            "StableDiffusion3Pipeline",
            "LDMTextToImagePipeline",
            "PixArtAlphaPipeline",
            "PixArtSigmaPipeline",
        )
    },
    **{
        name: {**_TEXT, "image": "map-rgb"}
        for name in ("StableDiffusionControlNetPipeline", "StableDiffusionXLControlNetPipeline")
    },
    **{name: _INPAINT for name in ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")},
    "StableDiffusionControlNetInpaintPipeline": {**_INPAINT, "control_image": "map-rgb"},
    **{name: {**_TEXT, "image": "crops"} for name in ("StableDiffusionImg2ImgPipeline", "StableDiffusionXLImg2ImgPipeline")},
}


def choose_mapping(pipeline: str, given: tuple[str, ...]) -> dict[str, str]:
    """Argument -> source: the defaults of the pipeline's class with the given ones, each ARGUMENT=SOURCE, in their place;
    `none` takes an argument away. UsageError where a source is unknown, or the class has no defaults and none are given."""
    if pipeline not in DEFAULTS and not given:
        raise UsageError(
            f"no mapping of conditions is known for {pipeline}: give the arguments of its call, e.g. "
            f"-o generator.arguments=prompt=class-names,image=map-rgb. Sources are {', '.join(SOURCES)}, none."
        )
    chosen = dict(DEFAULTS.get(pipeline, {}))
    for text in given:
        argument, equals, source = text.partition("=")
        if not equals or not argument.isidentifier() or source not in (*SOURCES, "none"):
            raise UsageError(
                f"arguments takes ARGUMENT=SOURCE, not {text[:80]!r}.{did_you_mean(source, SOURCES)} "
                f"Sources are {', '.join(SOURCES)}, none."
            )
        chosen[argument] = source
    return {argument: source for argument, source in chosen.items() if source != "none"}


def needs_of(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """The condition columns that a mapping reads."""
    return tuple(dict.fromkeys(SOURCES[source].needs for source in mapping.values()))


def make_arguments(mapping: Mapping[str, str], conditions: Conditions, settings: Settings) -> dict[str, Value]:
    """Argument -> its values for these conditions. UsageError where a column is absent."""
    return {argument: SOURCES[source].make(conditions, settings) for argument, source in mapping.items()}


def parse_palette(given: tuple[str, ...]) -> NDArray[np.uint8]:
    """uint8 (k, 3) of colours like #aa3355; those of the picture of a run where none is given. UsageError on other words."""
    if not given:
        return COLOURS
    try:
        rows = [bytes.fromhex(word.removeprefix("#")) for word in given]
    except ValueError:
        rows = []
    if not rows or any(len(row) != 3 for row in rows):
        raise UsageError(f"palette takes colours like #000000,#aa3355, one for each class, not {','.join(given)[:80]!r}.")
    return np.array([list(row) for row in rows], dtype=np.uint8)

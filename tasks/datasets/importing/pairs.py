"""Images and maps that belong together by their names: X.png beside X_mask.png, or images/X.png and masks/X.png.

Both may lie in folders train, validation and test, whose names are then the splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DamagedError
from bench.files.regular import is_folder, list_folder
from tasks.datasets.importing.pairing import ImportOptions, Item, Pairing, Stored
from tasks.datasets.importing.reading import images_in
from tasks.datasets.index import SPLIT_NAMES, some

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "region", "regions", "annotations", "gt", "groundtruth", "segmentations")
_WORDS = ("mask", "masks", "label", "labels", "seg", "segmentation", "gt", "annotation", "region", "map")
SUFFIXES = tuple(f"{sign}{word}" for word in _WORDS for sign in "_-.")
"""What the name of a map has more than that of its image."""


@dataclass(frozen=True)
class Matched:
    """Which map belongs to which image."""

    pairs: tuple[tuple[Path, Path], ...]
    alone: tuple[Path, ...]
    """Images without a map."""
    spare: tuple[Path, ...]
    """Maps without an image."""
    rule: str


def describe(source: Path) -> str:
    """What of this layout the source has; empty if nothing."""
    found = [(where, matched) for where, matched in _find_all(source) if matched.pairs]
    return f"{sum(len(matched.pairs) for _, matched in found)} images with a map: {found[0][1].rule}" if found else ""


def open_pairing(options: ImportOptions) -> Pairing:
    """The pairs of the source. Raises DamagedError if two images have one id, or there is no pair."""
    found = [(split, matched) for split, matched in _find_all(options.source) if matched.pairs or matched.alone]
    if not any(matched.pairs for _, matched in found):
        raise DamagedError(
            f"{options.source} has no image with a map. Pairs are X.png and X_mask.png, or images/X.png and masks/X.png."
        )
    pairs = [(split, image, mask) for split, matched in found for image, mask in matched.pairs]
    check_unique([image for _, image, _ in pairs])
    items = [
        Item(image.stem, Stored(_name(image, options), image), Stored(_name(mask, options), mask), {"split": s} if s else {})
        for s, image, mask in pairs
    ]
    spare = [_name(path, options) for _, matched in found for path in matched.spare]
    statements = (f"{len(spare)} maps without an image are not read: {some(spare)}",) if spare else ()
    return Pairing(
        "pairs",
        "; ".join(dict.fromkeys(matched.rule for _, matched in found)),
        items,
        statements=statements,
        meanings={"split": "split, the name of the folder"} if any(split for split, _ in found) else {},
        unpaired={
            _name(image, options): f"{image} has no map ({matched.rule})" for _, matched in found for image in matched.alone
        },
    )


def check_unique(images: Sequence[Path]) -> None:
    """Raises DamagedError if two images have one name but for folder and extension."""
    seen: dict[str, Path] = {}
    for image in images:
        if (other := seen.setdefault(image.stem, image)) != image:
            raise DamagedError(f"{other} and {image} have one id, {image.stem}. Rename one of them.")


def match(images: Sequence[Path], masks: Sequence[Path], where: str) -> Matched:
    """Pairs images with maps of equal stem, or of that stem with one of `SUFFIXES`. Raises DamagedError where an image has
    two maps."""
    stems: dict[str, list[Path]] = {}
    for mask in masks:
        stems.setdefault(_bare(mask.stem), []).append(mask)
    exact = {mask.stem: mask for mask in masks}
    pairs, alone, used = [], [], set()
    for image in images:
        own = stems.get(image.stem) or ([exact[image.stem]] if image.stem in exact else stems.get(_bare(image.stem), []))
        if len(own) > 1:
            raise DamagedError(f"{image} has several maps: {some([str(path) for path in own])}. Keep one, or give a table.")
        if own:
            pairs.append((image, own[0]))
            used.add(own[0])
        else:
            alone.append(image)
    spare = tuple(mask for mask in masks if mask not in used)
    differ = sorted({mask.stem.removeprefix(image.stem) for image, mask in pairs} - {""})
    rule = f"maps in {where} have the names of their images" + (f" with {' or '.join(differ)}" if differ else "")
    return Matched(tuple(pairs), tuple(alone), spare, rule)


def mask_folder(source: Path) -> tuple[Path, Path] | None:
    """The folders of images and of maps; None without them."""
    names = {path.name.casefold(): path for path in list_folder(source) if is_folder(path)}
    images = [names[name] for name in IMAGE_FOLDERS if name in names]
    masks = [names[name] for name in MASK_FOLDERS if name in names]
    if len(masks) > 1:
        raise DamagedError(f"{source} has several folders of maps: {some([path.name for path in masks])}. Move all but one.")
    return (images[0], masks[0]) if images and masks else None


def find_in(source: Path) -> Matched:
    """The pairs of one folder."""
    if (folders := mask_folder(source)) is not None:
        return match(images_in(folders[0]), images_in(folders[1]), f"{folders[1].name}/")
    files = images_in(source)
    masks = [path for path in files if _bare(path.stem) != path.stem]
    return match([path for path in files if path not in masks], masks, "the same folder") if masks else Matched((), (), (), "")


def _find_all(source: Path) -> list[tuple[str, Matched]]:
    """Split, empty without one, and pairs of each folder that is looked at."""
    whole = find_in(source)
    if whole.pairs:
        return [("", whole)]
    parts = [path for path in list_folder(source) if is_folder(path) and path.name.casefold() in SPLIT_NAMES]
    return [(SPLIT_NAMES[path.name.casefold()], find_in(path)) for path in parts]


def _bare(stem: str) -> str:
    """The stem without what marks a map."""
    lower = stem.casefold()
    return next((stem[: -len(suffix)] for suffix in SUFFIXES if lower.endswith(suffix) and len(stem) > len(suffix)), stem)


def _name(path: Path, options: ImportOptions) -> str:
    return path.relative_to(options.source).as_posix()

"""Visual prompts: one tissue crop a class, cut from a donor patch and pasted on a grey canvas.

The prompt source says which patch is the donor. `self` is the protocol of HeteroTissue-Diffuse's public code: the crop is cut
from the image to be generated and left in place, which makes generation a partial inpainting. `slide` takes another patch of
the same slide, `cohort` a patch of another slide; in both, the crop is put at a random valid place in the target's region. A
patch that shares a pixel with the target is never its donor.

Test patches are the reference that generated ones are compared with. Their crops are cut from patches outside the reference
set if the dataset has any with a fitting window, and otherwise from other test patches. The number of both is reported.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.stain import restain
from bench.types import GREY, PROMPT_SOURCES, Conditions, ImageSet, Prompts, PromptSource

Box = tuple[int, int, int, int]
_ADDED = ("crop", "background")
"""Fields that were added later: keys leave them out at their defaults, so that older keys stay valid."""
PUBLISHED_SIDE = 256
PUBLISHED_WINDOWS, PUBLISHED_STRIDE = range(200, 39, -10), 10
PUBLISHED_CUT, PUBLISHED_LEAST = 100, 64
"""Of the public code, in pixels of patches of `PUBLISHED_SIDE`: sides of windows in the order they are tried, the step between
two windows, the side above which height and width are drawn anew, and the least that they can be."""


@dataclass(frozen=True, repr=False)
class PromptRule:
    """How crops are chosen. Sides are shares of the patch's side; the defaults are the public code's 40 and 200 of 256 px."""

    prompt_source: PromptSource = "slide"
    smallest: float = 40 / 256
    largest: float = 200 / 256
    rotate: bool = False
    """Rotate each crop by a random multiple of 90 degrees."""
    flip: bool = False
    """Mirror each crop with probability one half."""
    stain_jitter: float = 0.0
    """Standard deviation of the log factors on a crop's optical density in red, green and blue."""
    fallback: Literal["none", "paper", "paper-panda"] = "none"
    """What a class without a fitting window gets: nothing (`none`), its whole region as in the public code for CAMELYON16
    (`paper`), or the whole region of the class before it, even if the patch does not show the class, as in the public code for
    PANDA (`paper-panda`). The latter two exist with `self` only."""
    prompt_seed: int = 0
    crop: Literal["largest", "published"] = "largest"
    """The largest square that fits, or (`self` only) the window of the public code: see `published_window`."""
    background: Literal["crop", "none"] = "crop"
    """Whether class 0 gets a crop; the public code gives it none for PANDA."""

    def __post_init__(self) -> None:
        if self.prompt_source not in PROMPT_SOURCES:
            raise UsageError(f"the prompt sources are {', '.join(PROMPT_SOURCES)}; asked for {self.prompt_source!r}.")
        if not 0 < self.smallest <= self.largest <= 1:
            raise UsageError(f"crop sides need 0 < smallest <= largest <= 1, not {self.smallest} and {self.largest}.")
        if not 0 <= self.stain_jitter < math.inf:
            raise UsageError(f"stain_jitter is a standard deviation, 0 or more and finite, not {self.stain_jitter}.")
        if self.fallback != "none" and self.prompt_source != "self":
            raise UsageError(
                f"fallback={self.fallback} pastes the target's own region, so it exists with prompt source 'self' only, "
                f"not with {self.prompt_source!r}: add --prompt-source self."
            )
        if self.crop == "published":
            self._check_published()

    def _check_published(self) -> None:
        if self.prompt_source != "self":
            raise UsageError(
                "crop=published leaves a crop at its place in the target, so it exists with prompt source 'self' only, "
                f"not with {self.prompt_source!r}: add --prompt-source self."
            )
        fixed = {f.name: f.default for f in fields(self) if f.name in ("smallest", "largest", "rotate")}
        if changed := [name for name, usual in fixed.items() if getattr(self, name) != usual]:
            raise UsageError(f"crop=published has sides of its own and rotates no crop: leave out {', '.join(changed)}.")

    def __repr__(self) -> str:
        """Part of the keys of prompts, and so of weights: fields in `_ADDED` are named only if they are not the default."""
        return f"PromptRule({', '.join(f'{name}={value!r}' for name, value in self.described().items())})"

    def described(self) -> dict[str, Any]:
        """Name of field -> value, without those of `_ADDED` that have their default."""
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return {name: value for name, (value, usual) in values.items() if name not in _ADDED or value != usual}

    def with_prompt_source(self, prompt_source: str) -> PromptRule:
        """The rule with another prompt source, without options that exist with `self` only."""
        if prompt_source == "self":
            return replace(self, prompt_source="self")
        return replace(self, prompt_source=prompt_source, fallback="none", crop="largest")  # type: ignore[arg-type]  # checked on construction

    def label(self) -> str:
        """The prompt source and all options that are not the default. Numbers of different labels never share a table."""
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        return f"{self.prompt_source}({','.join(changed)})" if changed else self.prompt_source


@dataclass(frozen=True)
class PromptReport:
    """What the prompts of a set show, reported with every run."""

    coverage: float
    """Mean share of a patch's pixels under a crop, in [0, 1]."""
    wanted: int
    """(patch, class) pairs in which the class occurs and the rule allows a crop."""
    missing: int
    """Those of the wanted pairs without a crop, because no window fits."""
    crops: int
    """(patch, class) pairs that have a crop."""
    whole: int
    """Those of the crops that show the whole region of a class, as the public code's fallback does."""
    reference: int
    """Those of the crops that were cut from a patch of the set itself, which for a test set is the reference."""


def attach(patches: ImageSet, rule: PromptRule, others: ImageSet | None = None) -> ImageSet:
    """The same patches with prompts. Crops are cut from `others`, further patches of the dataset in none of its splits, if
    these have a donor, and otherwise from the set itself: prompts never show pixels of another split."""
    conditions = patches.conditions
    if conditions.masks is None:
        raise UsageError("visual prompts need class maps: this dataset provides no masks.")
    others = _donors(patches, rule, others)
    n, k, side = len(patches), len(conditions.classes), conditions.size
    canvases = np.full((n, k, side, side, 3), GREY, dtype=np.uint8)
    boxes = np.zeros((n, k, 4), dtype=np.int32)
    known = conditions.ids.dtype if others is None else np.result_type(conditions.ids, others.conditions.ids)
    sources = np.full((n, k), "", dtype=known)
    sides = _sides(patches, rule)
    pools = [(patches, sides)] if others is None else [(others, _sides(others, rule)), (patches, sides)]
    shift = int(rule.fallback == "paper-panda")
    for i, c in np.argwhere(_wanted_crops(conditions, rule)).tolist():
        rng = _rng(rule.prompt_seed, conditions.ids[i], c)
        if rule.crop == "published":
            box = published_window(conditions.masks[i] == c, rng)
            if box is not None:
                _paste_in_place(canvases[i, c], patches.images[i], box, rule, rng)
                boxes[i, c], sources[i, c] = box, conditions.ids[i]
        else:
            found = _donor(rule.prompt_source, patches, i, int(sides[i, c]), [(pool, fit[:, c]) for pool, fit in pools], rng)
            if found is not None:
                boxes[i, c] = _paste(canvases[i, c], patches, rule, i, found, c, rng)
                sources[i, c] = found.id
        region = conditions.masks[i] == c - shift
        if not sources[i, c] and rule.fallback != "none" and region.any():
            canvases[i, c][region] = patches.images[i][region]
            boxes[i, c], sources[i, c] = _bounds(region), conditions.ids[i]
    prompts = Prompts(rule.prompt_source, canvases, boxes, sources)
    key = attached_key(patches.key, rule, has_overlaps(conditions), others.key if others is not None else "")
    return ImageSet(key, patches.images, replace(conditions, prompts=prompts))


def attached_key(key: str, rule: PromptRule, overlapping: bool = False, others: str = "") -> str:
    """The key of a set after `attach`, from its key before. `overlapping`: whether patches overlap, see `has_overlaps`; then
    prompts differ from those of earlier versions, which ignored overlaps. `others`: key of the patches that are searched for
    donors first."""
    words = f"{key}/{rule}" + ("/donors apart" if overlapping else "") + (f"/donors {others}" if others else "")
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _donors(patches: ImageSet, rule: PromptRule, others: ImageSet | None) -> ImageSet | None:
    """`others`, if this rule uses them. Raises UsageError if they are patches of the set or of other classes or size."""
    if others is None or rule.prompt_source == "self":
        return None
    ours, theirs = patches.conditions, others.conditions
    if theirs.masks is None or (ours.classes, ours.size) != (theirs.classes, theirs.size):
        raise UsageError(
            f"patches to cut prompts from need masks, and the classes and size of the others: {', '.join(theirs.classes)} at "
            f"{theirs.size} px, not {', '.join(ours.classes)} at {ours.size} px."
        )
    if len(again := np.intersect1d(ours.ids, theirs.ids)):
        raise UsageError(f"{len(again)} patches to cut prompts from are in the set itself ({', '.join(again[:5].tolist())}).")
    return others


def _wanted_crops(conditions: Conditions, rule: PromptRule) -> NDArray[np.bool_]:
    """bool (n, k): the classes of each patch that get a crop if a donor is found."""
    asked = _occurring(conditions)
    if rule.fallback == "paper-panda":
        asked[:, 1:] = True
    asked[:, 0] &= rule.background == "crop"
    return asked


def _occurring(conditions: Conditions) -> NDArray[np.bool_]:
    """bool (n, k): the classes that each patch shows."""
    assert conditions.masks is not None
    classes = range(len(conditions.classes))
    return np.stack([(conditions.masks == c).any(axis=(1, 2)) for c in classes], axis=1)


def _sides(patches: ImageSet, rule: PromptRule) -> NDArray[np.int64]:
    """int64 (n, k): side of the largest window of each class in each patch, 0 where none fits."""
    conditions = patches.conditions
    assert conditions.masks is not None
    limits = max(1, round(rule.smallest * conditions.size)), round(rule.largest * conditions.size)
    classes = range(len(conditions.classes))
    return np.array([[_largest(mask == c, *limits) for c in classes] for mask in conditions.masks], dtype=np.int64)


def has_overlaps(conditions: Conditions) -> bool:
    """Whether some patches share, or may share, a pixel."""
    return any(int(conditions.overlaps(i, conditions).sum()) > 1 for i in range(len(conditions)))


def report(conditions: Conditions, rule: PromptRule = PromptRule()) -> PromptReport:  # noqa: B008  (frozen)
    """Counts over a set whose prompts were attached by the rule."""
    prompts, masks = conditions.prompts, conditions.masks
    if prompts is None or masks is None:
        raise UsageError("these conditions carry no prompts.")
    wanted = _occurring(conditions)
    wanted[:, 0] &= rule.background == "crop"
    shown = (prompts.canvases != GREY).any(axis=-1)
    has = prompts.sources != ""
    whole = np.zeros_like(has)
    for c in range(len(conditions.classes)):
        for shift in (0, 1) if rule.fallback == "paper-panda" else (0,):
            region = masks == c - shift
            whole[:, c] |= region.any(axis=(1, 2)) & (~region | shown[:, c]).all(axis=(1, 2))
    return PromptReport(
        coverage=float(shown.any(axis=1).mean()),
        wanted=int(wanted.sum()),
        missing=int((wanted & ~has).sum()),
        crops=int(has.sum()),
        whole=int((has & whole).sum()),
        reference=int((has & np.isin(prompts.sources, conditions.ids)).sum()),
    )


def windows(region: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """int64 (m, 2): top-left corners of every square of `side` pixels that lies wholly in the region."""
    if side < 1 or side > min(region.shape):
        return np.zeros((0, 2), dtype=np.int64)
    total = np.zeros((region.shape[0] + 1, region.shape[1] + 1), dtype=np.int64)
    total[1:, 1:] = region.cumsum(axis=0).cumsum(axis=1)
    inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return np.argwhere(inside == side * side)


def published_window(region: NDArray[np.bool_], rng: np.random.Generator) -> Box | None:
    """The crop that HeteroTissue-Diffuse's public code takes of a class, None where no window fits.

    Of square windows with sides of 200, 190, ..., 40 px, 10 px apart, the first in raster order that lies wholly in the
    region. If its side is above 100 px, height and width are drawn again independently from [64, side), and the crop
    starts at the window's upper left. In patches of another side than 256 px all lengths are scaled and
    rounded.
    """
    unit = region.shape[0] / PUBLISHED_SIDE
    stride = max(1, round(PUBLISHED_STRIDE * unit))
    for side in PUBLISHED_WINDOWS:
        scaled = max(1, round(side * unit))
        found = windows(region, scaled)
        found = found[(found % stride == 0).all(axis=1)]
        if not len(found):
            continue
        height = width = scaled
        if side > PUBLISHED_CUT:
            height, width = rng.integers(round(PUBLISHED_LEAST * unit), scaled, 2).tolist()
        y, x = found[0].tolist()
        return y, x, y + height, x + width
    return None


def _largest(region: NDArray[np.bool_], smallest: int, largest: int) -> int:
    """Side of the largest square within the bounds that fits in the region, 0 if none does."""
    if not len(windows(region, smallest)):
        return 0
    low, high = smallest, largest  # if a side fits, every smaller one fits: bisection finds the largest
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(windows(region, middle)) else (low, middle - 1)
    return low


def _rng(seed: int, patch: str, value: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{patch}/{value}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


@dataclass(frozen=True)
class _Donor:
    """A patch that a crop is cut from."""

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    side: int
    """Of the crop, in pixels: the largest that fits in donor and target."""


def _donor(
    prompt_source: PromptSource,
    patches: ImageSet,
    i: int,
    side: int,
    pools: list[tuple[ImageSet, NDArray[np.int64]]],
    rng: np.random.Generator,
) -> _Donor | None:
    """A donor for patch i, whose largest window of the class has `side`. `pools` are sets with the largest window of each
    patch, int64 (n,); the first pool that has a donor is used."""
    if not side:
        return None
    conditions = patches.conditions
    for pool, sides in pools:
        theirs = pool.conditions
        if prompt_source == "self":
            candidates = np.array([i])
        else:
            same = theirs.groups == conditions.groups[i]
            wanted = same if prompt_source == "slide" else ~same
            candidates = np.flatnonzero((sides > 0) & wanted & ~conditions.overlaps(i, theirs))
        if len(candidates):
            row = i if prompt_source == "self" else int(rng.choice(candidates))
            assert theirs.masks is not None
            return _Donor(str(theirs.ids[row]), pool.images[row], theirs.masks[row], int(min(side, sides[row])))
    return None


def _paste(
    canvas: NDArray[np.uint8],
    patches: ImageSet,
    rule: PromptRule,
    i: int,
    donor: _Donor,
    value: int,
    rng: np.random.Generator,
) -> Box:
    """Cuts a window of the donor, transforms it by the rule and pastes it on the canvas; returns its box."""
    masks, side = patches.conditions.masks, donor.side
    assert masks is not None
    y, x = rng.choice(windows(donor.mask == value, side)).tolist()
    crop = _transform(donor.image[y : y + side, x : x + side], rule, rng)
    if donor.id != patches.conditions.ids[i]:
        y, x = rng.choice(windows(masks[i] == value, side)).tolist()
    canvas[y : y + side, x : x + side] = crop
    return y, x, y + side, x + side


def _paste_in_place(
    canvas: NDArray[np.uint8], image: NDArray[np.uint8], box: Box, rule: PromptRule, rng: np.random.Generator
) -> None:
    """Pastes a box of the image on the canvas, at its own place."""
    y0, x0, y1, x1 = box
    canvas[y0:y1, x0:x1] = _transform(image[y0:y1, x0:x1], rule, rng)


def _transform(crop: NDArray[np.uint8], rule: PromptRule, rng: np.random.Generator) -> NDArray[np.uint8]:
    if rule.rotate:
        crop = np.rot90(crop, int(rng.integers(4)))
    if rule.flip and rng.uniform() < 0.5:
        crop = crop[:, ::-1]
    if rule.stain_jitter:
        crop = restain(crop, np.exp(rng.normal(0, rule.stain_jitter, 3)))
    return crop


def _bounds(region: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

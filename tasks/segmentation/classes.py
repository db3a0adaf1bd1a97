"""Which classes the segmentation tasks mean, and the options that make the classes of a data set fit.

Classes are known by their names. Where nobody has named them (`class-0`, `class-1`, ...), as many as the task means are read
in its order, and a run says so first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import UsageError
from bench.messages import listed_names
from bench.types import DataClasses

NORMAL, TUMOUR = "normal", "tumour"
BACKGROUND, STROMA, BENIGN, CANCER, EPITHELIUM = "background", "stroma", "benign", "cancer", "epithelium"

NODE = (NORMAL, TUMOUR)
"""CAMELYON16 (Litjens and others 2018), in the order of HeteroTissue-Diffuse's public code."""
PROSTATE = (BACKGROUND, STROMA, BENIGN, CANCER)
"""PANDA (Bulten and others 2022), Radboud's labels with the Gleason patterns 3, 4 and 5 merged."""
MERGED_PROSTATE = (BACKGROUND, STROMA, EPITHELIUM)
"""PANDA as in HeteroTissue-Diffuse's public code, which reads labels of 2 and above as one class."""

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    NORMAL: ("nontumour", "nontumor", "benign", "healthy", "negative", "normaltissue", "lymphnode"),
    TUMOUR: ("tumor", "tumourtissue", "cancer", "carcinoma", "malignant", "metastasis", "metastases", "lesion"),
    BACKGROUND: ("glass", "empty", "none", "notissue"),
    STROMA: ("connective", "connectivetissue", "stromal", "fibrous"),
    BENIGN: ("benignepithelium", "healthyepithelium", "normalepithelium", "benigngland", "benignglands", "healthy", "normal"),
    CANCER: (
        *("tumour", "tumor", "carcinoma", "malignant", "cancerousepithelium", "tumourepithelium", "tumorepithelium"),
        *(f"{word}{grade}" for word in ("gleason", "gleasonpattern", "gleasongrade", "pattern") for grade in (3, 4, 5)),
    ),
    EPITHELIUM: ("epithelial", "gland", "glands"),
}
"""Class -> other names of the same tissue, without capitals, blanks and signs. They are proposed to the user, never taken by
themselves."""

_UNNAMED, _CLUSTER = "class-{}", "cluster-{}"
_SHOWN = 6
"""How many classes a run names where it says how they are read."""


def check_named(task: str, meanings: Sequence[tuple[str, ...]], found: DataClasses) -> str:
    """How the classes are read, as `ChecksClasses` says, by a task that means one of these lists of classes."""
    if found.names in meanings:
        return ""
    if _is_numbered(found.names, _UNNAMED):
        for meant in meanings:
            if len(meant) == len(found.names):
                return _describe_reading(found, meant)
    raise UsageError(_refusal(task, meanings, found))


def check_clusters(task: str, found: DataClasses) -> str:
    """The same for a task whose classes are the clusters of pseudo-maps, `cluster-0`, `cluster-1`, ..., at least two."""
    check_any(task, found)
    if _is_numbered(found.names, _CLUSTER):
        return ""
    if _is_numbered(found.names, _UNNAMED):
        return _describe_reading(found, tuple(_CLUSTER.format(i) for i in range(len(found.names))))
    raise UsageError(
        f"{task} means clusters of a pseudo-map, named cluster-0, cluster-1, ...; {_describe(found)}. {_any_classes(found)}"
    )


def check_any(task: str, found: DataClasses) -> str:
    """The same for a task that takes any classes, at least two."""
    if len(found.names) < 2:
        raise UsageError(f"{task} tells classes apart, at least two; {_describe(found)}.")
    return ""


@dataclass(frozen=True)
class Proposal:
    """Options that make a task's classes of those of a data set."""

    options: str
    """`--class-map 0=1,1=0 -o classes=normal,tumour`"""
    ignored: tuple[str, ...]
    """Classes of the data that have no counterpart, whose pixels the options leave out."""


def propose(meanings: Sequence[tuple[str, ...]], found: DataClasses) -> Proposal | None:
    """The options for the first list of classes that can be made of the data by their names, None if none can."""
    if found.numbers is None:
        return None
    for meant in meanings:
        targets = [_counterpart(name, meant) for name in found.names]
        if set(targets) >= set(range(len(meant))):
            ignored = tuple(name for name, target in zip(found.names, targets, strict=True) if target is None)
            return Proposal(f"{_class_map(found.numbers, targets, found.ignored)}-o classes={','.join(meant)}", ignored)
    return None


def _class_map(numbers: tuple[tuple[int, ...], ...], targets: list[int | None], ignored: tuple[int, ...]) -> str:
    """`--class-map` from the numbers in the files to the targets; empty where neither is needed nor was given."""
    new = {number: target for target, own in zip(targets, numbers, strict=True) for number in own}
    new |= dict.fromkeys(ignored)
    was_given = ignored or numbers != tuple((i,) for i in range(len(numbers)))
    if not was_given and all(number == target for number, target in new.items()):
        return ""
    pairs = (f"{number}={'ignore' if target is None else target}" for number, target in sorted(new.items()))
    return f"--class-map {','.join(pairs)} "


def _counterpart(name: str, meant: tuple[str, ...]) -> int | None:
    """The number of the class that a name means; None if it means none of them."""
    plain = _plain(name)
    exact = [i for i, own in enumerate(meant) if plain == own]
    return next(iter(exact or [i for i, own in enumerate(meant) if plain in OTHER_NAMES[own]]), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _is_numbered(names: tuple[str, ...], pattern: str) -> bool:
    return names == tuple(pattern.format(i) for i in range(len(names)))


def _describe_reading(found: DataClasses, meant: tuple[str, ...]) -> str:
    """`class 0 is read as normal, class 1 as tumour`, with the option that names them."""
    first, *others = (f"class {i}{_verb(i)} as {name}" for i, name in enumerate(meant[:_SHOWN]))
    more = f", ... {len(meant)} in all" if len(meant) > _SHOWN else ""
    naming = f"; -o classes={','.join(meant)} names them" if found.numbers is not None and not more else ""
    return f"the classes of {found.dataset} have no names: {', '.join((first, *others))}{more}{naming}"


def _verb(number: int) -> str:
    return "" if number else " is read"


def _describe(found: DataClasses) -> str:
    if _is_numbered(found.names, _UNNAMED):
        return f"{found.dataset} has {len(found.names)} classes whose names are not known"
    return f"{found.dataset} has {listed_names(found.names)}"


def _refusal(task: str, meanings: Sequence[tuple[str, ...]], found: DataClasses) -> str:
    head = f"{task} means the classes {' or '.join(', '.join(meant) for meant in meanings)}; {_describe(found)}."
    if (fitting := propose(meanings, found)) is not None:
        lost = f"; left out as not annotated: {listed_names(fitting.ignored)}" if fitting.ignored else ""
        return f"{head} By their names, this fits: {fitting.options}{lost}. {_any_classes(found)}"
    if found.numbers is None:
        return f"{head} {_any_classes(found)}"
    numbers = ", ".join(f"{i} for {name}" for i, name in enumerate(meanings[0]))
    return (
        f"{head} Say what each is with --class-map NUMBER=CLASS,... ({numbers}, or ignore) and "
        f"-o classes={','.join(meanings[0])}. {_any_classes(found)}"
    )


def _any_classes(found: DataClasses) -> str:
    return "Or give --task region-seg, which takes any classes." if len(found.names) > 1 else ""

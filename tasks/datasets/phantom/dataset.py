"""Embedded data: procedural H&E, seeded by slide, with exact class and nucleus maps.

There are many slides with few patches each. Appearance varies between slides (see `tissue.Slide`), so that it cannot be
inferred from the map and only a crop of the slide shows it. Test slides come from a few laboratories that no training slide
comes from, as in an external validation: the training slides do not show how the test slides are stained.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.sampling import Sampling
from bench.types import Card, Conditions, ImageSet
from tasks.datasets.phantom.tissue import (
    CONNECTIVE,
    EOSINOPHIL,
    EPITHELIAL,
    LYMPHOCYTE,
    NEUTROPHIL,
    PLASMA,
    TYPES,
    Slide,
    Tissue,
)

if TYPE_CHECKING:
    from tasks.datasets.phantom.render import Patch

VERSION = "1"
_DONORS = "donors"
"""Used like the name of a split: patches of the test slides that prompts are cut from."""
_HOMES = {_DONORS: "test", "R1": "train"}  # splits that show slides of another one
SMALLEST, LARGEST = 0.2, 0.8  # share of a patch that one class covers, as in HeteroTissue-Diffuse

LYMPH_NODE = (
    Tissue("normal", 0.30, 0.14, 0.05, 24.0, {LYMPHOCYTE: 0.93, PLASMA: 0.04, CONNECTIVE: 0.03}),
    Tissue("tumour", 0.62, 0.10, 0.15, 9.0, {EPITHELIAL: 0.92, LYMPHOCYTE: 0.05, CONNECTIVE: 0.03}, scale=1.15),
)
PROSTATE = (
    Tissue("background", 0.01, 0.01, 0.0, 0.0, {CONNECTIVE: 1.0}),
    Tissue("stroma", 0.70, 0.03, 0.45, 4.0, {CONNECTIVE: 0.92, LYMPHOCYTE: 0.08}),
    Tissue("benign", 0.48, 0.06, 0.05, 8.0, {EPITHELIAL: 1.0}, lumen=0.28, scale=0.75),
    Tissue("cancer", 0.40, 0.14, 0.10, 15.0, {EPITHELIAL: 0.97, LYMPHOCYTE: 0.03}, lumen=0.05, scale=0.95),
)
COLON = (
    Tissue(
        "stroma",
        0.60,
        0.05,
        0.35,
        9.0,
        {LYMPHOCYTE: 0.40, CONNECTIVE: 0.40, PLASMA: 0.14, EOSINOPHIL: 0.04, NEUTROPHIL: 0.02},
    ),
    Tissue("gland", 0.45, 0.08, 0.05, 11.0, {EPITHELIAL: 0.97, LYMPHOCYTE: 0.03}, lumen=0.18, scale=0.85),
)
ORGANS = tuple(replace(tissue, name=f"cluster-{i}") for i, tissue in enumerate((*LYMPH_NODE, *PROSTATE[1:], *COLON)))


@dataclass(eq=False)
class _Phantom:
    """Renders its splits on demand; the harness caches them by key. The fields are its options."""

    card: ClassVar[Card]
    tissues: ClassVar[tuple[Tissue, ...]]
    provides = frozenset({"masks", "instances", "types"})
    procedural = True

    size: int = 64
    seed: int = 0
    train_slides: int = 100
    validation_slides: int = 20
    test_slides: int = 40
    per_slide: int = 16
    test_laboratories: int = 4

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 4:
            raise UsageError(f"a phantom patch is a multiple of 4 and at least 32 px wide, not {self.size}.")
        counts = (self.train_slides, self.validation_slides, self.test_slides, self.per_slide, self.test_laboratories)
        if min(counts) < 1:
            raise UsageError("a phantom needs at least one slide in each split, one patch on each and one test laboratory.")

    def split(self, name: str) -> ImageSet:
        """Patches of one split. `holdout` shows as many slides as `test`, others of the same laboratories."""
        if name == _DONORS:
            raise self._no_split(name)
        return self._set(name, 0)

    @property
    def sampling(self) -> Sampling:
        """Slides, those of the test set of a few laboratories, and splits as they are drawn."""
        laboratories = min(self.test_laboratories, self.test_slides)
        return Sampling("slides", "as they are drawn", "slides of their own", laboratories=laboratories)

    @property
    def has_prompt_donors(self) -> bool:
        """Always true: any number of patches of a slide can be rendered."""
        return True

    def prompt_donors(self) -> ImageSet:
        """As many further patches of each test slide as it has in the split `test`."""
        return self._set(_DONORS, 2 * self.per_slide)

    def _set(self, name: str, first: int) -> ImageSet:
        """`per_slide` patches of each slide of a split, numbered from `first`."""
        slides = self._slides(name)
        home = _HOMES.get(name, name)
        patches: list[Patch] = []
        ids: list[str] = []
        for s in range(slides):
            group = f"{home}-{s:03d}"
            slide = self._slide(group, s)
            for p in range(first, first + self.per_slide):
                ids.append(f"{group}/{p:03d}")
                patches.append(self._patch(slide, self._rng(ids[-1])))
        return ImageSet(self.key(name), np.stack([p.image for p in patches]), self._conditions(ids, patches))

    def key(self, name: str) -> str:
        """Names the content of a split without rendering it."""
        content: list[object] = [
            self.card.name,
            self.card.version,
            name,
            self.size,
            self.seed,
            self.per_slide,
            self._slides(name),
        ]
        if name in ("test", "holdout", _DONORS):
            content.append(self.test_laboratories)
        if name == "holdout":
            content.append("slides of its own")  # it once showed further patches of the test slides
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def _slide(self, group: str, number: int) -> Slide:
        """A training slide has a laboratory of its own; test slides are of a few laboratories without training slides."""
        slide = Slide.draw(self._rng(group))
        if not group.startswith(("test", "holdout")):
            return slide
        return slide.at(Slide.draw(self._rng(f"laboratory-{number % self.test_laboratories}")))

    def _counts(self) -> dict[str, int]:
        """Name of split -> number of slides."""
        return {
            "train": self.train_slides,
            "validation": self.validation_slides,
            "test": self.test_slides,
            "holdout": self.test_slides,
        }

    def _slides(self, name: str) -> int:
        slides = {**self._counts(), _DONORS: self.test_slides}
        if name not in slides:
            raise self._no_split(name)
        return slides[name]

    def _no_split(self, name: str) -> UsageError:
        return UsageError(f"a dataset has the splits {', '.join(self._counts())}; asked for {name!r}.")

    def _rng(self, name: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self.card.name}/{self.card.version}/{self.seed}/{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "little"))

    def _patch(self, slide: Slide, rng: np.random.Generator) -> Patch:
        from tasks.datasets.phantom.render import render  # imports scipy, which a run that finds its data does without

        return render(self._map(rng), self.tissues, slide, rng)

    def _map(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Two classes of a patch, or three where there are more to choose from, each within the wanted shares."""
        from tasks.datasets.phantom.render import regions

        present = min(len(self.tissues), 2 + int(len(self.tissues) > 2 and rng.uniform() < 0.35))
        chosen = rng.permutation(len(self.tissues))[:present]
        shares = np.full(present, SMALLEST) + rng.dirichlet(np.ones(present)) * (1 - SMALLEST * present)
        return chosen.astype(np.uint8)[regions(self.size, shares, rng)]

    def _conditions(self, ids: list[str], patches: list[Patch]) -> Conditions:
        return Conditions(
            ids=np.array(ids),
            groups=np.array([name.partition("/")[0] for name in ids]),
            classes=tuple(tissue.name for tissue in self.tissues),
            size=self.size,
            mpp=1.0,
            masks=np.stack([p.mask for p in patches]),
            instances=np.stack([p.instances for p in patches]),
            types=np.stack([p.types for p in patches]),
        )


_SOURCE = "this package, tasks/datasets/phantom/tissue.py and render.py"
_NOTES = (
    "Procedural, not tissue: it shows that the suite works, and not how good a generator is on patients. "
    "The holdout split shows other slides of the laboratories of the test slides. Prompts of test patches are cut from "
    "further patches of the test slides."
)


class PhantomCam16(_Phantom):
    """Lymph node: normal and tumour."""

    card = Card(
        "phantom-cam16",
        VERSION,
        "Embedded phantom of lymph nodes with metastases: normal and tumour, 1 micron per pixel.",
        licence="Apache-2.0",
        source=_SOURCE,
        notes=_NOTES,
    )
    tissues = LYMPH_NODE


class PhantomPanda(_Phantom):
    """Prostate: background, stroma, benign epithelium and cancer."""

    card = Card(
        "phantom-panda",
        VERSION,
        "Embedded phantom of prostate biopsies: background, stroma, benign and cancer, 1 micron per pixel.",
        licence="Apache-2.0",
        source=_SOURCE,
        notes=_NOTES,
    )
    tissues = PROSTATE


class PhantomTcga(_Phantom):
    """Tissue of several organs, whose classes have the names of clusters and are the true regions."""

    card = Card(
        "phantom-tcga",
        VERSION,
        "Embedded phantom of several organs under maps without annotation: seven clusters, 1 micron per pixel.",
        licence="Apache-2.0",
        source=_SOURCE,
        notes=f"{_NOTES} Its clusters are the true regions, and not made from features.",
    )
    tissues = ORGANS


@dataclass(eq=False)
class PhantomLizard(_Phantom):
    """Colon nuclei: the masks are the types of nuclei, 0 where there is none.

    The pool `R1` shows the first `pool_slides` slides of training (all, if there are fewer), the pool `R2` as many slides of
    their own, drawn like those of training.
    """

    card = Card(
        "phantom-lizard",
        VERSION,
        "Embedded phantom of colon: nuclei of six types, rare types rare, 1 micron per pixel.",
        licence="Apache-2.0",
        source=_SOURCE,
        notes=_NOTES,
    )
    tissues = COLON
    pools = ("R1", "R2")
    pool_slides: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool_slides < 1:
            raise UsageError(f"a pool has at least one slide, not {self.pool_slides}.")

    def _counts(self) -> dict[str, int]:
        return {**super()._counts(), "R1": min(self.pool_slides, self.train_slides), "R2": self.pool_slides}

    def _conditions(self, ids: list[str], patches: list[Patch]) -> Conditions:
        conditions = super()._conditions(ids, patches)
        return replace(conditions, masks=conditions.types, classes=("background", *TYPES))

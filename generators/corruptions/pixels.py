"""Corruptions of pixels: each patch keeps its tissue, its slide and its map, and is made worse where it is.

unchanged       the test patches themselves: where every corruption begins
jpeg            compressed and decompressed
stain-shift     densities of red, green and blue multiplied, as another laboratory might stain
gaussian-noise  noise of the camera
nuclei-removed  a share of the dark nuclei replaced by what surrounds them
"""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.histology.stain import restain
from bench.types import Card, Conditions, Images
from generators.controls import KeepsPatches, Seeds, generate_each

SHIFT = (1.25, 0.85, 1.1)
"""What a stain shift of strength 1 multiplies the optical densities of red, green and blue by, as in docs/copying.md."""
LEAST_AREA = 12
"""Pixels of the smallest dark region that counts as a nucleus."""
REACH = 3.0
"""Standard deviation in pixels of the window in which the surroundings of a nucleus are averaged."""


class KeepsTargets(KeepsPatches):
    """What corruptions have in common: they are handed the target patches, and keep the same files whatever their strength."""

    training_patches: Literal["train", "holdout", "target", "train+target"] = "target"
    kept: ClassVar[str] = "patches"
    """Name of what `save` writes: corruptions with the same files share one training job."""

    def training_config(self) -> dict[str, Any]:
        """The same for every strength."""
        return {"corruption": self.kept, "version": "1"}

    def target(self, conditions: Conditions) -> Images:
        """uint8 (n, size, size, 3): the real patch of each condition."""
        store = self._shown(conditions)
        return np.asarray(store.images[self._rows(store, conditions)])


class Unchanged(KeepsTargets):
    """The very test patches: a perfect score of everything that compares with them."""

    card = Card(
        "unchanged",
        "1",
        "The target patches themselves: where every corruption begins.",
        licence="Apache-2.0",
        notes="It sees the target. No generator can be as near to the test patches. Ignores seeds.",
    )
    deterministic = True

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        return self.target(conditions)


class Jpeg(KeepsTargets):
    """The target compressed as JPEG (Pillow: quality 1 to 100, chroma at half resolution) and decompressed."""

    card = Card(
        "jpeg",
        "1",
        "The target after JPEG compression.",
        licence="Apache-2.0",
        source="ITU-T T.81, as Pillow and libjpeg write it (4:2:0)",
        notes="It sees the target. Ignores seeds. Patches that were stored as JPEG have lost detail before.",
    )
    deterministic = True
    strengths = (95.0, 85.0, 75.0, 60.0, 45.0, 30.0)
    unchanged: float | None = None
    unit = "quality"

    def __init__(self, quality: int = 75) -> None:
        if not 1 <= quality <= 100:
            raise UsageError(f"jpeg: quality is a whole number from 1 to 100, not {quality}.")
        self.quality = quality

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        from PIL import Image

        targets = self.target(conditions)

        def compress(i: int) -> NDArray[np.uint8]:
            file = io.BytesIO()
            Image.fromarray(targets[i]).save(file, format="JPEG", quality=self.quality)
            return np.asarray(Image.open(file, formats=["JPEG"]).convert("RGB"))

        return generate_each(conditions, compress)


class StainShift(KeepsTargets):
    """The target with optical densities of red, green and blue times 1.25, 0.85 and 1.1, to the power of `strength`."""

    card = Card(
        "stain-shift",
        "1",
        "The target stained anew: densities of red, green and blue times 1.25, 0.85, 1.1.",
        licence="Apache-2.0",
        source="Ruifrok and Johnston 2001 (optical density)",
        notes="It sees the target. Ignores seeds. Every patch is shifted alike.",
    )
    deterministic = True
    strengths = (0.1, 0.25, 0.5, 1.0, 1.5)
    unchanged: float | None = 0.0
    unit = "times the shift"

    def __init__(self, strength: float = 1.0) -> None:
        if not 0 <= strength <= 10:
            raise UsageError(f"stain-shift: strength is a number from 0 to 10, not {strength:g}.")
        self.strength = strength

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        return restain(self.target(conditions), np.array(SHIFT) ** self.strength)


class GaussianNoise(KeepsTargets):
    """The target with Gaussian noise of standard deviation `sigma` grey levels added to every channel of every pixel."""

    card = Card(
        "gaussian-noise", "1", "The target with Gaussian pixel noise.", licence="Apache-2.0", notes="It sees the target."
    )
    strengths = (1.0, 2.0, 4.0, 8.0, 16.0)
    unchanged: float | None = 0.0
    unit = "grey levels"

    def __init__(self, sigma: float = 8.0) -> None:
        if not 0 <= sigma <= 255:
            raise UsageError(f"gaussian-noise: sigma is a number of grey levels from 0 to 255, not {sigma:g}.")
        self.sigma = sigma

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        targets = self.target(conditions)

        def add_noise(i: int) -> NDArray[np.float64]:
            noise = np.random.default_rng(int(seeds[i])).standard_normal(targets[i].shape)
            return np.clip(np.rint(targets[i] + self.sigma * noise), 0, 255)

        return generate_each(conditions, add_noise)


class NucleiRemoved(KeepsTargets):
    """The target without a share of its nuclei: dark regions of hematoxylin, replaced by the mean colour around them.

    Nuclei are what Otsu's threshold of the hematoxylin density separates, by patch, in regions of at least 12 pixels; touching
    ones are one. Which are removed is decided by the seed of the image, and those removed at one strength are removed at every
    stronger one.
    """

    card = Card(
        "nuclei-removed",
        "1",
        "The target without a share of its nuclei.",
        licence="Apache-2.0",
        source="Ruifrok and Johnston 2001 (hematoxylin); Otsu 1979 (threshold)",
        notes="It sees the target. Nuclei are found by colour, so that it needs no map of them and misses pale ones. What "
        "replaces them is smoother than tissue.",
    )
    strengths = (0.1, 0.25, 0.5, 0.75, 1.0)
    unchanged: float | None = 0.0
    unit = "of the nuclei"

    def __init__(self, share: float = 0.5) -> None:
        self.share = check_share("nuclei-removed", share)

    def generate(self, conditions: Conditions, seeds: Seeds) -> Images:
        """uint8 (n, size, size, 3)."""
        targets = self.target(conditions)
        return generate_each(conditions, lambda i: self._remove(targets[i], int(seeds[i])))

    def _remove(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        nuclei, count = find_nuclei(image)
        order = np.random.default_rng(seed).permutation(count) + 1
        removed = np.isin(nuclei, order[: round(self.share * count)])
        if not removed.any():
            return image
        filled = image.copy()
        filled[removed] = surroundings(image, nuclei > 0)[removed]
        return filled


def find_nuclei(image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """int32 (h, w): dark regions of hematoxylin, numbered from 1, a pixel wider than the threshold gives; and their number."""
    from scipy.ndimage import binary_dilation, binary_opening, label
    from skimage.color import rgb2hed
    from skimage.filters import threshold_otsu

    hematoxylin = rgb2hed(image)[..., 0]
    if np.ptp(hematoxylin) < 1e-6:  # one colour: Otsu's threshold does not exist
        return np.zeros(image.shape[:2], np.int32), 0
    found, _ = label(binary_opening(hematoxylin > threshold_otsu(hematoxylin)))
    large = np.flatnonzero(np.bincount(found.ravel()) >= LEAST_AREA)
    regions, count = label(binary_dilation(np.isin(found, large[large > 0])))
    return np.asarray(regions, dtype=np.int32), int(count)


def surroundings(image: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): at every pixel the mean of the pixels around it that are not hidden, the nearest where none is near."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    shown = ~hidden
    if not shown.any():
        return image
    weight = gaussian_filter(shown.astype(np.float64), REACH)
    sums = gaussian_filter(image * shown[..., None].astype(np.float64), (REACH, REACH, 0))
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    mean = sums / np.maximum(weight, 1e-3)[..., None]
    return np.asarray(np.where(weight[..., None] > 1e-3, np.rint(mean), image[tuple(nearest)]), dtype=np.uint8)


def check_share(owner: str, share: float) -> float:
    """The share. UsageError unless it is from 0 to 1."""
    if not 0 <= share <= 1:
        raise UsageError(f"{owner}: share is a number from 0 to 1, not {share:g}.")
    return share

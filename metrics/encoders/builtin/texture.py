"""A hand-made descriptor of stain and texture; the name of each column says what it measures.

It encodes colour and texture, balanced by the units of its columns: on phantom test patches a stain shift, a blur of one
pixel and a shuffle of pixels within 4 x 4 blocks move it by 2.5, 3.6 and 3.9 times the distance between disjoint halves of
the slides, and no column contributes more than a quarter of the part of the means. It does not recognise nuclei.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.types import Card, Features, Images
from metrics.encoders.batches import check_images

Plane = NDArray[np.float32]
"""float32 (n, h, w): the amount of one stain at each pixel."""
Columns = dict[str, NDArray[np.float32]]
"""Name -> float32 (n,)."""

SMALLEST = 32
UNITS = {"amount": 0.17, "correlation": 0.35, "energy": 0.30, "coherence": 0.08, "pattern": 0.08}
"""What a column of each family is divided by: the root mean square over its columns of their standard deviation on the
training patches of `phantom-cam16`, as `python -m metrics.encoders.builtin.texture` prints it. Patterns, which are many and
move together, are divided by twice that."""

_SCALES = (1, 2, 4, 8)
"""Pixels that one pixel of a shrunken plane covers."""
_FLAT = np.float32(0.02)
"""Optical density below which a difference is sensor noise."""
_HALF = np.float32(0.5)
_HEMATOXYLIN, _EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)
_DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


class Texture:
    """54 columns: stain amounts, gradients at four scales and local binary patterns. NumPy only, about 1700 patches of
    64 px a second on one core; any size from 32 px; the same bytes in any batch."""

    card = Card(
        "texture",
        "1",
        "Stain amounts, gradient energies and local binary patterns of H and E.",
        licence="Apache-2.0",
        source="Ruifrok and Johnston 2001 (stain vectors); Ojala et al. 2002 (rotation-invariant uniform patterns)",
        notes="Fixed stain vectors: a scanner with other colours shows in the third, `rest`, channel. Does not recognise "
        "nuclei: tissue with the right contrasts in the wrong places is not detected.",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each feature: `family: stain, what`."""
        return _names()

    @property
    def dim(self) -> int:
        return len(self.columns)

    def encode(self, images: Images) -> Features:
        """float32 (n, dim), each column in the unit of its family."""
        check_images(self.card.name, images, SMALLEST)
        units = np.array([UNITS[name.partition(":")[0]] for name in self.columns], dtype=np.float32)
        features = np.empty((len(images), self.dim), dtype=np.float32)
        step = max(1, 2**16 // (images.shape[1] * images.shape[2]))  # planes that stay in the processor's cache
        for start in range(0, len(images), step):
            table = np.stack(list(_describe(images[start : start + step]).values()), axis=1)
            features[start : start + step] = table / units
        return features


@cache
def _names() -> tuple[str, ...]:
    return tuple(_describe(np.zeros((1, SMALLEST, SMALLEST, 3), dtype=np.uint8)))


def _describe(images: Images) -> Columns:
    """Every column before units, in the order of `columns`."""
    hematoxylin, eosin, rest = unmix(images)
    found = {
        **_amounts("hematoxylin", hematoxylin, quantiles=(10, 50, 90)),
        **_amounts("eosin", eosin, quantiles=(10, 50, 90)),
        **_amounts("rest", rest, quantiles=()),
        "correlation: hematoxylin and eosin": _correlation(hematoxylin, eosin),
    }
    for stain, plane, patterned in (("hematoxylin", hematoxylin, (2, 4)), ("eosin", eosin, (2,))):
        for scale in _SCALES:
            where, small = f"{stain} at {scale} px", _shrink(plane, scale)
            found |= _gradients(where, small, coherent=scale > 1)  # at one pixel, coherence is the sensor's
            found |= _patterns(where, small) if scale in patterned else {}
    return found


def unmix(images: Images) -> tuple[Plane, Plane, Plane]:
    """Amounts of hematoxylin, of eosin and of what neither explains, in optical density (natural logarithm)."""
    density = _DENSITY[np.ascontiguousarray(images)]
    r, g, b = density[..., 0], density[..., 1], density[..., 2]
    hematoxylin, eosin, rest = (r * a[0] + g * a[1] + b * a[2] for a in _UNMIXING.T)
    return hematoxylin, eosin, rest


def _unmixing() -> Plane:
    """float32 (3, 3): the inverse of the unit stain vectors, the third at right angles to the others."""
    h, e = (np.array(vector) / np.linalg.norm(vector) for vector in (_HEMATOXYLIN, _EOSIN))
    rest = np.cross(h, e)
    return np.linalg.inv(np.stack([h, e, rest / np.linalg.norm(rest)])).astype(np.float32)


_UNMIXING = _unmixing()


def _amounts(stain: str, plane: Plane, quantiles: tuple[int, ...]) -> Columns:
    """How much of a stain there is, and how unevenly."""
    pixels = np.sort(plane.reshape(len(plane), -1), axis=1)
    found = {f"amount: {stain}, mean": pixels.mean(axis=1), f"amount: {stain}, deviation": pixels.std(axis=1)}
    return found | {f"amount: {stain}, {q} % quantile": pixels[:, q * (pixels.shape[1] - 1) // 100] for q in quantiles}


def _correlation(a: Plane, b: Plane) -> NDArray[np.float32]:
    """Whether both stains lie at the same places, in [-1, 1]; 0 where either is flat."""
    a, b = a - _mean(a)[:, None, None], b - _mean(b)[:, None, None]
    return np.asarray(_mean(a * b) / (np.sqrt(_mean(a * a) * _mean(b * b)) + _FLAT**2))


def _gradients(where: str, plane: Plane, coherent: bool) -> Columns:
    """Logarithm of the root mean square gradient, and from 0 to 1 how far gradients share one direction."""
    a, b, c, d = plane[:, :-1, :-1], plane[:, :-1, 1:], plane[:, 1:, :-1], plane[:, 1:, 1:]
    # both at the middle of four pixels, so that no direction is preferred
    down, across = (c + d - a - b) * _HALF, (b + d - a - c) * _HALF
    yy, xx, xy = _mean(down * down), _mean(across * across), _mean(down * across)
    found = {f"energy: {where}": np.log(np.sqrt(xx + yy) + _FLAT)}
    if coherent:
        found[f"coherence: {where}"] = np.hypot(xx - yy, 2 * xy) / (xx + yy + _FLAT**2)
    return found


def _patterns(where: str, plane: Plane) -> Columns:
    """Square roots of the shares of pixels with 0 to 8 denser neighbours in one arc; the remaining pixels have several."""
    core = plane[:, 1:-1, 1:-1] + _FLAT
    code = np.zeros(core.shape, dtype=np.uint8)
    for bit, (y, x) in enumerate(_RING):
        neighbour = plane[:, 1 + y : 1 + y + core.shape[1], 1 + x : 1 + x + core.shape[2]]
        code |= (neighbour > core).astype(np.uint8) << np.uint8(bit)
    found = _LABEL[code].reshape(len(plane), -1) + 10 * np.arange(len(plane))[:, None]
    share = np.bincount(found.ravel(), minlength=10 * len(plane)).reshape(-1, 10) / found.shape[1]
    # the root makes equal steps of rare and of common patterns equally likely by chance (Hellinger)
    return {f"pattern: {where}, {n} of 8": np.sqrt(share[:, n]).astype(np.float32) for n in range(9)}


def _labels() -> NDArray[np.int64]:
    """int64 (256,): code of a ring -> neighbours set where they form one arc, 9 where they form several."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9)


_LABEL = _labels()


def _shrink(plane: Plane, factor: int) -> Plane:
    """Means of factor x factor blocks; rows and columns that fill no block are left out."""
    n, height, width = plane.shape
    down, across = height // factor, width // factor
    blocks = plane[:, : down * factor, : across * factor].reshape(n, down, factor, across, factor)
    return np.asarray(np.add.reduce(np.add.reduce(blocks, axis=4), axis=2) / np.float32(factor**2))


def _mean(plane: Plane) -> NDArray[np.float32]:
    return np.asarray(plane.reshape(len(plane), -1).mean(axis=1))


def measured_units(images: Images) -> dict[str, float]:
    """Family -> root mean square of its columns' standard deviations over the images: where `UNITS` come from."""
    spread = {name: values.std() for name, values in _describe(images).items()}
    families = {family: [s for name, s in spread.items() if name.startswith(family)] for family in UNITS}
    return {family: float(np.sqrt(np.mean(np.square(found)))) for family, found in families.items()}


if __name__ == "__main__":
    from bench import registry

    for family, unit in measured_units(registry.load("datasets", "phantom-cam16").split("train").images).items():
        sys.stdout.write(f"{family} {unit:.3f}\n")

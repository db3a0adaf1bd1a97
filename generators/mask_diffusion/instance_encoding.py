"""Instance encoding: layouts of nuclei as channels that a network can denoise, and the decoding of channels to layouts.

    channels 0 .. k-1   1 if the pixel is of that class, otherwise -1; channel 0 is "no nucleus"
    channels k, k+1     offset from the pixel down and right to the centre of its nucleus, in units of `REACH` pixels

With class channels only, touching nuclei of one type would merge. The offsets separate them: at a border they change from one
centre to the other, even for small nuclei. Distance maps of nuclei six pixels wide have no clear maxima, and a gap of one
pixel between nuclei is lost in noise. Decoding is a vote: each nucleus pixel votes for its centre, the maxima of the votes are
the nuclei, and the type of a nucleus is decided by all of its pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.histology.nuclei import UNLABELLED

REACH = 4.0
"""Pixels: about the radius of a nucleus, so that offsets have the same scale as the class channels."""
LEAST = 3
"""Pixels: smaller components are not decoded as nuclei."""
BLUR = 1.0
"""Pixels: standard deviation of the blur of the votes."""
SUMMIT = 5
"""Pixels: side of the square in which a maximum of the votes is the largest value."""
FEWEST = 0.3
"""Least value of a maximum: two pixels that agree (0.16 for each after the blur) are enough."""

Encoding = NDArray[np.float32]
"""float32 (n, k + 2, h, w)."""


def types_present(masks: NDArray[np.uint8], classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """bool (n, k - 1): which types of nuclei each map shows; class 0 is none, 255 is unknown."""
    return np.stack([(masks == value).any(axis=(1, 2)) for value in range(1, len(classes))], axis=1)


def encode(masks: NDArray[np.uint8], instances: NDArray[np.int32], classes: int) -> Encoding:
    """The instance encoding of type maps and instance maps, (n, h, w) each. Pixels that are not annotated are background."""
    nuclei = (instances > 0) & (masks > 0) & (masks != UNLABELLED)
    shown = np.where(nuclei, masks, 0)
    one_hot = np.where(shown[:, None] == np.arange(classes)[:, None, None], 1, -1)
    return np.concatenate([one_hot, _offsets(np.where(nuclei, instances, 0)) / REACH], axis=1).astype(np.float32)


def _offsets(instances: NDArray[np.int32]) -> NDArray[np.float64]:
    """float64 (n, 2, h, w): from each nucleus pixel to the centre of its nucleus, rows and columns; 0 elsewhere."""
    patch, *place = np.nonzero(instances)
    ids = instances[patch, place[0], place[1]].astype(np.int64)
    _, nucleus = np.unique(patch * (ids.max(initial=0) + 1) + ids, return_inverse=True)
    offsets = np.zeros((len(instances), 2, *instances.shape[1:]))
    for axis, at in enumerate(place):
        middles = np.bincount(nucleus, at) / np.bincount(nucleus)
        offsets[patch, axis, place[0], place[1]] = middles[nucleus] - at
    return offsets


def decode(encoding: Encoding) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Type maps uint8 and instance maps int32, (n, h, w) each: a nucleus is connected and of one type."""
    masks = np.zeros((len(encoding), *encoding.shape[2:]), dtype=np.uint8)
    instances = np.zeros(masks.shape, dtype=np.int32)
    for i, each in enumerate(encoding):
        voted = _vote(each[0] < 0, each[-2:] * REACH)
        instances[i] = _connect(voted)
        count = int(instances[i].max())
        sums = np.stack([np.bincount(instances[i].ravel(), channel.ravel(), count + 1) for channel in each[1:-2]])
        types = sums.argmax(axis=0) + 1
        types[0] = 0
        masks[i] = types[instances[i]]
    return masks, instances


def _vote(nuclei: NDArray[np.bool_], offsets: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 (h, w): for each nucleus pixel the number, from 1, of the maximum of votes nearest to its vote."""
    from scipy.ndimage import center_of_mass, gaussian_filter, label, maximum_filter
    from scipy.spatial import KDTree

    place = np.nonzero(nuclei)
    pointed = np.stack([at + offsets[axis][place] for axis, at in enumerate(place)], axis=1)
    pointed = np.clip(pointed, 0, np.array(nuclei.shape) - 1)
    votes = np.zeros(nuclei.shape)
    np.add.at(votes, tuple(np.rint(pointed).astype(np.int64).T), 1)
    votes = gaussian_filter(votes, BLUR, mode="constant")
    highest = (votes == maximum_filter(votes, SUMMIT)) & (votes >= FEWEST)
    flat, count = label(highest, np.ones((3, 3)))
    owner = np.zeros(nuclei.shape, dtype=np.int64)
    if count:
        maximums = np.array(center_of_mass(highest, flat, range(1, count + 1)))
        owner[place] = KDTree(maximums).query(pointed)[1] + 1
    return owner


def _connect(owner: NDArray[np.int64]) -> NDArray[np.int32]:
    """int32 (h, w): the largest connected component of each nucleus, renumbered from 1; small ones are dropped."""
    from scipy.ndimage import find_objects, label

    instances = np.zeros(owner.shape, dtype=np.int32)
    for number, box in enumerate(find_objects(owner), start=1):
        if box is None:
            continue
        pieces, _ = label(owner[box] == number, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() >= LEAST:
            instances[box][pieces == sizes.argmax() + 1] = instances.max() + 1
    return instances

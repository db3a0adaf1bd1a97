"""Nuclei by classical segmentation: hematoxylin, a threshold, and the watershed of the distance to the background.

    hematoxylin  of the stain vectors of Ruifrok and Johnston 2001, smoothed
    threshold    Otsu's (1979) of the tissue of the patch, and above the mean of its surroundings
    watershed    of the distance to the background and of hematoxylin, from the maxima of their sum (Meyer 1994)

Nothing is learned, so that it reads every stain and generator by the same rule. All constants are in microns, chosen on
the tuning sources of `benchmarks/nuclei_reading.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.histology.stain import optical_density

SMOOTHING = 0.15
"""Standard deviation of the smoothing of hematoxylin."""
TISSUE = 0.05
"""Optical density, mean over the channels and smoothed by `TISSUE_SMOOTHING`, above which there is tissue."""
TISSUE_SMOOTHING = 2.0
OTSU_SHARE = 0.85
"""A nucleus is above this share of Otsu's threshold."""
SURROUNDINGS, ABOVE = 25.0, 1.1
"""And above so many times the mean of its surroundings: a Gaussian window of this standard deviation."""
LEAST_CONTRAST = 0.01
"""Hematoxylin inside less that outside, mean over the patch, below which a patch has no nuclei but an even ground."""
HOLE = 30.0
"""Area of holes that are filled, µm²."""
APART = 2.0
"""Least distance of the centres of two nuclei."""
ROUNDNESS, CENTRE = 0.5, 1.5
"""Standard deviations of the smoothing of the distance to the background, and of hematoxylin, whose maxima are centres."""
LEAST_AREA = 7.0
"""Area below which there is no nucleus, µm²."""


def find_nuclei(image: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
    """int32 (h, w): the nucleus of each pixel of an image uint8 (h, w, 3) at `mpp` microns per pixel, 0 for none."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from skimage.color import rgb2hed
    from skimage.feature import peak_local_max
    from skimage.measure import label
    from skimage.segmentation import watershed

    raw = rgb2hed(image)[..., 0]
    inside = _threshold(gaussian_filter(raw, SMOOTHING / mpp), image, mpp)
    if not inside.any():
        return np.zeros(image.shape[:2], np.int32)
    inside = _fill(inside, HOLE / mpp**2)
    distance = gaussian_filter(distance_transform_edt(inside), ROUNDNESS / mpp)
    dark = gaussian_filter(raw, CENTRE / mpp)
    height = distance / distance.max() + dark / max(float(dark.max()), 1e-6)
    apart = max(1, round(APART / mpp))
    peaks = peak_local_max(height, min_distance=apart, labels=label(inside), exclude_border=False)
    centres = np.zeros(inside.shape, np.int32)
    centres[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = watershed(-height, centres, mask=inside)
    small = np.bincount(nuclei.ravel()) < LEAST_AREA / mpp**2
    return np.where(small[nuclei], 0, nuclei).astype(np.int32)


def _threshold(hematoxylin: NDArray[np.float64], image: NDArray[np.uint8], mpp: float) -> NDArray[np.bool_]:
    """bool (h, w): where there is as much hematoxylin as in nuclei."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    nothing = np.zeros(hematoxylin.shape, bool)
    tissue = gaussian_filter(optical_density(image).mean(axis=-1), TISSUE_SMOOTHING / mpp) > TISSUE
    if not tissue.any() or np.ptp(hematoxylin[tissue]) < 1e-6:  # one colour: Otsu's threshold does not exist
        return nothing
    inside = hematoxylin > OTSU_SHARE * threshold_otsu(hematoxylin[tissue])
    inside &= hematoxylin > ABOVE * gaussian_filter(hematoxylin, SURROUNDINGS / mpp)
    ground = tissue & ~inside
    if not inside.any() or not ground.any():
        return nothing
    contrast = hematoxylin[inside].mean() - hematoxylin[ground].mean()
    return np.asarray(inside if contrast >= LEAST_CONTRAST else nothing)


def _fill(inside: NDArray[np.bool_], largest: float) -> NDArray[np.bool_]:
    """The pixels, and those of holes of at most this many pixels."""
    from scipy.ndimage import binary_fill_holes, label

    holes, _ = label(binary_fill_holes(inside) & ~inside)
    sizes = np.bincount(holes.ravel())
    sizes[0] = inside.size + 1
    return np.asarray(inside | (sizes[holes] <= largest))

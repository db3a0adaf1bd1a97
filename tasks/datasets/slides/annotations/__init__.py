"""Regions that people drew on slides: files of the usual programs, and their rasterisation at any resolution. Coordinates are
pixels of level 0, the first pixel from 0 to 1. Which labels mean which class, and in which order they lie over each other,
is the data set's business."""

from __future__ import annotations

from tasks.datasets.slides.annotations.files import Annotations, load_annotations, read_annotations
from tasks.datasets.slides.annotations.polygons import Region
from tasks.datasets.slides.annotations.raster import rasterise

__all__ = ["Annotations", "Region", "load_annotations", "rasterise", "read_annotations"]

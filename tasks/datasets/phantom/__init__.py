"""Procedural tissue, the embedded data: tissue layouts, rendering of stained images, and the datasets."""

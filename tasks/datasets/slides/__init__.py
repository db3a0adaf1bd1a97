"""Whole slides: reading at any resolution, tissue, label slides, annotations, and a phantom of slides. Nothing here knows a
data set's layout or splits, and nothing here writes patches."""

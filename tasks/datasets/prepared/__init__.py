"""Patches that were cut from whole slides, with their maps and an index: how they are written, and the dataset of them."""

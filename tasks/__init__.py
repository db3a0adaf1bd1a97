"""Downstream tasks: a model is trained on a mix of real and synthetic patches and scored on real test patches.

One package a family: config.py (every number), task.py (the plug-in), scores.py (counts and measures); training.py holds what
they share. Datasets are in tasks/datasets, experiments in tasks/experiments. Nothing here generates images.
"""

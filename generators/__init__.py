"""Generators: one package a model family, and single files for controls and for images made elsewhere.

A family has adapter.py (options, files, keys), config.py (every number), model.py (training and sampling) and networks.py. It
enters through the entry points `bench.generators` and `bench.layout_generators`. Nothing here measures images, and nothing
imports metrics, tasks or leaderboards.
"""

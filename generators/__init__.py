"""Generators: one package a model family, and single files for controls and for images made elsewhere.

A family has adapter.py (options, files, keys), config.py (every number), model.py (training and sampling) and networks.py. It
is registered under the entry points `bench.generators` and `bench.layout_generators`. Nothing here measures images or imports
metrics, tasks or leaderboards.
"""

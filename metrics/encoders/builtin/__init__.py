"""Encoders that need no download: colour, texture, a random network, and a small one whose weights ship here (weights/).

Encoders with weights of others belong to metrics/encoders/loaders and the table in panel.py.
"""

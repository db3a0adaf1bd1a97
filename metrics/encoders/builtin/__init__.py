"""Encoders that need no download: colour, texture, a random network, and a small one whose weights ship here (weights/).

Encoders with published weights belong to metrics/encoders/loaders and the table in panel.py.
"""

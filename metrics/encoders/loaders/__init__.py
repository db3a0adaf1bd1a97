"""Loaders of published weights: one module for each library, none named like the library that it wraps.

The encoders and their sources are listed in metrics/encoders/panel.py only.
"""

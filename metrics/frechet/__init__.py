"""Frechet distances between features: as published, and extrapolated to infinitely many patches.

Other distances between distributions have files and folders of their own.
"""

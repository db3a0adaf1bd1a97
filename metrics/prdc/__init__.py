"""Precision, recall, density and coverage: one file each on one computation of nearest neighbours (manifold.py).

Metrics that need no neighbours do not belong here.
"""

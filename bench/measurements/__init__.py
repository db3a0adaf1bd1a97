"""Measurements, one file for each kind: the records they plan, the jobs they need, and the computation."""

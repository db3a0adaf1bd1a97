"""Measurements, one file for each kind: which records they plan, which jobs they need, how they compute."""

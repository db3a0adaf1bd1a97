"""Suites: lists of runs in TOML, and the code that runs a suite as one graph of jobs."""

"""Suites: lists of runs in TOML, and the code that runs one as a single graph of jobs."""

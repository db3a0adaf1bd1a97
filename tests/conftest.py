"""Tests that run side by side (`pytest -n auto`) take one thread each: two processes with two threads each on two cores are
several times slower. Set here because it counts only before torch and numpy are imported; processes that tests start inherit it."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

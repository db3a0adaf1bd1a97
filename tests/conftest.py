"""Tests that run side by side (`pytest -n auto`) use one thread each.

Two processes with two threads each on two cores are several times slower. The variables are set here because they have an
effect only before torch and numpy are imported. Processes that tests start inherit them.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

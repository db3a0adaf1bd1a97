"""Environment of the tests: threads, and the signal of Ctrl-C.

Tests that run side by side (`pytest -n auto`) use one thread each: two processes with two threads each on two cores are much
slower. The variables are set here because they have an effect only before torch and numpy are imported. Processes that
tests start inherit them.
"""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # as under `nohup ... &`: processes that tests start would ignore the interrupt that they are sent
    signal.signal(signal.SIGINT, signal.default_int_handler)

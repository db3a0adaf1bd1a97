"""Limits of this process under which libraries do not fail but never return."""

from __future__ import annotations

from bench.errors import RefusedError

LEAST_ADDRESS_SPACE = 10**9
"""Bytes of virtual memory that the commands need. With less OpenBLAS asks for its buffers again and again, without end, and no
signal of this process ends it."""


def check_address_space() -> None:
    """RefusedError under `ulimit -v` of less than `LEAST_ADDRESS_SPACE`. There is no such limit on Windows."""
    try:
        import resource
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise RefusedError(
            f"this process may use {limit // 10**6} MB of virtual memory (ulimit -v), and needs "
            f"{LEAST_ADDRESS_SPACE // 10**6}. Raise the limit: ulimit -v unlimited. To limit what is really used, use a "
            "control group."
        )

"""Refuses to start if one of the top-level packages of this project is hidden by another one.

`metrics`, `tasks` and `generators` are common names: a folder of that name in the current directory or another
distribution would shadow ours, and the error would come much later, far from the cause.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.errors import UsageError

OUR_PACKAGES = ("generators", "metrics", "tasks", "leaderboards")


def check() -> None:
    """Raises UsageError with the foreign folder; imports nothing."""
    home = Path(__file__).resolve().parents[2]
    for package in OUR_PACKAGES:
        spec = importlib.util.find_spec(package)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent.parent != home:
            found = origin.parent if origin else "nothing" if spec is None else "a folder without __init__.py"
            raise UsageError(
                f"the package {package!r} of histobench is hidden: {found} is found instead of {home / package}. "
                "Run from another directory, or uninstall the other package."
            )

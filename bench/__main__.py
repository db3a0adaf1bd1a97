"""The command `bench`, also `python -m bench`, as launchers of several processes start it."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Starts the command. Ctrl-C while it is imported, before anything was done, ends with its exit code too."""
    try:
        from bench.cli import main as command
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()

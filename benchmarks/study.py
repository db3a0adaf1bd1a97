"""A simulation of many settings: each is kept as one line as soon as it is known, so that an interrupted one goes on."""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

S = TypeVar("S")
F = TypeVar("F")


@dataclass(frozen=True)
class Study(Generic[S, F]):
    """What is simulated, where it is kept, and the page that shows it. Settings and findings are frozen dataclasses."""

    module: str
    """Run as `python -m MODULE run|page`."""
    kept: Path
    """A .jsonl file."""
    setting: type[S]
    finding: type[F]
    settings: Callable[[], Iterable[S]]
    simulate: Callable[[S], F]
    said: Callable[[F], str]
    """A finding in a few words."""
    write: Callable[[dict[S, F]], None]
    """Writes the page."""

    def held(self) -> dict[S, F]:
        """What was simulated before."""
        lines = [json.loads(text) for text in self.kept.read_text().splitlines()] if self.kept.exists() else []
        return {self.setting(**line["setting"]): self.finding(**line["finding"]) for line in lines}

    def run(self, only: str) -> None:
        """Simulates what is missing, of the settings whose words contain `only`."""
        known = self.held()
        for setting in self.settings():
            words = json.dumps(_plain(setting))
            if setting in known or only not in words:
                continue
            finding = self.simulate(setting)
            with self.kept.open("a") as out:
                out.write(json.dumps({"setting": _plain(setting), "finding": _plain(finding)}, allow_nan=False) + "\n")
            sys.stderr.write(f"{words}: {self.said(finding)}\n")

    def main(self) -> None:
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}")
        parser.add_argument("what", choices=("run", "page"))
        parser.add_argument("--only", default="", help="settings whose words contain this, e.g. '\"slides\": 40'")
        asked = parser.parse_args()
        if asked.what == "run":
            self.run(asked.only)
        else:
            self.write(self.held())


def seeded(setting: Any) -> np.random.Generator:
    """Seeded by a checksum of the setting's words, so that settings can be run one by one."""
    return np.random.default_rng(zlib.crc32(json.dumps(_plain(setting)).encode()))


def _plain(held: Any) -> dict[str, Any]:
    return asdict(held)

"""Weights that ship with the package: finds the folder for a training config and a training set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import CorruptError
from bench.provenance.digests import digest_of

SHIPPED = Path(__file__).parents[1] / "weights"


def find_shipped(name: str, training_config: dict[str, Any], train_key: str) -> Path | None:
    """The folder inside the package whose `<name>.manifest.json` has this training config and this training set, or None.

    Raises CorruptError if its files do not have the digests of the manifest.
    """
    for manifest in sorted(SHIPPED.glob(f"*/{name}.manifest.json")):
        held = json.loads(manifest.read_text(encoding="utf-8"))
        if held["train_key"] == train_key and held["training_config"] == json.loads(json.dumps(training_config)):
            for file, digest in held["files"].items():
                if digest_of(manifest.parent / file) != digest:
                    raise CorruptError(f"{manifest.parent / file} is damaged: reinstall histobench, or run with --fit.")
            return manifest.parent
    return None

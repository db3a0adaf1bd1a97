"""Weights that ship with the package: finds the folder for a training config and a training set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import CorruptError, MissingError
from bench.files.regular import describe_fault
from bench.pipeline.training import read_weights_manifest
from bench.provenance.digests import digest_of

SHIPPED = Path(__file__).parents[1] / "weights"
ADVICE = "reinstall histobench, or run with --fit."


def find_shipped(name: str, training_config: dict[str, Any], train_key: str) -> Path | None:
    """The folder inside the package whose `<name>.manifest.json` has this training config and this training set, or None.

    Raises CorruptError if a manifest is damaged, or files do not have the digests of theirs.
    """
    for manifest in sorted(SHIPPED.glob(f"*/{name}.manifest.json")):
        try:
            held = read_weights_manifest(manifest)
        except MissingError as error:
            raise CorruptError(f"{error} It came with the package: {ADVICE}") from error
        if held["train_key"] == train_key and held["training_config"] == json.loads(json.dumps(training_config)):
            for file, digest in held["files"].items():
                if describe_fault(manifest.parent / file) or digest_of(manifest.parent / file) != digest:
                    raise CorruptError(f"{manifest.parent / file} is damaged: {ADVICE}")
            return manifest.parent
    return None

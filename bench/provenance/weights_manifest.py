"""The manifest beside exported weights: training set, training config, command, and digests of the files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from bench.files.text import write_text
from bench.pipeline.data import Patches
from bench.pipeline.training import training_config, weight_files
from bench.provenance.digests import digest_of
from bench.results.schema import stamp
from bench.runtime.refusals import refusals_named
from bench.types import Fittable


def deliver(plugin: Fittable, weights: Path, train: Patches, seed: int, command: str, folder: Path) -> Path:
    """Copies the weights into `folder` and writes `<name>.manifest.json` there; returns the manifest's path.

    Variants that share a file (a first stage) may be saved into one folder if its bytes are the same.
    """
    files = [weights / name for name in weight_files(weights, plugin.card.name)]
    with refusals_named(f"cannot write weights to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            _copy(file, folder / file.name)
    card = plugin.card
    manifest = {
        "name": card.name,
        "version": card.version,
        "training_config": training_config(plugin),
        "train_key": train.key,
        "train": {"patches": len(train), "slides": len(set(train.conditions.groups.tolist())), "size": train.conditions.size},
        "fit_seed": seed,
        "command": command,
        "files": {file.name: digest_of(file) for file in files},
        "stamp": stamp(),
    }
    path = folder / f"{card.name}.manifest.json"
    with refusals_named(f"cannot write {path}"):
        write_text(path, json.dumps(manifest, indent=1) + "\n")
    return path


def _copy(file: Path, target: Path) -> None:
    """Copies a file beside the target first, so that a full disk leaves no half of it."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(file, fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)

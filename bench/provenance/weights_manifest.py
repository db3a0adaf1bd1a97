"""The manifest beside fitted weights: what they were fitted on, with what training config, by which command, and their digests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.cache import digest_of, write_text
from bench.results.schema import stamp
from bench.steps import Weights, training_config, weight_files
from bench.types import Fittable, ImageSet


def deliver(plugin: Fittable, weights: Weights, train: ImageSet, seed: int, command: str, folder: Path) -> Path:
    """Copies the weights into `folder` and writes `<name>.manifest.json` there; returns the manifest's path.

    Variants that share a file (a first stage) may be delivered into one folder as long as its bytes are the same.
    """
    assert weights.folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    files = [weights.folder / name for name in weight_files(weights.folder, plugin.card.name)]
    for file in files:
        shutil.copyfile(file, folder / file.name)
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
    write_text(path, json.dumps(manifest, indent=1) + "\n")
    return path

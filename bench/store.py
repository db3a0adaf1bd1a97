"""Image sets on disk: one .npy a column, memory-mapped when read."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Conditions, ImageSet, Prompts

_FIXED = ("classes", "size", "mpp")


def save_set(patches: ImageSet, folder: Path) -> None:
    """Writes images, every present column and `set.json`."""
    np.save(folder / "images.npy", patches.images)
    conditions = patches.conditions
    for name in ("ids", "groups", *sorted(conditions.columns() - {"prompts"})):
        np.save(folder / f"{name}.npy", getattr(conditions, name))
    held: dict[str, Any] = {"key": patches.key, **{name: getattr(conditions, name) for name in _FIXED}}
    if conditions.prompts is not None:
        held["prompt_source"] = conditions.prompts.prompt_source
        for name in ("canvases", "boxes", "sources"):
            np.save(folder / f"prompts-{name}.npy", getattr(conditions.prompts, name))
    (folder / "set.json").write_text(json.dumps(held))


def load_set(folder: Path) -> ImageSet:
    """Reads what `save_set` wrote; arrays are memory-mapped and read-only."""
    held = json.loads((folder / "set.json").read_text())

    def column(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r")

    skipped = {*_FIXED, "prompts"}
    optional = [f.name for f in fields(Conditions) if f.name not in skipped and (folder / f"{f.name}.npy").exists()]
    prompts = None
    if "prompt_source" in held:
        parts = (column(f"prompts-{name}") for name in ("canvases", "boxes", "sources"))
        prompts = Prompts(held["prompt_source"], *parts)
    conditions = Conditions(
        **{name: column(name) for name in optional},
        classes=tuple(held["classes"]),
        size=held["size"],
        mpp=held["mpp"],
        prompts=prompts,
    )
    return ImageSet(held["key"], column("images"), conditions)

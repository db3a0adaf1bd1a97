"""A run with its store that tests of `bench verify` tamper with, and what they read off the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.jobs.arrays import open_array, write_array
from bench.jobs.entries import seal
from bench.jobs.store import EntryRef, Store
from bench.provenance.digests import digest_of, digest_of_patch, root_digest
from bench.results import schema
from tests.small_run import bench


@dataclass(frozen=True)
class Place:
    """A run and the store that it was made with, free to be tampered with."""

    folder: Path
    home: Path

    def verify(self, *words: object, home: Path | None = None) -> tuple[int, dict[str, Any]]:
        done = bench("verify", self.folder, "--json", *words, home=home or self.home)
        found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"message": done.stderr}
        return done.exit_code, found

    def manifest(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes the manifest, and lists the files of the folder as they are now."""
        file = self.folder / "manifest.json"
        held = json.loads(file.read_text())
        change(held)
        held["files"] = {name: digest_of(self.folder / name) for name in held["files"]}
        file.write_text(json.dumps(held))

    def entry(self, kind: str, key: str, name: str, change: Callable[[np.ndarray], None]) -> None:  # type: ignore[type-arg]
        """Changes an array in the store, and its checksums with it."""
        folder = self.home / kind / key
        spec = json.loads((folder / "entry.json").read_text())["spec"]
        if name.endswith(".npy"):
            values = np.load(folder / name)
            change(values)
            np.save(folder / name, values)
        else:
            values = np.array(open_array(Store(self.home), EntryRef(kind, key), name))
            change(values)
            shutil.rmtree(folder / name)
            write_array(folder, name, values, len(values))
        seal(folder, spec)

    def listed(self, generator: str = "blur", seed: int = 0) -> dict[str, Any]:
        """What the store says of a generated set: shards, and the digest of each patch."""
        found: dict[str, Any] = json.loads((self.home / "samples" / self.key(generator, seed) / "samples.json").read_text())
        return found

    def patches(self, change: Callable[[np.ndarray], None]) -> None:  # type: ignore[type-arg]
        """Changes what the store holds of the patches of blur with seed 0."""
        kind, key = self.listed()["shards"][0]
        self.entry(kind, key, "images", change)

    def record(self, number: int, **change: object) -> None:
        records = list(schema.read([self.folder / "results.jsonl"]))
        records[number] = replace(records[number], **change)  # type: ignore[arg-type]
        schema.write(records, self.folder / "results.jsonl")

    def key(self, generator: str = "blur", seed: int = 0) -> str:
        held = json.loads((self.folder / "manifest.json").read_text())
        return str(next(e["key"] for e in held["samples"] if (e["generator"], e["seed"]) == (generator, seed)))

    def recorded_otherwise(self, by: int, row: int = 0) -> str:
        """As if one patch of blur had been generated otherwise by so many levels: in store, patches.csv and manifest."""

        def shift(images: np.ndarray) -> None:  # type: ignore[type-arg]
            images[row] = np.where(images[row] > 127, images[row] - by, images[row] + by)

        self.patches(shift)
        ids, (kind, key) = list(self.listed()["patches"]), self.listed()["shards"][0]
        images = np.asarray(open_array(Store(self.home), EntryRef(kind, key), "images"))
        listed = {name: digest_of_patch(image) for name, image in zip(ids, images, strict=True)}
        rows = (self.folder / "patches.csv").read_text().splitlines()
        rows = [
            f"blur,0,test,{n},{listed[n]}" if r.startswith(f"blur,0,test,{n},") else r for r in rows for n in [r.split(",")[3]]
        ]
        (self.folder / "patches.csv").write_text("\n".join(rows) + "\n")
        self.manifest(lambda held: held["samples"][0].update(digest=root_digest(listed)))
        return str(ids[row])


def failing(found: dict[str, Any]) -> list[str]:
    return [check["what"] for check in found["checks"] if check["outcome"] == "fails"]


def message(found: dict[str, Any], what: str) -> list[tuple[str, str]]:
    return [(check["outcome"], check["message"]) for check in found["checks"] if check["what"] == what]


def moved(held: dict[str, Any]) -> None:
    """As if the run had been made with another numpy."""
    held["environment"]["versions"]["numpy"] = "0.1"

"""Are the nuclei where the map has them? The four questions of NASDM's reader study, answered by a network.

A reference segmenter, trained on real training slides only, finds nuclei in a generated patch. They are compared with the
nuclei of its map. Reference segmenters make errors on real patches too, so the harness adds the ratio of every measure to its
value on real test patches: 1 is as faithful as real tissue.

    nuclei-missed      share of the nuclei of the map that are not found (the readers' "missing nuclei")
    nuclei-excess      share of found nuclei that are not in the map
    nuclei-wrong-type  share of matched nuclei whose found type differs from that of the map
    nuclei-shift       mean distance between the outlines of matched nuclei, pixels
    nuclei-kept        F1 of the nuclei of the map and the found ones, where a match needs the right type

Nuclei of the map and found nuclei match one to one if their centres lie within 3 microns
(`bench.histology.nuclei.match_near`). All are pooled over patches. Both are cut to annotated pixels; found nuclei with less
than half of their area there are left out, unless that part is the partner of a nucleus of the map
(`bench.histology.nuclei.drop_ignored`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.errors import UsageError
from bench.histology import nuclei
from bench.jobs.store import key_of
from bench.messages import needed
from bench.types import Card, Conditions, Direction, ImageSet, Progress, SegmentsNuclei, Tally

COLUMNS = ("asked", "found", "matched", "right", "shift")
Sums = Mapping[str, float]


class NucleiFaithfulness:
    """Uses the model of the task `segmenter`, trained for `steps` steps or for its default number."""

    card = Card(
        "nuclei-faithfulness",
        "2",
        "Nuclei that a segmenter trained on real slides finds in generated patches, compared with their maps.",
        licence="Apache-2.0",
        source="the reader study of Shrivastava and Fletcher 2023 (NASDM++), answered by HoVer-Net (Graham and others 2019)",
        cost="one training of the reference segmenter, then one pass over the patches",
        needs=("masks", "instances"),
        sees=("nuclei-kept:nuclei-removed", "nuclei-missed:nuclei-removed"),
        notes="As accurate as its reference segmenter: read the ratios to real patches. It can be fooled by nuclei that a "
        "segmenter accepts and a pathologist does not.",
    )
    directions: Mapping[str, Direction] = {
        "nuclei-kept": "higher",
        "nuclei-missed": "lower",
        "nuclei-excess": "lower",
        "nuclei-wrong-type": "lower",
        "nuclei-shift": "lower",
    }

    def __init__(self, segmenter: str = "lizard-nuclei", steps: int | None = None) -> None:
        self.segmenter = segmenter
        if steps is not None and steps < 1:
            raise UsageError(f"nuclei-faithfulness: steps is a count of at least 1, not {steps}.")
        self.steps = steps

    @property
    def digest(self) -> str:
        """Digest of the task of the reference segmenter. UsageError if that task does not segment nuclei."""
        return key_of(registry.describe(self._task()))

    def learn(self, train: ImageSet, validation: ImageSet, seed: int, progress: Progress, folder: Path) -> None:
        """Trains the reference segmenter on real patches."""
        self._task().learn([train], validation, seed, progress, folder)

    def agree(self, patches: ImageSet, segmenter: Path) -> Tally:
        """Counts of each patch: nuclei of the map, found, matched, matched with the right type; summed outline shifts."""
        conditions = patches.conditions
        needed(self.card.name, "masks", conditions.masks)
        needed(self.card.name, "instances", conditions.instances)
        instances, types = self._task().segment(segmenter, patches.images)
        counts = [count_nuclei(conditions, i, instances[i], types[i]) for i in range(len(patches))]
        return self.tally(np.array(counts, dtype=np.float64).reshape(-1, len(COLUMNS)))

    def tally(self, counts: NDArray[np.float64]) -> Tally:
        """The counts with their measures, as the head of this file defines them."""
        measures = {
            "nuclei-kept": _kept,
            "nuclei-missed": _missed,
            "nuclei-excess": _excess,
            "nuclei-wrong-type": _wrong,
            "nuclei-shift": _shift,
        }
        return Tally(COLUMNS, counts, measures, {"nuclei-shift": (0.0, None)})

    def _task(self) -> SegmentsNuclei:
        task = registry.load("tasks", self.segmenter, **({} if self.steps is None else {"steps": self.steps}))
        if not isinstance(task, SegmentsNuclei):
            raise UsageError(f"{self.card.name}: the task {self.segmenter} does not segment nuclei; lizard-nuclei does.")
        return task


def count_nuclei(
    conditions: Conditions, row: int, found: NDArray[np.int32], types: NDArray[np.uint8]
) -> tuple[float, float, float, float, float]:
    """The columns of one patch from the nuclei found in it, int32 (h, w) with their types uint8 (h, w)."""
    assert conditions.masks is not None and conditions.instances is not None
    truth = np.asarray(conditions.masks[row])
    unknown = truth == nuclei.UNLABELLED
    asked = nuclei.renumber(np.where(unknown, 0, np.asarray(conditions.instances[row])))
    seen = nuclei.drop_ignored(found, asked, ~unknown)
    pairs = nuclei.match_near(nuclei.centroids(asked), nuclei.centroids(seen), nuclei.reach(conditions.mpp))
    wanted = nuclei.majority(asked, np.where(unknown, 0, truth).astype(np.uint8))
    given = nuclei.majority(seen, types)
    right = int((wanted[pairs[:, 0]] == given[pairs[:, 1]]).sum())
    shift = float(nuclei.outline_distances(asked, seen, pairs).sum())
    return int(asked.max(initial=0)), int(seen.max(initial=0)), len(pairs), right, shift


def _kept(sums: Sums) -> float:
    total = sums["asked"] + sums["found"]
    return 2 * sums["right"] / total if total else math.nan


def _missed(sums: Sums) -> float:
    return 1 - sums["matched"] / sums["asked"] if sums["asked"] else math.nan


def _excess(sums: Sums) -> float:
    if not sums["asked"] and not sums["found"]:
        return math.nan
    return 1 - sums["matched"] / sums["found"] if sums["found"] else 0.0  # nothing found: nothing in excess, all is missed


def _wrong(sums: Sums) -> float:
    return 1 - sums["right"] / sums["matched"] if sums["matched"] else math.nan


def _shift(sums: Sums) -> float:
    return sums["shift"] / sums["matched"] if sums["matched"] else math.nan

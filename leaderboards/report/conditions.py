"""Generators side by side on one condition: real patch, map, crops, and what every generator made of it. No markup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.histology.pictures import ScaleBar

ROWS = 4
CRISP = 200
"""Patches with fewer pixels a side are enlarged without smoothing."""


@dataclass(frozen=True)
class Row:
    """One condition; a picture for each head, empty where there is none."""

    name: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class SideBySide:
    """The generators of one data set and prompt source."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    classes: tuple[tuple[str, str], ...]
    """(colour, name) of each class of the maps; none without maps."""
    bar: ScaleBar | None
    """None where the resolution is not known."""
    size: int

    @property
    def crisp(self) -> bool:
        return self.size < CRISP


def line_up(exhibits: Sequence[Mapping[str, Any]]) -> tuple[SideBySide, ...]:
    """`exhibits`: of the gallery. The conditions that most generators of a data set and prompt source have in common."""
    places: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for exhibit in exhibits:
        places[exhibit["dataset"], exhibit["promptSource"]].append(exhibit)
    prompted = {dataset for dataset, source in places if source != "none"}
    made = []
    for (dataset, source), own in places.items():
        if source == "none" and dataset in prompted:
            continue  # these stand beside the generators that are shown crops
        everyone = [*own, *(places.get((dataset, "none"), []) if source != "none" else [])]
        made.append(_side_by_side(dataset, source, everyone))
    return tuple(made)


def _side_by_side(dataset: str, source: str, exhibits: Sequence[Mapping[str, Any]]) -> SideBySide:
    by_id: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for number, exhibit in enumerate(exhibits):
        for patch in exhibit["patches"]:
            if patch["spread"]:
                by_id[patch["id"]][number] = patch
    chosen = sorted(by_id.items(), key=lambda item: -len(item[1]))[:ROWS]
    shared = [
        kind for kind in ("real", "map", "prompt") if any(kind in p["images"] for _, own in chosen for p in own.values())
    ]
    rows = []
    for name, own in chosen:
        common = [next((p["images"][kind] for p in own.values() if kind in p["images"]), "") for kind in shared]
        theirs = [own[i]["images"]["generated"] if i in own else "" for i in range(len(exhibits))]
        rows.append(Row(name, (*common, *theirs)))
    first = exhibits[0]
    title = dataset if source == "none" else f"{dataset}, prompts from: {source}"
    heads = (
        *({"real": "real patch", "map": "map", "prompt": "crops"}[kind] for kind in shared),
        *(e["generator"] for e in exhibits),
    )
    classes = tuple(map(tuple, first["classes"])) if "map" in shared else ()
    bar = ScaleBar(*first["bar"]) if first["bar"] else None
    return SideBySide(title, heads, tuple(rows), classes, bar, first["size"])

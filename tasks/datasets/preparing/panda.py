"""PANDA: prostate biopsies of two centres with label slides.

    ROOT/train_images/<id>.tiff   ROOT/train_label_masks/<id>_mask.tiff   ROOT/train.csv (image_id, data_provider)

The labels of the two centres do not mean the same. Radboud: 0 background, 1 stroma, 2 benign epithelium, 3 to 5 Gleason
patterns. Karolinska: 0 background, 1 benign tissue, stroma among it, 2 cancer.
"""

from __future__ import annotations

from pathlib import Path

from bench.errors import MissingError
from bench.files.regular import is_there
from tasks.datasets.index import read_table, some
from tasks.datasets.preparing.slide_list import MapRule, SlideList, SlideSource, read_manifest, slides_below

MAPPINGS: dict[str, tuple[tuple[str, ...], dict[str, tuple[int, ...]]]] = {
    "apart": (("background", "stroma", "benign", "cancer"), {"radboud": (0, 1, 2, 3, 3, 3), "karolinska": (0, 2, 3)}),
    "paper": (("background", "stroma", "epithelium"), {"radboud": (0, 1, 2, 2, 2, 2), "karolinska": (0, 1, 2)}),
}
"""Name -> classes, and for each centre the class of each label."""
NOTES = {
    "apart": "Karolinska's benign tissue, which includes stroma, is benign; stroma is of Radboud alone",
    "paper": "labels 3 and above are merged into 2 for both centres, whatever they mean",
}
NO_PATIENTS = "train.csv names no patients: two biopsies of one man may be in different splits"


def list_slides(root: Path, mapping: str = "apart") -> SlideList:
    """The slides of a copy of the release. MissingError where it has not the layout."""
    classes, labels = MAPPINGS[mapping]
    removed: dict[str, str] = read_manifest("panda")["removed"]
    rows = read_table(
        root / "train.csv", ("image_id", "data_provider"), "PANDA also has train_images/ and train_label_masks/."
    )
    providers = {row["image_id"]: row["data_provider"] for row in rows}
    if strange := sorted({name for name in providers.values() if name not in labels}):
        raise MissingError(f"{root / 'train.csv'} has the data_provider {some(strange)}; known are {', '.join(labels)}.")
    found = slides_below(root / "train_images")
    slides, exclusions = [], []
    for name, path in sorted(found.items()):
        mask = next((p for p in _masks(root, name) if is_there(p)), None)
        if name in removed:
            exclusions.append((name, removed[name]))
        elif name not in providers:
            exclusions.append((name, "train.csv does not list it"))
        elif mask is None:
            exclusions.append((name, "it has no label slide"))
        else:
            map_rule = MapRule(labels=labels[providers[name]])
            slides.append(SlideSource(name, path, map_rule, centre=providers[name], labels=mask))
    missing = len(providers.keys() - found.keys())
    notes = (NOTES[mapping], NO_PATIENTS, *([f"{missing} slides of train.csv are not in train_images"] if missing else []))
    return SlideList(f"panda, mapping {mapping}", classes, tuple(slides), tuple(exclusions), notes)


def _masks(root: Path, name: str) -> list[Path]:
    return [root / "train_label_masks" / f"{name}_mask{suffix}" for suffix in (".tiff", ".tif")]

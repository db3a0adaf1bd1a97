"""What is to be cut: slides with their annotations, slides that are left out, and how annotations become classes."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import MissingError
from bench.files.regular import is_folder, list_folder, read_bytes, read_text
from bench.messages import printable
from bench.types import NOT_ANNOTATED
from tasks.datasets.index import some

MANIFESTS = Path(__file__).parents[1] / "manifests"
SLIDES = frozenset({".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide"})
"""File names that OpenSlide reads."""


@dataclass(frozen=True)
class MapRule:
    """How the annotation of a slide becomes a class map."""

    regions: Mapping[str, int] = field(default_factory=dict)
    """Of polygons: label -> class, 255 for not annotated, from the lowest to the one that lies over all others."""
    outside: int = NOT_ANNOTATED
    """The class of what no polygon covers."""
    margin: float = 0.0
    """Microns around polygons that are of the class `around`, where `outside` is not annotated."""
    around: int = NOT_ANNOTATED
    labels: tuple[int, ...] = ()
    """Of a label slide: the class of each label, 255 for not annotated. A label that is not listed is damage."""
    tissue: bool = False
    """Whether nothing is annotated, and the map is 1 on tissue and 0 on glass."""

    def described(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "regions": dict(self.regions), "labels": list(self.labels)}


@dataclass(frozen=True)
class SlideSource:
    """One slide and what is known of it; texts are empty where nothing is."""

    slide: str
    path: Path
    map_rule: MapRule
    case: str = ""
    patient: str = ""
    centre: str = ""
    split: str = ""
    annotation: Path | None = None
    """A file with polygons; None where nothing is outlined, and all is `map_rule.outside`."""
    labels: Path | None = None
    """A label slide, instead of polygons."""

    def __post_init__(self) -> None:
        """MissingError where the name cannot be written to a file."""
        try:
            f"{self.slide}{self.path.name}".encode()
        except UnicodeEncodeError as error:
            raise MissingError(f"the name of the slide {printable(self.path)} is not UTF-8. Rename the file.") from error

    @property
    def unit(self) -> str:
        """The sampling unit: the patient, else the case, else the slide."""
        return self.patient or self.case or self.slide

    def described(self) -> dict[str, Any]:
        """As JSON, with the sizes and dates of the large files and the content of the annotation."""
        texts = {name: getattr(self, name) for name in ("slide", "case", "patient", "centre", "split")}
        files = [stamp_of(path) for path in (self.path, self.labels) if path is not None]
        outlined = hashlib.sha256(read_bytes(self.annotation, "annotation")).hexdigest() if self.annotation else ""
        return {**texts, "files": files, "annotation": outlined, "map_rule": self.map_rule.described()}


@dataclass(frozen=True)
class SlideList:
    """All slides of a source."""

    source: str
    classes: tuple[str, ...]
    slides: tuple[SlideSource, ...]
    exclusions: tuple[tuple[str, str], ...]
    """(slide, reason)."""
    notes: tuple[str, ...] = ()
    """What was assumed, for people and for the manifest."""


def stamp_of(path: Path) -> list[Any]:
    """Name, size and time of a file too large to be hashed on each start. MissingError where there is none."""
    try:
        status = path.stat()
    except OSError as error:
        raise MissingError(f"no file {path}: {error.strerror}.") from error
    return [path.name, status.st_size, status.st_mtime_ns]


def read_manifest(name: str) -> dict[str, Any]:
    """A list of slides that this package brings."""
    return tomllib.loads(read_text(MANIFESTS / f"{name}.toml", "list of slides"))


def slide_name(text: str) -> str:
    """The name of a slide from a table, where its file name may stand. Other dots, as in the names of TCGA, belong to it."""
    name = Path(text).name
    return Path(name).stem if Path(name).suffix.lower() in SLIDES else name


def slides_below(folder: Path, needed: bool = True) -> dict[str, Path]:
    """Stem -> slide, of the slides in a folder. MissingError where there is none, or two have one name."""
    if not is_folder(folder):
        if needed:
            raise MissingError(f"no folder {folder}.")
        return {}
    found: dict[str, list[Path]] = {}
    for path in sorted(list_folder(folder)):
        if path.suffix.lower() in SLIDES and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    if twice := [paths for paths in found.values() if len(paths) > 1]:
        raise MissingError(f"two slides have one name: {some([str(path) for path in twice[0]])}. Keep one.")
    if needed and not found:
        raise MissingError(f"{folder} holds no slide ({', '.join(sorted(SLIDES))}).")
    return {stem: paths[0] for stem, paths in found.items()}


def check_splits(slides: Sequence[SlideSource]) -> None:
    """MissingError where a patient or a case is in two splits."""
    for name in ("patient", "case"):
        homes: dict[str, set[str]] = {}
        for plan in slides:
            if unit := getattr(plan, name):
                homes.setdefault(unit, set()).add(plan.split)
        if torn := sorted(unit for unit, splits in homes.items() if len(splits) > 1):
            raise MissingError(f"{len(torn)} values of {name} are in two splits: {some(torn)}. All slides of one go together.")

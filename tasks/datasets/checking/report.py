"""What a folder holds and lacks, as one report, as lines of text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingError
from bench.files.regular import is_folder, list_folder
from bench.messages import listed_names
from tasks.datasets.checking.finding import Report
from tasks.datasets.checking.nuclei import READERS, check_nuclei
from tasks.datasets.checking.region import check_region
from tasks.datasets.folder import Folder
from tasks.datasets.importing import layouts, writing
from tasks.datasets.importing.pairing import ImportOptions

SHOWN_FAULTS = 30


def check_folder(folder: Path, size: int | None, mpp: float | None) -> Report:
    """The report of a folder. Raises MissingError where there is none."""
    if not is_folder(folder):
        return _foreign(folder)
    if reader := next((name for name, each in READERS.items() if each.recognises(folder)), ""):
        return check_nuclei(folder, reader, size, mpp)
    if Folder.recognises(folder) and _has_ids(folder):
        report = check_region(folder, size, mpp)
        if not report.images:  # the index does not name the files as they are called: an import may understand it
            report.commands += _foreign(folder).commands
        return report
    return _foreign(folder)


def _has_ids(folder: Path) -> bool:
    """Whether the index has the column that makes a data folder of it."""
    from tasks.datasets.index import read_table

    try:
        return "id" in read_table(folder / "index.csv", (), "")[0]
    except MissingError:
        return True  # damaged: the report says how


def _foreign(folder: Path) -> Report:
    """The report of a folder, or a table, that no run reads."""
    found = layouts.recognise(folder) if is_folder(folder) or folder.is_file() else {}
    if not found:
        if not is_folder(folder):
            raise MissingError(f"no folder {folder}. Give the folder of images and maps.")
        kinds = sorted({path.suffix.lower() or "folders" for path in list_folder(folder)})
        return Report(
            str(folder),
            "none that is known",
            faults=[f"{folder} holds {listed_names(kinds) or 'nothing'}, and none of the layouts of docs/data.md"],
        )
    out = folder.resolve().with_name(f"{folder.resolve().stem}-data")
    report = Report(str(folder), " or ".join(f"{name}: {text}" for name, text in found.items()))
    for name in found:
        options = ImportOptions(folder, out, layout=name if len(found) > 1 else "")
        try:
            pairing = layouts.LAYOUTS[name].open_pairing(options)
        except BenchError as error:
            report.faults.append(str(error))
            continue
        report.commands.append(writing.command_line(options))
        report.images = report.images or len(pairing.items)
        report.faults += pairing.unpaired.values()
    report.faults.append("no run reads this layout: import it")
    return report


def to_json(report: Report) -> dict[str, Any]:
    """The report, JSON-able."""
    return {**asdict(report), "runnable": report.runnable}


def lines_of(report: Report) -> list[str]:
    """The report as text."""
    made = [f"folder: {report.folder}", f"layout: {report.layout}"]
    made += [f"images: {report.images}"] if report.images else []
    made += (
        [f"sizes: {listed_names((f'{size} px ({count})' for size, count in report.sizes.items()), 6)}"] if report.sizes else []
    )
    made += [f"microns per pixel: {report.mpp}"] if report.mpp else []
    for each in report.classes:
        name = f"class {each.number} {each.name}"
        made.append(f"{name}: {each.share:.1%} of annotated pixels, in {each.shown}{_kept(each.patches)}")
    made += [f"not annotated: {report.not_annotated:.1%} of pixels"] if report.classes else []
    made += [f"{name}: {text}" for name, text in report.sampling.items()]
    made += [f"{name}: {text}" for name, text in report.patches.items()]
    made += [f"note: {text}" for text in report.notes]
    made += [f"wrong: {text}" for text in report.faults[:SHOWN_FAULTS]]
    if len(report.faults) > SHOWN_FAULTS:
        made.append(f"wrong: {len(report.faults) - SHOWN_FAULTS} more (--json lists them all)")
    made.append("runnable: yes" if report.runnable else "runnable: no")
    made += [f"next: {command}" for command in report.commands]
    return made


def _kept(patches: dict[str, int]) -> str:
    if not patches:
        return ""
    return "; patches by its share: " + ", ".join(f"{share} {count}" for share, count in patches.items())

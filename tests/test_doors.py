"""What has one door is done nowhere else: printing, opening images, writing CSV, reading a config."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "generators", "metrics", "tasks", "leaderboards")
DOORS = {
    "click.echo": {"bench/messages.py"},
    "print": {
        "bench/messages.py",
        "bench/results/terminal.py",  # a table whose entries are printable
        "bench/jobs/progress.py",
        "bench/jobs/collective.py",
    },
    "Console": {"bench/results/terminal.py", "bench/jobs/progress.py"},
    "Image.open": {
        "bench/files/image_files.py",
        "generators/corruptions/pixels.py",  # what it has just compressed itself, in memory
    },
    "csv.writer": {"bench/provenance/manifest.py"},
    "csv.DictWriter": {"bench/pipeline/exporting.py"},
}
"""Call -> the modules that may make it."""


def calls(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("call", DOORS)
def test_calls_are_made_at_their_doors_alone(call: str) -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = {file.relative_to(ROOT).as_posix() for file in files if call in calls(file)}
    assert found == DOORS[call]


def test_names_from_files_are_checked_where_they_are_read() -> None:
    """Every reader of a manifest's config gives the plug-in files that the user allows."""
    for file in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        assert "RunConfig.from_json" not in file.read_text(encoding="utf-8") or file.relative_to(ROOT).as_posix() in (
            "bench/config.py",
            "bench/provenance/manifest.py",
            "bench/provenance/manifest_schema.py",  # looks at types alone, and gives the config to nobody
        )

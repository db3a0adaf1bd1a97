"""The notebook of the docs runs as it stands, and prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs/first-steps.ipynb"
NUMBER = re.compile(r"[\d.]+(?:e-\d+)?")


def printed(cell: dict[str, Any]) -> str:
    """What a cell writes to stdout and what its last line is, numbers left out: they differ in their last digits."""
    texts = [
        out.get("text", "") if out.get("name") == "stdout" else out.get("data", {}).get("text/plain", "")
        for out in cell["outputs"]
    ]
    return re.sub(r"\s+", " ", NUMBER.sub("#", "".join(texts)))


def test_the_notebook_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    shown, run = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    nbclient.NotebookClient(run, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pairs = [
        (printed(one), printed(other)) for one, other in zip(shown.cells, run.cells, strict=True) if one.cell_type == "code"
    ]
    assert sum(bool(text) for text, _ in pairs) > 6
    assert [text for text, _ in pairs] == [text for _, text in pairs]
    assert (tmp_path / "page/index.html").is_file()

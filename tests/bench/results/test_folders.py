"""Whether a folder for results can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench.results import folders


def test_a_folder_that_another_run_removes_while_it_is_tested_is_tested_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, removed = tmp_path / "out", tempfile.TemporaryFile, []

    def remove_first(dir: Path) -> Any:
        if not removed:
            removed.append(dir)
            dir.rmdir()
        return real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", remove_first)
    folders.check_writable(place, "--out")
    assert removed == [place] and not place.exists()

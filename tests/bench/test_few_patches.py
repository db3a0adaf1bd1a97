"""Fewer patches than an encoder has features: what stands in a table where a Fréchet distance cannot be had."""

from __future__ import annotations

from pathlib import Path

from bench.config import METRICS
from tests.small_run import SMALL, run


def test_other_distances_are_shown_and_the_reason_stands_once(tmp_path: Path) -> None:
    """24 patches, an encoder of 128 features, the metrics that are measured where nobody names any."""
    words = [
        "-g",
        "flat-colour",
        "-t",
        "cam16-seg",
        "--no-downstream",
        "-e",
        "random-conv",
        "--controls",
        "noise",
        "-m",
        ",".join(METRICS),
    ]
    folder = run(*words, *SMALL, "--seeds", "0", home=tmp_path / "home", out=tmp_path / "out")
    lines = (folder / "table.txt").read_text().splitlines()
    shown = [line.split()[0] for line in lines if " random-conv " in line and "[" in line]
    assert shown == ["mind", "kid", "cmmd", "precision", "recall"]
    [note] = [line for line in lines if "skipped" in line]
    assert "fd, fd-lower-reference, fd-normalised, fd-pca16 of random-conv" in note and "fd needs 129 for 128 columns" in note

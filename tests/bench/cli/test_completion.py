"""Completion in a shell, as click's script asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bench ru", {"run"}),
        ("bench run -g ldm", {"ldm-embed", "ldm-prompt", "ldm-semantic"}),
        ("bench run -e texture,phikon", {"texture,phikon", "texture,phikon-v2"}),
        ("bench run -e embedd", {"embedded"}),
        ("bench run -m map", {"map-faithfulness"}),
        ("bench run --controls noise,re", {"noise,real"}),
        ("bench fit -t liz", {"lizard-nuclei"}),
        ("bench run --dataset phantom-p", {"phantom-panda"}),
        ("bench info nuclei", {"nuclei-faithfulness", "nuclei-folder", "nuclei-removed"}),
        ("bench check nasdm", {"nasdm", "nasdm-masks"}),
    ],
)
def test_names_are_completed(words: str, expected: set[str]) -> None:
    given = {**os.environ, "_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv[0] = 'bench'; from bench.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected, done.stderr

"""Image files are opened in the formats that are read, whatever Pillow knows besides."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import mock
from bench.errors import BenchError, MissingError
from bench.files.image_files import FORMATS, open_image
from bench.registry import load
from bench.types import Dataset
from generators.image_folder import Folder

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `gs` that leaves a file behind if it is started."""
    trace, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho started >> "{trace}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return trace


def test_pillow_starts_the_interpreter_where_nothing_forbids_it(tmp_path: Path, interpreter: Path) -> None:
    """What the next tests rule out would be seen."""
    (tmp_path / "x.png").write_bytes(EPS)
    with pytest.raises(OSError), Image.open(tmp_path / "x.png") as picture:
        picture.load()
    assert interpreter.is_file()


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_postscript_with_the_name_of_an_image_starts_no_program(tmp_path: Path, interpreter: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(EPS)
    with pytest.raises((OSError, MissingError)):
        open_image(file).load()
    assert not interpreter.exists()


def test_no_reader_of_images_starts_a_program(tmp_path: Path, interpreter: Path) -> None:
    data = tmp_path / "data"
    for place in ("images", "masks", "out/samples"):
        (data / place).mkdir(parents=True)
        (data / place / "a.png").write_bytes(EPS)
    (data / "index.csv").write_text("id\na\n")
    dataset: Dataset = load("datasets", f"folder:{data}", size=32)
    with pytest.raises(BenchError, match="a.png"):
        dataset.split("train")
    with pytest.raises(MissingError, match="is no PNG"):
        Folder(data / "out").generate(replace(mock(32)[:1].conditions, ids=np.array(["a"])), np.zeros(1, np.uint64))
    assert not interpreter.exists()

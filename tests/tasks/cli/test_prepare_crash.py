"""Slides that crash the library that reads them cost themselves alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from tasks.datasets.slides.phantom_files import write_pyramid
from tests.processes import marked
from tests.tasks.datasets.importing.sources import feature, square

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")

LIBRARY = """
import os, signal, time
import openslide
class Crashing(openslide.OpenSlide):
    def __init__(self, path):
        super().__init__(path)
        self.harm = os.environ["HARM"] if "bad" in str(path) else ""
    def read_region(self, *words):
        if self.harm == "wait":
            time.sleep(60)
        elif self.harm == "exit":
            os._exit(0)
        elif self.harm:
            os.kill(os.getpid(), signal.Signals[self.harm])
        return super().read_region(*words)
openslide.OpenSlide = Crashing
"""
"""In place of a library with a fault: what a process imports first replaces OpenSlide."""


def slides(folder: Path) -> Path:
    """Three slides of 256 px of tissue, the second of which harms its reader."""
    for i, name in enumerate(("a", "bad", "c")):
        pixels = np.random.default_rng(i).integers(90, 170, (256, 256, 3), np.uint8)
        pixels[..., 1] //= 2
        write_pyramid(folder / "slides" / f"{name}.tiff", pixels, mpp=1)
        features = [feature("a", [square(0, 0, 256)]), feature("b", [square(100, 100, 100)])]
        (folder / "slides" / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (folder / "first").mkdir()
    (folder / "first/sitecustomize.py").write_text(LIBRARY)
    return folder


def command(folder: Path, workers: int, *words: str) -> list[str]:
    small = ["--size", "32", "--mpp", "1", "--patches", "all", "--classes", "a=a,b=b", "--workers", str(workers)]
    paths = ["--root", str(folder / "slides"), "--out", str(folder / "out")]
    return [sys.executable, "-m", "bench", "prepare", "slides", *paths, *small, *words]


def environment(folder: Path, harm: str, **more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(folder / "first"), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "BENCH_HOME": str(folder / "home"), "PYTHONPATH": path, "HARM": harm, **more}


def prepare(folder: Path, harm: str, workers: int, *words: str) -> subprocess.CompletedProcess[str]:
    given = environment(folder, harm)
    return subprocess.run(command(folder, workers, *words), env=given, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("harm", "workers"),
    [
        pytest.param("SIGSEGV", 1, marks=pytest.mark.slow),
        pytest.param("SIGABRT", 1, marks=pytest.mark.slow),
        ("SIGABRT", 2),
        ("exit", 1),
    ],
)
def test_a_slide_that_crashes_its_reader(tmp_path: Path, harm: str, workers: int) -> None:
    folder = slides(tmp_path)
    done = prepare(folder, harm, workers)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    ended = "exit code 0" if harm == "exit" else harm
    assert f"reading the slide {folder / 'slides/bad.tiff'} has ended its process ({ended})" in done.stderr
    assert "1 slides cannot be prepared; the others are done and kept" in done.stderr and "--skip-damaged" in done.stderr
    again = prepare(folder, harm, workers, "--skip-damaged")
    assert again.returncode == 0 and "Traceback" not in again.stderr, again.stderr
    held = json.loads((folder / "out/dataset.json").read_text())
    assert sorted(held["described"]["slides"]) == ["a", "c"] and "bad.tiff" in json.dumps(held["exclusions"])
    shutil.rmtree(folder / "out")
    sound = prepare(folder, "", workers)
    assert sound.returncode == 0 and sound.stderr.count("patches of") == 1, "only the slide that was left out is read"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_reader_ends_with_the_command(tmp_path: Path, number: signal.Signals) -> None:
    folder, mark = slides(tmp_path), f"mark-{uuid.uuid4()}"
    process = subprocess.Popen(command(folder, 1), env=environment(folder, "wait", MARK=mark), stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while not list((folder / "home").glob("slides/*")) and time.monotonic() < began + 60:
        time.sleep(0.1)
    time.sleep(1.5)  # in the second slide
    process.send_signal(number)
    process.wait(timeout=30)
    while marked(mark) and time.monotonic() < began + 90:
        time.sleep(0.1)
    assert not marked(mark)

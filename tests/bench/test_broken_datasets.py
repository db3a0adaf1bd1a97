"""A broken dataset, on which everything is measured: the run ends with exit code 2 and one message that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import small_run
from tests.bench.broken_plugins import WORKING

DATASET = (
    WORKING
    + """
from dataclasses import replace

from bench import registry
from bench.types import Conditions


class Data:
    card = Card("data", "1", "A dataset that works.")
    provides = ("masks",)

    def __init__(self):
        self._phantom = registry.load(
            "datasets", "phantom-cam16", train_slides=6, validation_slides=2, test_slides=6, per_slide=4
        )

    def split(self, name):
        return self._phantom.split(name)

    def change(self, name, **columns):
        made = self._phantom.split(name)
        return replace(made, conditions=replace(made.conditions, **columns))


class DataTask(Task):
    embedded = __file__ + ":Data"
"""
)
SPLITS = {
    "None_": ("None", "gave NoneType, not an ImageSet"),
    "Raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "Exits": ("sys.exit(0)", "SystemExit: 0"),
    "Interrupts": ("(_ for _ in ()).throw(KeyboardInterrupt())", "KeyboardInterrupt"),
    "Floats": ("replace(self._phantom.split(name), images=self._phantom.split(name).images / 255)", "images is float64"),
    "Grey": (
        "replace(self._phantom.split(name), images=self._phantom.split(name).images[..., 0])",
        "images is uint8 (24, 64, 64)",
    ),
    "Few": (
        "replace(self._phantom.split(name), images=self._phantom.split(name).images[1:])",
        "images is uint8 (23, 64, 64, 3)",
    ),
    "Wide": ("self.change(name, masks=self._phantom.split(name).conditions.masks.astype(np.int64))", "masks is int64"),
    "Rows": ("self.change(name, masks=self._phantom.split(name).conditions.masks[1:])", "masks is uint8 (23, 64, 64)"),
    "Values": ("self.change(name, masks=self._phantom.split(name).conditions.masks + np.uint8(99))", "classes beyond the 2"),
    "Size": ("self.change(name, size='64')", "size is '64'"),
    "Mpp": ("self.change(name, mpp='1')", "mpp is '1'"),
    "Ids": ("self.change(name, ids=np.arange(24))", "ids is int64 (24,)"),
    "Same": ("self.change(name, ids=np.array(['a'] * 24))", "two patches have the same id"),
    "Groups": ("self.change(name, groups=self._phantom.split(name).conditions.groups[1:])", "groups is <U"),
    "Lists": ("self.change(name, groups=self._phantom.split(name).conditions.groups.tolist())", "groups is list"),
}
OTHERS = {
    "DInit": ("def __init__(self):\n        raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "DExit": ("def __init__(self):\n        sys.exit(0)", "SystemExit: 0"),
    "DDigest": ("@property\n    def digest(self):\n        raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "DProvides": ("provides = None", "is not iterable"),
    "DKey": ("digest = b'bytes'", "TypeError"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("datasets") / "data.py"
    text = DATASET
    for name, (value, _) in SPLITS.items():
        text += f"\n\nclass {name}(Data):\n    def split(self, name):\n        return {value}\n"
    for name, (body, _) in OTHERS.items():
        text += f"\n\nclass {name}(Data):\n    {body}\n"
    for name in [*SPLITS, *OTHERS, "Absent"]:
        text += f"\n\nclass Of{name}(Task):\n    embedded = __file__ + ':{name}'\n"
    path.write_text(text)
    return path


def run(broken: Path, task: str, out: Path) -> tuple[int, str]:
    words = ["run", "-g", "noise", "-t", f"{broken}:{task}", "--no-downstream", "-e", "texture", "-m", "kid", "--seeds", "0"]
    done = small_run.bench(*words, "--out", out, home=broken.parent / "home")
    return done.exit_code, done.stderr


def test_a_dataset_from_a_file_works(broken: Path, tmp_path: Path) -> None:
    code, stderr = run(broken, "DataTask", tmp_path)
    assert code == 0, stderr


@pytest.mark.parametrize("name", [*SPLITS, *OTHERS])
def test_a_broken_dataset_is_named(broken: Path, tmp_path: Path, name: str) -> None:
    code, stderr = run(broken, f"Of{name}", tmp_path)
    reason = {**SPLITS, **OTHERS}[name][1]
    assert code == 2 and reason in stderr and f"data.py:{name}" in stderr, stderr
    assert not list(tmp_path.rglob("*")), "no folder of results is left"


def test_a_dataset_that_does_not_exist_is_named(broken: Path, tmp_path: Path) -> None:
    code, stderr = run(broken, "OfAbsent", tmp_path)
    assert code == 2 and "no plug-in class 'Absent'" in stderr

"""The text of a new plug-in: a package of two files that works as it is and passes `bench check`."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from bench import registry
from bench.errors import UsageError
from bench.messages import shorten

LONGEST_NAME = 80

PYPROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "A generator for histobench"
requires-python = ">=3.11"
dependencies = ["histobench", "numpy"]

[project.entry-points."bench.generators"]
$name = "$module:$klass"

[tool.hatch.build.targets.wheel]
only-include = ["$module.py"]
""")

GENERATOR = Template('''\
"""A generator to start from: each class in a colour of its own, with grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.messages import needed
from bench.types import GREY, NOT_ANNOTATED, Card, Conditions, Images


class $klass:
    """Put your model in `generate`. Load weights at first use there: constructors are cheap."""

    card = Card(
        name="$name",
        version="1",  # raise it with every change that changes an image
        summary="Each class in a colour of its own, with grain.",
        source="the paper or repository that defines it",
        needs=("masks",),  # add "prompts" for a crop of tissue per class
    )

    def __init__(self, grain: float = 12.0) -> None:
        if not grain > 0:
            raise UsageError(f"$name: grain is a positive number of grey values, not {grain}.")
        self.grain = grain

    def generate(self, conditions: Conditions, seeds: NDArray[np.uint64]) -> Images:
        """uint8 (n, size, size, 3). Image i depends on condition i and seed i alone."""
        masks = needed(self.card.name, "masks", conditions.masks)
        colours = np.full((NOT_ANNOTATED + 1, 3), float(GREY))  # maps hold 0..k-1, and NOT_ANNOTATED where nobody knows
        colours[: len(conditions.classes)] = np.linspace((230, 180, 210), (120, 60, 140), len(conditions.classes))
        images = np.empty((len(conditions), conditions.size, conditions.size, 3), dtype=np.uint8)
        for i, seed in enumerate(seeds.tolist()):
            grain = np.random.default_rng(seed).normal(0, self.grain, images[i].shape)
            images[i] = np.clip(colours[masks[i]] + grain, 0, 255)
        return images
''')


def write_generator(name: str, parent: Path) -> Path:
    """Writes the package of a new generator into a new folder under `parent`; returns its module."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"a plug-in's name is small letters, digits and single hyphens, as in my-gan, at most {LONGEST_NAME} of them, not "
            f"{shorten(name)!r}."
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise UsageError(f"{name!r} is a word of Python itself: choose another name.")
    if name in registry.names("generators"):
        raise UsageError(f"a generator called {name!r} is installed already: choose another name.")
    present = importlib.util.find_spec(module)
    if present is not None and present.origin is not None:
        raise UsageError(f"Python already has a module {module!r} ({present.origin}): choose another name.")
    folder = parent / module
    if folder.exists():
        raise UsageError(f"{folder} exists already: nothing is overwritten. Choose another name or --dir.")
    folder.mkdir(parents=True)
    words = {"name": name, "module": module, "klass": "".join(part.capitalize() for part in name.split("-"))}
    (folder / "pyproject.toml").write_text(PYPROJECT.substitute(words), encoding="utf-8")
    (folder / f"{module}.py").write_text(GENERATOR.substitute(words), encoding="utf-8")
    return folder / f"{module}.py"

"""Writes the package of a new plug-in: a module and a `pyproject.toml` with its entry point."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from bench import registry
from bench.errors import UsageError
from bench.files.names import find_fault
from bench.messages import shorten

LONGEST_NAME = 80
WORDS = {
    "generator": "generators",
    "metric": "metrics",
    "encoder": "encoders",
    "task": "tasks",
    "dataset": "datasets",
    "layout": "layout_generators",
}
"""What `bench new` calls each kind of plug-in."""


def write_plugin(word: str, name: str, parent: Path) -> Path:
    """Writes the package of a new plug-in into a new folder under `parent`; returns its module. `word` is one of `WORDS`.

    Raises UsageError if the name would not work as a plug-in, a module and a folder on every system, if something has it
    already, or if the folder cannot be made.
    """
    kind = WORDS[word]
    module = _check_name(kind, name)
    folder = parent / module
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already: nothing is overwritten. Choose another name or --dir.")
    words = {
        "name": name,
        "module": module,
        "klass": "".join(part.capitalize() for part in name.split("-")),
        "kind": kind,
        "word": "layout generator" if word == "layout" else word,
        "article": "an" if word == "encoder" else "a",
    }
    try:
        folder.mkdir(parents=True)
        for template, file in ((f"{word}.template", f"{module}.py"), ("pyproject.template", "pyproject.toml")):
            text = Path(__file__).with_name(template).read_text(encoding="utf-8")
            (folder / file).write_text(Template(text).substitute(words), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--dir {shorten(parent, 300)}: {folder} cannot be written: {error.strerror or error}.") from error
    return folder / f"{module}.py"


def _check_name(kind: str, name: str) -> str:
    """The module of a plug-in with this name. Raises UsageError if there can be none."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"a plug-in's name is small letters, digits and single hyphens, as in my-gan, at most {LONGEST_NAME} of them, not "
            f"{shorten(name)!r}."
        )
    module = name.replace("-", "_")
    if fault := find_fault(name):
        raise UsageError(f"{name!r} {fault}, where a folder cannot have that name: choose another name.")
    if keyword.iskeyword(module):
        raise UsageError(f"{name!r} is a word of Python itself: choose another name.")
    if (known := registry.canonical_name(kind, name)) in registry.names(kind):
        raise UsageError(
            f"a {kind.removesuffix('s').replace('_', ' ')} called {known!r} is installed already: choose another name."
        )
    present = importlib.util.find_spec(module)
    if present is not None and present.origin is not None:
        raise UsageError(f"Python already has a module {module!r} ({present.origin}): choose another name.")
    return module

"""Digests of the code of plug-ins from outside: their file and the local modules that it imports.

A module is local if it is in the folder of the file or below, or elsewhere on `sys.path` but in no folder of installed
packages, and is not part of this project. Import statements are followed everywhere, in functions too. A module that is only
named in a call (`importlib.import_module`) is not found.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import UsageError
from bench.runtime.import_guard import OUR_PACKAGES

OURS = ("bench", *OUR_PACKAGES)
INSTALLED = ("site-packages", "dist-packages")
ATTRIBUTE = "__histobench_source__"
"""Attribute of a module: the digest of its file and of the local modules that it imports."""

Files = dict[str, Path]
"""Name of a module -> its file; for a folder without `__init__.py`, the folder."""


def find_imports(file: Path, name: str = "") -> Files:
    """The local modules that a file imports, directly or through others. `name` is what the file itself is imported as, for
    imports that are relative to its package; empty for a file that stands alone."""
    depth = name.count(".") + (file.name == "__init__.py") if name else 0
    roots = [file.resolve().parents[depth], *_search_path()]
    found: Files = {}
    todo = [(name, file)]
    while todo:
        importer, path = todo.pop()
        for wanted in _imported_names(path, importer):
            for module, where in _locate(wanted, roots):
                if module not in found and module != name:
                    found[module] = where
                    todo += [(module, where)] if where.is_file() else []
    return dict(sorted(found.items()))


def digest(file: Path, modules: Mapping[str, Path]) -> str:
    """20 hex digits that stand for the content of a file and of the modules that it imports."""
    total = hashlib.sha256()
    for name, path in (("", file), *modules.items()):
        if path.is_file():  # a folder without __init__.py has no content of its own
            total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:20]


def describe(cls: type[Any]) -> dict[str, str]:
    """What distinguishes a class from outside from another with the same card: its name and its code. Empty for classes of
    this project, which have versions.

    An installed class is identified by the version of its distribution. A class in no folder of installed packages (an
    editable installation, a file) is identified by the digest of its file and of the local modules that it imports.
    """
    if cls.__module__.partition(".")[0] in OURS:
        return {}
    module = sys.modules[cls.__module__]
    if source := getattr(module, ATTRIBUTE, ""):
        named = cls.__qualname__ if module.__name__.startswith(PREFIX) else f"{cls.__module__}:{cls.__qualname__}"
        return {"class": named, **_version(module), "source": source}
    text = {"class": f"{cls.__module__}:{cls.__qualname__}", **_version(module)}
    file = _file_of(module)  # a session at a prompt has none
    if file is None or not file.is_file() or _is_installed(file):
        return text
    setattr(module, ATTRIBUTE, digest(file, find_imports(file, module.__name__)))  # once: the code in memory does not change
    return {**text, "source": getattr(module, ATTRIBUTE)}


PREFIX = "bench_plugin_"
_LOADED: dict[str, tuple[str, Path]] = {}
"""Name of a local module -> digest of the content that is in memory, and its file."""


def load(file: Path) -> ModuleType:
    """The module of a plug-in file, under a name that depends on the file and its content. It is executed again only if the
    file or a local module that it imports has changed. Modules beside the file can be imported.

    Raises UsageError if one of them has the name of another module that is already imported.
    """
    file = file.resolve()
    modules = find_imports(file)
    source = digest(file, modules)
    name = f"{PREFIX}{file.stem}_{hashlib.sha256(f'{file} {source}'.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    _offer(file, modules)
    spec = importlib.util.spec_from_file_location(name, file, loader=_Exact(name, str(file)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, ATTRIBUTE, source)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Exact(importlib.machinery.SourceFileLoader):
    """Compiles the present content of the file: cached bytecode is keyed by second and size, which an edit may keep."""

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Beside(importlib.abc.MetaPathFinder):
    """Finds the modules beside plug-in files."""

    def __init__(self) -> None:
        self.files: Files = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = self.files.get(fullname)
        if file is None:
            return None
        if file.is_dir():
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(file)]
            return spec
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _Exact(fullname, str(file))
        return importlib.util.spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inside)


_BESIDE = _Beside()


def _offer(file: Path, modules: Files) -> None:
    """Makes the modules beside a plug-in file importable, and removes those from `sys.modules` whose content has changed."""
    beside = {name: path for name, path in modules.items() if path.is_relative_to(file.parent)}
    for name, path in beside.items():
        known = _file_of(sys.modules[name]) if name in sys.modules else _BESIDE.files.get(name)
        if known is not None and known != path:
            raise UsageError(
                f"{file} imports {name} from {path}, but {name} was imported from {known} before. "
                "Rename one of the two modules, or make two runs."
            )
    content = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in beside.items() if path.is_file()}
    if any(_LOADED.get(name, (held, path))[0] != held for name, held in content.items() for path in (beside[name],)):
        for name in beside:  # all of them: an unchanged module may hold references to a changed one
            sys.modules.pop(name, None)
    _LOADED.update({name: (held, beside[name]) for name, held in content.items()})
    _BESIDE.files.update(beside)
    if _BESIDE not in sys.meta_path:
        sys.meta_path.insert(0, _BESIDE)


def _file_of(module: ModuleType) -> Path | None:
    """Of a folder without `__init__.py` the folder."""
    if found := getattr(module, "__file__", None):
        return Path(found).resolve()
    inside = list(getattr(module, "__path__", ()))
    return Path(inside[0]).resolve() if inside else None


def _imported_names(file: Path, name: str) -> Iterator[str]:
    """Every module that the import statements of a file may mean, as a dotted name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # the import itself raises the error
        return
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(package):
                continue  # beyond its package, or in a file that has none: Python refuses it
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _locate(wanted: str, roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The local modules along a dotted name, with their files; the last part may be a name in a module."""
    parts = wanted.split(".")
    if parts[0] in OURS or parts[0] in sys.stdlib_module_names or _is_among_installed(parts[0]):
        return
    for root in (*roots, *_editable(parts[0])):
        if _module_file(root / parts[0]) is None:
            continue
        for depth in range(1, len(parts) + 1):
            if (found := _module_file(root.joinpath(*parts[:depth]))) is None:
                return
            yield ".".join(parts[:depth]), found.resolve()
        return


def _editable(name: str) -> list[Path]:
    """The folder of a module that an editable installation provides by a finder of its own, not by `sys.path`."""
    try:
        found = importlib.util.find_spec(name)
    except ValueError:  # a module that was put together at run time
        return []
    file = Path(found.origin) if found is not None and found.origin else None
    if file is None or not file.is_file() or _is_installed(file):
        return []
    return [file.resolve().parents[file.name == "__init__.py"]]


def _module_file(path: Path) -> Path | None:
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return path if path.is_dir() else None


def _search_path() -> list[Path]:
    """The entries of `sys.path` without installed packages and without the standard library."""
    library = Path(importlib.__file__ or "").resolve().parents[1]
    places = [Path(entry).resolve() for entry in sys.path if entry is not None]
    return [p for p in places if p.is_dir() and not _is_installed(p) and not p.is_relative_to(library)]


def _is_installed(path: Path) -> bool:
    return any(part in INSTALLED for part in path.parts)


def _is_among_installed(name: str) -> bool:
    places = [entry for entry in sys.path if _is_installed(Path(entry))]
    found = importlib.machinery.PathFinder.find_spec(name, places)
    return found is not None and found.origin is not None


def _version(module: ModuleType) -> dict[str, str]:
    """Name and version of the distribution of a module; empty if it has none."""
    held = None if module.__name__.startswith(PREFIX) else _distribution(module.__name__.partition(".")[0])
    return {"distribution": f"{held.name} {held.version}"} if held else {}


@cache
def _distribution(package: str) -> Distribution | None:
    """By entry points first: an editable installation need not list its modules."""
    for held in distributions():
        for entry in held.entry_points:
            if entry.group.startswith("bench.") and entry.value.partition(":")[0].partition(".")[0] == package:
                return held
    try:
        return distribution(packages_distributions()[package][0])
    except (KeyError, PackageNotFoundError):
        return None

"""The digest of the code that a number depends on, by which stored results of older code are recognised."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "benchmarks", "generators", "leaderboards", "metrics", "tasks")
DECLARING = ("bench.types", "bench.errors")
"""Modules of declarations and errors, which calculate nothing and are not followed."""
UNREAD = ("ctx", "kind", "type_comment")
"""Fields of a syntax tree that do not affect what is calculated."""


def source_digest(*roots: Callable[..., Any]) -> str:
    """Twelve hexadecimal digits of the source of functions and classes, and of every definition of the project that they
    reach by name.

    Comments, docstrings, cards, layout, the order of definitions and their module do not enter, nor do definitions that are
    not reached, nor members of enumerations that nothing reached names: only code that can change a number changes its
    digest. Values that are looked up in other ways than by name (entry points, `getattr` with a variable) are not found.
    """
    todo = [(root.__module__, root.__qualname__) for root in roots]
    found: dict[tuple[str, str], list[ast.stmt]] = {}
    while todo:
        place = todo.pop()
        if place in found:
            continue
        found[place] = _read(place[0]).definitions[place[1]]
        todo += [other for node in found[place] for other in _reached(node, place[0])]
    nodes = [node for place in found.values() for node in place]
    named = {part.attr for node in nodes for part in _parts(node) if isinstance(part, ast.Attribute)}
    spelled = ("\n".join(_spelled(_named_members(node, named)) for node in place) for place in found.values())
    return hashlib.sha256("\n".join(sorted(spelled)).encode()).hexdigest()[:12]


def _named_members(node: ast.stmt, named: set[str]) -> ast.stmt:
    """An enumeration without the members of other names; any other statement as it is."""
    if not isinstance(node, ast.ClassDef) or not any(ast.unparse(base).endswith("Enum") for base in node.bases):
        return node
    kept = [part for part in node.body if not isinstance(part, ast.Assign) or named & set(_defined(part))]
    return ast.ClassDef(node.name, node.bases, node.keywords, kept, node.decorator_list)


@dataclass(frozen=True)
class _Module:
    definitions: dict[str, list[ast.stmt]]
    """Name -> the statements at the top of the module that define it."""
    imports: dict[str, tuple[str, str]]
    """Name -> module of the project and name there; an empty name stands for the module itself."""


@cache
def _read(name: str) -> _Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    definitions: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for defined in _defined(node):
            definitions.setdefault(defined, []).append(node)
    imports: dict[str, tuple[str, str]] = {}
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom) and part.module and _is_ours(part.module):
            for alias in part.names:
                whole = f"{part.module}.{alias.name}"
                place = ROOT / whole.replace(".", "/")
                is_module = place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
                imports[alias.asname or alias.name] = (whole, "") if is_module else (part.module, alias.name)
        elif isinstance(part, ast.Import):
            imports.update({alias.asname: (alias.name, "") for alias in part.names if alias.asname and _is_ours(alias.name)})
    return _Module(definitions, imports)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


def _reached(node: ast.stmt, module: str) -> Iterator[tuple[str, str]]:
    """Module and name of each definition that the statement names."""
    read = _read(module)
    for part in _parts(node):
        if isinstance(part, ast.Name) and part.id in read.definitions:
            yield module, part.id
        elif isinstance(part, ast.Name) and part.id in read.imports:
            yield from _resolved(*read.imports[part.id])
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in read.imports:
            other, inside = read.imports[part.value.id]
            yield from _resolved(other, inside or part.attr)


def _resolved(module: str, name: str) -> Iterator[tuple[str, str]]:
    """The module that defines a name, found through modules that only import it."""
    if not name or module in DECLARING:
        return
    read = _read(module)
    if name in read.definitions:
        yield module, name
    elif name in read.imports:
        yield from _resolved(*read.imports[name])


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for _, value in _fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _parts(child)


def _spelled(node: Any) -> str:
    """The syntax tree in words that are the same in every version of Python, unlike those of `ast.dump`."""
    if isinstance(node, list):
        return f"[{' '.join(map(_spelled, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    return f"({type(node).__name__} {' '.join(f'{name}={_spelled(value)}' for name, value in _fields(node))})"


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """The non-empty fields that decide what is calculated."""
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [part for part in value if not _is_text(part)]
        if name == "keywords" and isinstance(value, list):  # how a dataclass keeps its fields changes no number
            value = [part for part in value if part.arg != "slots"]
        if name not in UNREAD and value not in (None, []):
            yield name, value


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring, a string beside a value, or the card of a plug-in."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["card"]

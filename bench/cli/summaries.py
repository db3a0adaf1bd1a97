"""One-line summaries of commands of other packages, read from their source without importing them."""

from __future__ import annotations

import ast
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path


def summary_of(entry: EntryPoint) -> str:
    """The first line of a command's help, or the name of its package if the source has none."""
    try:
        text = _help(_parse(entry.module), entry.attr)
    except (OSError, SyntaxError, ValueError, ImportError, AttributeError):  # the last of an entry point without a module
        text = ""
    return " ".join(text.split()) or f"of the package {entry.dist.name if entry.dist else entry.value}"


def _parse(module: str) -> ast.Module:
    """The source of a module; raises ImportError where it is not found. Packages above it are not imported either."""
    head, *rest = module.split(".")
    spec: ModuleSpec | None = find_spec(head)
    name = head
    for part in rest:
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations) if spec is not None else None
    if spec is None or spec.origin is None:
        raise ImportError(module)
    return ast.parse(Path(spec.origin).read_bytes())


def _help(tree: ast.Module, name: str) -> str:
    """`short_help` or `help` of the call that makes the command, else the first line of the function's docstring."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            docstring = (ast.get_docstring(node) or "").strip()
            return _stated(node.decorator_list) or docstring.partition("\n")[0]
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return _stated([node.value])
    return ""


def _stated(calls: list[ast.expr]) -> str:
    given: dict[str | None, ast.expr] = {
        keyword.arg: keyword.value for call in calls if isinstance(call, ast.Call) for keyword in call.keywords
    }
    for name in ("short_help", "help"):
        found = given.get(name)
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            return found.value.strip().partition("\n")[0]
    return ""

"""Every text file is opened with its encoding by name: what a locale or PYTHONIOENCODING says decides no byte."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "generators", "metrics", "tasks", "leaderboards", "benchmarks")
BINARY_ROOTS = {"Image", "zarr", "os", "gzip", "zipfile", "tarfile"}
"""Modules whose `open` opens no text."""


def opens_text(call: ast.Call) -> bool:
    """Whether the call opens a text file and names no encoding."""
    function = call.func
    name = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given:
        return False
    values = [
        argument.value for argument in (*call.args, *(k.value for k in call.keywords)) if isinstance(argument, ast.Constant)
    ]
    if name == "read_text":
        return isinstance(function, ast.Attribute) and not call.args
    if name == "write_text":
        return isinstance(function, ast.Attribute)
    if name in ("open", "fdopen"):
        is_method = isinstance(function, ast.Attribute)
        if is_method and isinstance(function.value, ast.Name) and function.value.id in BINARY_ROOTS and name == "open":
            return False
        modes = [value for value in values if isinstance(value, str) and set(value) <= set("rwaxbt+") and value]
        is_path = not is_method or not call.args or bool(modes)
        return is_path and not any("b" in mode for mode in modes)
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_text_files_are_opened_with_an_encoding(package: str) -> None:
    found = []
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and opens_text(node):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code", ["open(p)", "open(p, 'w')", "p.open()", "p.open('a')", "p.read_text()", "p.write_text('x')", "p.open(newline='')"]
)
def test_the_rule_finds_what_names_no_encoding(code: str) -> None:
    assert opens_text(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["p.open('rb')", "Image.open(p)", "os.fdopen(d, 'rb')", "context.open(store, x)"])
def test_the_rule_passes_over_the_rest(code: str) -> None:
    assert not opens_text(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]

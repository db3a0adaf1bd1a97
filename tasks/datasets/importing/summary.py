"""The manifest of an import as lines for the screen."""

from __future__ import annotations

import shlex
from typing import Any

from bench.messages import listed_names, shorten


def lines_of(manifest: dict[str, Any]) -> list[str]:
    """What was read, what was assumed, and the next command."""
    made = [
        f"layout: {manifest['layout']} ({shorten(manifest['recognised'], 200)})",
        f"images: {manifest['images']}; {manifest['pairs']['rule']}",
    ]
    if manifest["skipped"]:
        made.append(f"left out: {len(manifest['skipped'])}")
        made += [f"  {name}: {shorten(reason, 300)}" for name, reason in list(manifest["skipped"].items())[:10]]
    if manifest["columns"]:
        made.append("columns: " + ", ".join(f"{column} is {meaning}" for column, meaning in manifest["columns"].items()))
    if values := manifest["values"]:
        made.append(
            f"values of maps: {listed_names((f'{v} is {m}' for v, m in values['meaning'].items()), 30)} ({values['from']})"
        )
    shares = [f"{each['number']} {each['name']} {each['share']:.1%}" for each in manifest["classes"]]
    made.append(f"classes: {', '.join(shares)}; not annotated {manifest['not_annotated']:.1%} of pixels")
    if manifest["nuclei"]:
        made.append("nuclei: " + ", ".join(f"{name} {count}" for name, count in manifest["nuclei"].items()))
    made += [f"index.csv, {column}: from {origin}{_count(manifest, column)}" for column, origin in manifest["index"].items()]
    if manifest["splits"]:
        made.append("splits: " + ", ".join(f"{name} {count}" for name, count in manifest["splits"].items()))
    made += [f"assumed: {text}" for text in manifest["statements"]]
    made += [f"note: {text}" for text in manifest["hints"]]
    made.append(f"made: {manifest['out']}; next: bench data check {shlex.quote(manifest['out'])}")
    return made


def _count(manifest: dict[str, Any], column: str) -> str:
    count = manifest["groups"].get(column)
    return "" if count is None else f" ({count} values)"

"""HTML by construction: whatever is not markup already is escaped, text and attributes alike."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any

VOID = frozenset({"br", "img", "input", "meta"})


class Html(str):
    """Text that is markup. Made by `tag`, `joined` and `data` alone, so that a name from outside never is."""


Child = str | Html | None
Section = tuple[str, str, Html]
"""Anchor, name in the menu, content."""


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element. Attributes: `class_` for class, `data_value` for data-value; True stands alone, None and False go."""
    message = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    if name in VOID:
        return Html(f"<{name}{message}>")
    return Html(f"<{name}{message}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """The children in a row; strings that are not markup are escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def titled(anchor: str, name: str, lead: Iterable[Child], *content: Child) -> Section:
    """A section with its heading and what it shows."""
    heading = tag("h2", name, id=f"{anchor}-title")
    labelled = f"{anchor}-title"
    return anchor, name, tag("section", heading, tag("p", *lead, class_="lead"), *content, id=anchor, aria_labelledby=labelled)


def data(identifier: str, held: Any) -> Html:
    """A block of JSON for the page's script; no text in it can close the element or begin a comment."""
    text = json.dumps(held, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Html(f'<script type="application/json" id="{escape(identifier)}">{safe}</script>')


def inlined(kind: str, source: str) -> tuple[Html, str]:
    """A `style` or `script` element of our own source, and the hash by which the page's policy knows it."""
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return Html(f"<{kind}>{source}</{kind}>"), f"'sha256-{digest}'"


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'

"""Pages of the site that are made when it is built: the first page from README.md, the reference from cards and docstrings."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.cli import info

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
KINDS = {
    "generators": "Generators",
    "encoders": "Encoders",
    "metrics": "Metrics",
    "tasks": "Tasks",
    "datasets": "Datasets",
    "layout_generators": "Layout generators",
}
PYTHON = {
    "bench.evaluate": "bench.api.evaluation.evaluate",
    "bench.Results": "bench.api.results.Results",
    "bench.load_results": "bench.results.frames.load_results",
    "bench.compare": "leaderboards.comparison.python.compare",
    "bench.metrics.frechet": "bench.api.arrays.frechet",
    "bench.metrics.measure": "bench.api.arrays.measure",
}
"""Name in Python -> where it is defined."""
PROTOCOLS = {name: f"bench.types.{name}" for name in ("data", "plugins", "generators", "metrics", "datasets", "tasks")}
FENCE = re.compile(r"^(```sh) \w+$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Lists the pages of plug-ins in the reference, before what mkdocs.yml lists there."""
    sections = [
        {title: [f"reference/{kind}/index.md", *({name: f"reference/{kind}/{name}.md"} for name in registry.names(kind))]}
        for kind, title in KINDS.items()
    ]
    for part in config.nav or []:
        if "Reference" in part:
            part["Reference"][:0] = sections


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    from mkdocs.structure.files import File

    for name, text in make_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def make_pages() -> dict[str, str]:
    """Address -> text."""
    pages = {"index.md": _first_page(), "first-steps.md": _notebook(ROOT / "docs/first-steps.ipynb")}
    for kind, title in KINDS.items():
        pages[f"reference/{kind}/index.md"] = _kind_page(kind, title)
        pages |= {f"reference/{kind}/{name}.md": _card_page(kind, name) for name in registry.names(kind)}
    pages["reference/python.md"] = _docstrings("Python", PYTHON)
    pages["reference/protocols.md"] = _docstrings("Protocols and data types", PROTOCOLS)
    return pages


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository that are no pages become their names. Blocks of code lose the word that says when tests
    run them."""
    place = (ROOT / "docs" / page.file.src_uri).parent

    def named(found: re.Match[str]) -> str:
        target = (place / found[2]).resolve()
        return found[0] if target.is_relative_to(ROOT / "docs") else f"{found[1]} (`{target.relative_to(ROOT)}`)"

    return FENCE.sub(r"\1", LINK.sub(named, markdown))


def _first_page() -> str:
    """README.md, its links as seen from docs/."""

    def seen(found: re.Match[str]) -> str:
        target = found[2].removeprefix("docs/").replace(".ipynb", ".md")
        text = found[1].removeprefix("docs/") if found[1] == found[2] else found[1]
        return f"[{text}]({target if target != found[2] else '../' + target}{found[3] or ''})"

    return LINK.sub(seen, (ROOT / "README.md").read_text(encoding="utf-8"))


def _notebook(file: Path) -> str:
    """Texts, code and printed results of a notebook, which a link offers to download."""
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```py\n{source}\n```")
        for output in cell["outputs"]:
            text = "".join(output["text"] if "text" in output else output["data"]["text/plain"]).rstrip()
            parts.append(f"```text\n{text}\n```")
    parts.append(f"[This page as a notebook]({file.name})")
    return "\n\n".join(parts)


def _kind_page(kind: str, title: str) -> str:
    """The table of a kind, each name a link to its page."""
    lines = [f"# {title}", "", f"`bench list {kind}` prints this list, `bench info NAME` a page of it.", ""]
    lines += ["| name | summary |", "|---|---|"]
    for name in registry.names(kind):
        lines.append(f"| [`{name}`]({name}.md) | {_cell(registry.card(kind, name).summary)} |")
    return "\n".join(lines)


def _card_page(kind: str, name: str) -> str:
    """What `bench info` prints of one plug-in."""
    cls = registry.find(kind, name)[0]
    shown = info.describe(kind, cls)
    facts = [(field.replace("_", " "), shown[field]) for field in info.FIELDS if shown.get(field)]
    lines = [f"# {name}", "", shown["summary"], "", "| card | |", "|---|---|", f"| version | {shown['version']} |"]
    for fact, value in facts:
        lines.append(f"| {fact} | {_cell(', '.join(value) if isinstance(value, tuple | list) else value)} |")
    about = inspect.getdoc(cls) or ""
    if about and about != shown["summary"]:
        lines += ["", about]
    if shown["options"]:
        lines += ["", "## Options", "", "| `-o` | default |", "|---|---|"]
        lines += [
            f"| `{option}` | {'required' if default is None else f'`{_cell(default)}`' if default else ''} |"
            for option, default in shown["options"].items()
        ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _docstrings(title: str, names: dict[str, str]) -> str:
    parts = [f"::: {place}\n    options: {{heading: {name}, toc_label: {name}}}" for name, place in names.items()]
    return "\n\n".join([f"# {title}", *parts])

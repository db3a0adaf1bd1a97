"""Pages of the site that are made when it is built: the first page from README.md, the reference from cards and docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.errors import BenchError
from bench.types import Card

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
PYTHON = (
    *("bench.api.evaluation.evaluate", "bench.api.results.Results", "bench.results.frames.load_results"),
    *("leaderboards.comparison.python.compare", "leaderboards.report.python.report"),
    *("bench.api.arrays.frechet", "bench.api.arrays.measure"),
)
PROTOCOLS = tuple(f"bench.types.{name}" for name in ("data", "plugins", "generators", "metrics", "datasets", "tasks"))
FENCE = re.compile(r"^(```sh) \w+$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    from mkdocs.structure.files import File

    pages = {"index.md": _first_page()}
    pages |= {f"reference/{kind}.md": _cards(kind, title) for kind, title in KINDS.items()}
    pages["reference/python.md"] = _docstrings("Python", PYTHON)
    pages["reference/protocols.md"] = _docstrings("Protocols and data types", PROTOCOLS)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


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
        target = found[2].removeprefix("docs/")
        return f"[{found[1]}]({target if target != found[2] else '../' + target}{found[3] or ''})"

    return LINK.sub(seen, (ROOT / "README.md").read_text(encoding="utf-8"))


def _cards(kind: str, title: str) -> str:
    lines = [f"# {title}", "", f"Made from the cards: `bench info NAME` prints one, `bench list {kind}` all names.", ""]
    for name in registry.names(kind):
        lines += [f"## `{name}`", "", *_card(kind, name), ""]
    return "\n".join(lines)


def _card(kind: str, name: str) -> list[str]:
    try:
        card: Card = registry.card(kind, name)
        options = registry.parameters(registry.find(kind, name)[0])
    except BenchError as error:
        return [f"Cannot be imported here: {error}"]
    facts = {
        "source": card.source,
        "licence": card.licence,
        "needs": ", ".join(card.needs),
        "cost": card.cost,
        "notes": card.notes,
        "options": ", ".join(f"`{option}`" for option in options),
    }
    return [card.summary, "", *(f"- **{fact}**: {text}" for fact, text in facts.items() if text)]


def _docstrings(title: str, names: tuple[str, ...]) -> str:
    return "\n".join([f"# {title}", "", *(f"::: {name}\n" for name in names)])

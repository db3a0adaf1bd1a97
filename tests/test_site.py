"""The pages of the site that are made when it is built. `.ci/run` builds it, and fails on dead links."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from bench import registry

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(hooks: ModuleType) -> dict[str, str]:
    """Address -> text of the pages that are made."""
    made: dict[str, str] = hooks.make_pages()
    return made


def test_every_plugin_has_a_page_with_its_card_and_options(hooks: ModuleType, pages: dict[str, str]) -> None:
    for kind in hooks.KINDS:
        for name in registry.names(kind):
            page, listed = pages[f"reference/{kind}/{name}.md"], pages[f"reference/{kind}/index.md"]
            card = registry.card(kind, name)
            assert card.summary in page and f"| version | {card.version} |" in page
            assert f"[`{name}`]({name}.md)" in listed
            for option in registry.parameters(registry.find(kind, name)[0]):
                assert f"| `{option}` |" in page


def test_the_menu_lists_them(hooks: ModuleType) -> None:
    from types import SimpleNamespace

    config = SimpleNamespace(nav=[{"Reference": [{"Python": "reference/python.md"}]}])
    hooks.on_config(config)
    menu = str(config.nav)
    assert all(f"'reference/{kind}/{name}.md'" in menu for kind in hooks.KINDS for name in registry.names(kind))


def test_the_first_page_is_the_readme_and_the_notebook_shows_its_results(pages: dict[str, str]) -> None:
    assert "](embedded.png)" in pages["index.md"] and "](docs/" not in pages["index.md"]
    assert "kid random-conv" in pages["first-steps.md"] and "import bench" in pages["first-steps.md"]

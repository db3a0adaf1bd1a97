"""docs/reliability.md, whose sections are written by several scripts: each replaces its own and leaves the others."""

from __future__ import annotations

from pathlib import Path

from bench.files.text import write_text
from benchmarks.study import fill

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
SECTIONS = {"soak": ("Runs under faults", "python -m benchmarks.soak"), "fuzz": ("Damaged files", "python -m benchmarks.fuzz")}
"""Section -> its heading, and the script that fills it with --write."""
EMPTY = """# Reliability
{sections}"""


def write(section: str, text: str, page: Path = PAGE) -> None:
    """Puts the text in the place of the section. The page is made if it is absent, with a note in place of other sections."""
    held = page.read_text(encoding="utf-8") if page.is_file() else _empty_page()
    write_text(page, fill(held, {section: text}))


def _empty_page() -> str:
    made = [
        f"\n## {heading}\n\n<!-- table: {name} -->\nNot measured yet: `{script} --write`.\n<!-- end -->\n"
        for name, (heading, script) in SECTIONS.items()
    ]
    return EMPTY.format(sections="".join(made))

"""Every format shows what it was given and obeys none of it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest

from leaderboards.tables import formats
from leaderboards.tables.sheets import Mark, Sheet

EVIL = '<script>alert(1)</script>|`x`\n[a](http://e)![b](http://e)\\input{x}$&%#_^~"\x1b[31m'


def sheet(name: str = EVIL) -> Sheet:
    return Sheet(name, [["", "fd ↓"], [name, "1.000* [0.5, 2]"]], [name], [{"generator": name, "value": 1.0}])


@pytest.mark.parametrize("style", formats.STYLES)
def test_a_plain_sheet_shows_its_entries(style: str) -> None:
    shown = formats.write([sheet("plain"), sheet("second")], style)
    assert "plain" in shown and "second" in shown


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "html"])
def test_nothing_steers_a_terminal_or_starts_a_row(style: str) -> None:
    shown = formats.write([sheet()], style)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == len(formats.write([sheet("plain")], style).splitlines())


def test_html_is_text_only() -> None:
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not {"href", "src", "onclick"} & {name for name, _ in attrs}

    Reader().feed(formats.write([sheet()], "html"))
    assert "script" not in tags and "table" in tags and "http" not in formats.write([sheet("plain")], "html")


def test_markdown_has_no_markup_from_outside() -> None:
    shown = formats.write([sheet()], "markdown")
    assert "<script" not in shown and "](" not in shown and " ![" not in shown and ")![" not in shown and "\\`x\\`" in shown
    row = next(text for text in shown.splitlines() if text.startswith("| ") and "alert" in text)
    assert row.replace("\\|", "").count("|") == 3


def test_markdown_leaves_intervals_alone() -> None:
    assert "1.000\\* [0.5, 2]" in formats.write([sheet("a_b")], "markdown")


def test_latex_runs_no_command_from_outside() -> None:
    shown = formats.write([sheet()], "latex")
    assert r"\input" not in shown and r"\textbackslash{}input\{x\}\$\&\%\#\_" in shown
    assert r"$\downarrow$" in shown
    bracket = Sheet("t", [["a"], ["[2cm]"]], [], [])
    assert "{[2cm]}" in formats.write([bracket], "latex")


def test_csv_has_values_and_no_formulas() -> None:
    rows = list(csv.DictReader(io.StringIO(formats.write([sheet("=1+1")], "csv"))))
    assert rows == [{"generator": "'=1+1", "value": "1.0"}]


def test_csv_joins_sheets_of_different_columns() -> None:
    other = Sheet("t", [["a"]], [], [{"rank": 2}])
    rows = list(csv.DictReader(io.StringIO(formats.write([sheet("a"), other], "csv"))))
    assert rows[1] == {"generator": "", "value": "", "rank": "2"}


def test_csv_keeps_counts_whole_and_floats_to_the_last_bit() -> None:
    value = 0.1 + 0.2
    other = Sheet("t", [["a"]], [], [{"generator": "b", "value": value, "n": 8}])
    first, second = csv.DictReader(io.StringIO(formats.write([sheet("a"), other], "csv")))
    assert second["n"] == "8" and first["n"] == "" and float(second["value"]) == value


def test_parquet_is_typed_and_holds_no_formulas(tmp_path: Path) -> None:
    other = Sheet("t", [["a"]], [], [{"generator": "b", "value": None, "n": 8}])
    formats.save([sheet("=1+1"), other], "parquet", tmp_path / "new" / "t.parquet")
    table = pandas.read_parquet(tmp_path / "new" / "t.parquet")
    assert table["generator"].tolist() == ["'=1+1", "b"] and table["value"].tolist()[0] == 1.0
    assert str(table["n"].dtype) == "Int64" and table["n"].isna().tolist() == [True, False]


def test_text_formats_are_written_to_a_file_as_they_are_shown(tmp_path: Path) -> None:
    for style in formats.STYLES:
        formats.save([sheet("plain")], style, tmp_path / style)
        assert (tmp_path / style).read_text(encoding="utf-8") == formats.write([sheet("plain")], style) + "\n"


def test_latex_keeps_two_columns_of_one_head() -> None:
    twice = Sheet("t", [["", "reported", "reported"], ["a", "1", "2"]], [], [])
    shown = formats.write([twice], "latex")
    assert shown.count("{reported}") == 2 and "a & 1 & 2" in shown


def test_latex_aligns_numbers_and_leaves_texts_in_their_columns() -> None:
    rows = [["", "fd"], ["a", "-12.5* [0, 2]"], ["b", "0.125"], ["c", "–"], ["d", "not-comparable(1.5)"]]
    shown = formats.write([Sheet("t", rows, [], [])], "latex")
    assert r"lS[table-format=-2.3]@{\,}l" in shown and r"\multicolumn{2}{c}{fd}" in shown
    assert "a & -12.5 & {* [0, 2]}" in shown and "b & 0.125 & " in shown
    assert r"c & \multicolumn{2}{c}{--}" in shown and r"d & \multicolumn{2}{c}{not-comparable(1.5)}" in shown
    assert all(rule in shown for rule in (r"\toprule", r"\midrule", r"\bottomrule")) and r"\hline" not in shown


def test_latex_marks_the_best_and_its_ties() -> None:
    marks = {(1, 1): Mark.BEST, (2, 1): Mark.TIED}
    shown = formats.write([Sheet("t", [["", "fd"], ["a", "1.5"], ["b", "1.6"], ["c", "9"]], [], [], marks)], "latex")
    assert r"a & \bfseries 1.5 & " in shown and "b & 1.6 & $^{=}$" in shown and "c & 9 & " in shown


def test_latex_splits_what_is_wider_than_a_page_and_repeats_the_names() -> None:
    heads = [f"measure {number} of an encoder" for number in range(8)]
    wide = Sheet("t", [["", *heads], ["name", *(f"{n}.5 [1, 2]" for n in range(8))]], ["a note"], [], {(1, 6): Mark.BEST})
    shown = formats.write([wide], "latex")
    parts = shown.split(r"\begin{table}")[1:]
    assert len(parts) > 1 and all("name & " in part for part in parts)
    assert [shown.count(head) for head in heads] == [1] * 8
    assert ["a note" in part for part in parts] == [False] * (len(parts) - 1) + [True]
    assert shown.count(r"\bfseries") == 1 and r"\bfseries 5.5" in shown


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_whatever_the_entries_are(tmp_path: Path) -> None:
    marked = Sheet("t", [["", "fd ↓"], ["a", "1.5"], ["b", "-1600e-3† [0, 2]"]], ["n ≈ 3 …"], [], {(1, 1): Mark.BEST})
    tables = formats.write([sheet(), marked], "latex")
    page = "\\documentclass{article}\\usepackage{booktabs,siunitx}\\begin{document}" + tables + "\\end{document}"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    if b"not found" in done.stdout:
        pytest.skip("booktabs or siunitx is not installed")
    assert done.returncode == 0, done.stdout[-2000:]


def test_json_comes_back() -> None:
    assert json.loads(formats.write([sheet()], "json")) == {"generator": EVIL, "value": 1.0}

"""Tables of a run: columns of nothing but skipped cells are collapsed, and a terminal gets what fits."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from bench.results import tables, terminal
from bench.results.schema import ResultRecord
from bench.results.terms import Status

FD = ResultRecord("ldm", "d", "slide", "seg", "fd", "lower", "p", encoder="conv", value=1.5, low=1.0, high=2.0, n=8, groups=6)
REASONS = {"uni": "gated: uni is gated.", "virchow": "gated: virchow is gated.", "conch": "missing: conch is not here yet."}


def skipped(encoder: str, generator: str = "ldm") -> ResultRecord:
    empty = replace(FD, generator=generator, encoder=encoder, protocol=encoder, status=Status.SKIPPED)
    return replace(empty, value=None, low=None, high=None, reason=REASONS[encoder])


def of_run(*records: ResultRecord) -> tables.Table:
    (table,) = tables.make_tables(records, "mine.py:Mine")
    return table


def test_measures_of_which_everything_was_skipped_become_a_note_with_the_command_that_fills_them() -> None:
    table = of_run(FD, replace(FD, generator="noise"), *(skipped(e, g) for e in REASONS for g in ("ldm", "noise")))
    assert table.rows == [["", "ldm", "noise"], ["fd conv ↓", "1.500 [1.000, 2.000]", "1.500 [1.000, 2.000]"]]
    gated, missing = (note for note in table.notes if note.startswith("not shown"))
    assert gated.startswith("not shown, skipped(gated) everywhere: fd of uni, virchow (e.g. gated: uni is gated)")
    assert "bench run -g mine.py:Mine -t seg -e uni,virchow --weights DIR" in gated and "bench doctor --encoders" in gated
    assert "fd of conch (missing: conch is not here yet)" in missing and "-e conch " in missing
    assert not any("fd uni (" in note for note in table.notes)  # its reason is stated once


def test_a_measure_with_one_number_stays() -> None:
    table = of_run(FD, replace(FD, generator="noise", encoder="uni"), skipped("uni"))
    assert ["fd uni ↓", "skipped(gated)", "1.500 [1.000, 2.000]"] in table.rows
    assert any("gated: uni is gated" in note for note in table.notes)


def test_errors_are_never_collapsed() -> None:
    failed = replace(skipped("uni"), status=Status.ERROR, reason="ValueError: x")
    assert ["fd uni ↓", "error(ValueError)"] in of_run(FD, failed).rows


def test_where_everything_was_skipped_everything_is_shown() -> None:
    assert [row[0] for row in of_run(skipped("uni"), skipped("conch")).rows] == ["", "fd uni ↓", "fd conch ↓"]


def test_too_few_patches_are_collapsed_without_a_command_that_would_not_help() -> None:
    few = replace(skipped("uni"), reason="underpowered: 3 patches")
    (note,) = (note for note in of_run(FD, few).notes if note.startswith("not shown"))
    assert note == "not shown, skipped(underpowered) everywhere: fd of uni (underpowered: 3 patches)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WIDE = tables.Table(
    "title", [["", *(f"encoder-{i}" for i in range(9))], ["ldm", *("1.000 [0.5, 2]" for _ in range(9))]], ["note"]
)


def test_a_pipe_gets_plain_text() -> None:
    out = io.StringIO()
    terminal.show([WIDE, WIDE], out)
    assert out.getvalue() == tables.plain([WIDE, WIDE]) + "\n"
    assert "\x1b" not in out.getvalue() and max(map(len, out.getvalue().splitlines())) > 100


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_gets_whole_columns_that_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    terminal.show([WIDE], out)
    shown = [text for text in _plain(out.getvalue()).splitlines()]
    assert max(map(len, shown)) <= width
    assert sum(text.count("1.000 [0.5, 2]") for text in shown) == 9  # none is cut or broken
    rows = [text for text in shown if text.startswith("ldm")]
    assert len(rows) == {40: 5, 80: 3, 200: 1}[width]


def test_what_others_wrote_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    terminal.show([tables.Table("t\x1b[31m", [["", "a"], ["[red]x[/red]\x1b]0;y\x07", "1"]], ["\x1b[2J"])], out)
    assert "[red]x[/red]" in out.getvalue() and "\x1b[31m" not in out.getvalue() and "\x1b[2J" not in out.getvalue()
    assert "\x1b]0" not in out.getvalue()


def _plain(shown: str) -> str:
    from rich.text import Text

    return Text.from_ansi(shown).plain


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (200, [[0, 1, 2, 3, 4]]),
        (44, [[0, 1, 2], [0, 3, 4]]),
        (62, [[0, 1, 2], [0, 3, 4]]),
        (30, [[0, 1], [0, 2], [0, 3], [0, 4]]),
    ],
)
def test_columns_of_a_metric_stay_together_where_they_fit(width: int, expected: list[list[int]]) -> None:
    rows = [["generator", "fd a", "fd b", "kid a", "kid b"], ["x", *["1.000 [0, 2]"] * 4]]
    assert terminal.blocks(rows, width) == expected

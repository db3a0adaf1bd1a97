"""Nothing that a terminal obeys or hides reaches it from records, manifests, suites or names of files, nor a CSV file."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.messages import printable, printable_lines
from bench.results import schema
from bench.results.schema import ResultRecord
from leaderboards.cli import verify
from leaderboards.reproduce.matching import Check
from leaderboards.reproduce.verify import Report
from tests.leaderboards.runs import run
from tests.small_run import bench

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eder\u2066\u200e\x00\x7f\x08"
FORGED = f"{EVIL}\nFORGED"


def evil(records: list[ResultRecord]) -> list[ResultRecord]:
    """The same numbers, every text that may be anything with control characters."""
    found = []
    for record in records:
        described = {**record.described, "generator": {"name": FORGED, "version": FORGED, "options": {FORGED: FORGED}}}
        found.append(
            replace(
                record,
                generator=f"ldm{FORGED}",
                dataset=f"d{FORGED}",
                task=f"t{FORGED}",
                prompt_source="slide",
                encoder=record.encoder and f"e{FORGED}",
                reason=FORGED,
                source=FORGED,
                described=described,
                stamp={**record.stamp, "machine": FORGED},
            )
        )
    return found


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A baseline and a candidate."""
    places = (tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    for place, worse in zip(places, (0.0, 0.3), strict=True):
        schema.write(evil(run(worse=worse, noise=str(worse))), place)
    return places


def assert_clean(text: str) -> None:
    strange = {letter for letter in text if letter != "\n" and not letter.isprintable()}
    assert not strange, f"{strange} in {text[:2000]!r}"
    assert not [line for line in text.split("\n") if line.startswith("FORGED")], text


WORDS: tuple[tuple[str, ...], ...] = (
    ("compare", "ONE", "TWO"),
    ("gate", "--baseline", "ONE", "--candidate", "TWO"),
    ("gate", "--baseline", "ONE", "--candidate", "TWO", "--json"),
    ("leaderboard", "--results", "ONE"),
    *(("leaderboard", "--results", "ONE", "--format", style) for style in ("csv", "markdown", "latex", "html", "json")),
    ("leaderboard", "nothing", "--results", "ONE"),
    ("leaderboard", "--results", "ONE", "--measures", "nothing"),
    ("compare", "nothing", "else", "--results", "ONE"),
    ("merge", "ONE", "TWO", "--out", "OUT"),
    ("leaderboard", "--results", "ONE", "--results", "TWO"),
    ("gate", "accept", "--baseline", "ONE", "--candidate", "TWO", "--reason", FORGED.replace("\0", "")),
)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words[:4])[:40])
def test_records_reach_the_terminal_as_text(words: tuple[str, ...], files: tuple[Path, Path], tmp_path: Path) -> None:
    named = {"ONE": str(files[0]), "TWO": str(files[1]), "OUT": str(tmp_path / "all.jsonl")}
    done = bench(*(named.get(word, word) for word in words), home=tmp_path / "home")
    assert done.stdout + done.stderr
    assert_clean(done.stdout)
    if done.exception is None or isinstance(done.exception, SystemExit):  # errors are printed by `main`: see below
        assert_clean(done.stderr)


ERRORS = (*WORDS[9:14], ("compare", "ONE", "gone\x1b[31m", "--results", "ONE"))


@pytest.mark.parametrize("words", ERRORS, ids=lambda words: " ".join(words[:4])[:40])
def test_errors_reach_the_terminal_as_text(words: tuple[str, ...], files: tuple[Path, Path], tmp_path: Path) -> None:
    named = {"ONE": str(files[0]), "TWO": str(files[1]), "OUT": str(tmp_path / "all.jsonl")}
    done = program(*(named.get(word, word) for word in words), cwd=tmp_path)
    assert done.returncode in (2, 7) and done.stderr.startswith("bench: ")
    assert_clean(done.stdout + done.stderr)


def program(*words: str, cwd: Path, code: str = "from bench.cli import main; main()") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=cwd, errors="surrogateescape"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("report", "x\x1b[31m\nFORGED", "--out", "out"), 3),
        (("nosuch\x1b[31m",), 2),
        (("leaderboard", "--results", "x\x1b[31m\nFORGED"), 3),
        (("gate", "--baseline", "x", "--candidate", "y", "--policy", "\u202e.toml"), 3),
    ],
)
def test_words_of_the_command_line_are_shown_as_text(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """Files of strangers are named by shells: `bench report *`."""
    done = program(*words, cwd=tmp_path)
    assert done.returncode == code and done.stderr
    assert_clean(done.stdout + done.stderr)


def test_names_of_files_that_are_no_utf8_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9\x1b[31m"
    folder.mkdir()
    (folder / "results.jsonl").write_text("{}\n")
    done = program("leaderboard", "--results", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 3 and "results.jsonl:1" in done.stderr
    assert_clean(done.stderr)


def test_tracebacks_are_shown_as_text(tmp_path: Path) -> None:
    code = (
        "import sys, bench.cli\n"
        "def fail(**_): raise ValueError('out of\\x1b[31m order\\u202e')\n"
        "bench.cli.group.main = fail\n"
        "bench.cli.main()"
    )
    done = program(cwd=tmp_path, code=code)
    assert done.returncode == 1 and "Traceback" in done.stderr and "out of�[31m order�" in done.stderr
    assert_clean(done.stderr)


def test_a_report_of_a_gate_holds_no_control_characters(files: tuple[Path, Path], tmp_path: Path) -> None:
    markdown, junit = tmp_path / "gate.md", tmp_path / "gate.xml"
    bench(
        *("gate", "--baseline", files[0], "--candidate", files[1], "--markdown", markdown, "--junit", junit),
        home=tmp_path / "home",
    )
    for file in (markdown, junit):
        assert_clean(file.read_text())


def test_csv_has_neither_control_characters_nor_formulas(files: tuple[Path, Path], tmp_path: Path) -> None:
    records = [replace(record, generator="\r=1+1", dataset="=cmd", task="@x") for record in schema.read([files[0]])]
    schema.write(records, tmp_path / "formulas.jsonl")
    words = ["leaderboard", "--results", tmp_path / "formulas.jsonl", "--format", "csv"]
    rows = list(csv.reader(io.StringIO(bench(*words, home=tmp_path / "home").stdout)))
    cells = {cell for row in rows for cell in row}
    assert {"'=cmd", "'@x"} <= cells and all(cell.isprintable() for cell in cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=@\t\r")]


def test_a_reproduction_check_shows_names_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    found = Report(Path(f"run{FORGED}"), (Check(FORGED, "holds", FORGED),), {FORGED: (FORGED, FORGED)}, frozenset())
    assert_clean(verify.text(found, None))
    assert_clean(verify.as_object(found, None))


def test_suites_show_names_as_text(tmp_path: Path) -> None:
    text = f"""
name = "theirs"
summary = "s"
preset.tiny.seeds = [0]
[[cells]]
generators = [{json.dumps("a" + FORGED)}]
tasks = ["t"]
absent = {json.dumps(FORGED)}
options = {{ {json.dumps(FORGED)} = {json.dumps(FORGED)} }}
"""
    (tmp_path / "theirs.toml").write_text(text.replace("\\u007f", "\\u007F"))
    for words in (("--plan",), ("--out", tmp_path / "out")):
        done = bench("suite", tmp_path / "theirs.toml", *words, home=tmp_path / "home")
        assert done.exit_code == 0, done.stderr
        assert_clean(done.stdout + done.stderr.replace("\n  ", "\n"))


def test_the_page_of_a_report_hides_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    hidden = [replace(record, reason="\u202e", source="\x9b") for record in schema.read([files[0]])]
    schema.write(hidden, tmp_path / "run" / "results.jsonl")
    (tmp_path / "run" / "manifest.json").write_text('{"caf\xe9": "\u202e"}', encoding="utf-8")
    done = bench("report", tmp_path / "run", "--out", tmp_path / "out", "--patches", "0", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert not {letter for letter in page if letter not in "\n\t" and not letter.isprintable()} - {"\xa0", "\u2009"}


def test_blanks_are_blanks_and_other_characters_are_seen_to_be_replaced() -> None:
    assert printable("a\tb\nc\u2028d\xa0e") == "a b c d e"
    assert printable("real\u202e") == "real�" != printable("real")
    assert printable("über → µm, 組織, ½ ✓") == "über → µm, 組織, ½ ✓"
    assert printable_lines("a\n\x1bb\n") == "a\n�b\n"


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from (*texts(name), *texts(part))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def test_the_records_of_these_tests_are_as_bad_as_they_should_be(files: tuple[Path, Path]) -> None:
    held = list(texts(asdict(next(iter(schema.read([files[0]]))))))
    assert sum(EVIL in text for text in held) > 8

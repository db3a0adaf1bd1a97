"""TOML from users: what is none is named, with the place; nothing hangs and nothing ends as an internal error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as any_

from bench.errors import BenchError, UsageError
from bench.measurements import experiment_files
from leaderboards.gate import policy
from leaderboards.suites import suite
from leaderboards.tables import reading
from tests.hostile import FUZZ, NOT_FILES, put, within
from tests.small_run import bench

READERS: dict[str, Any] = {
    "suite": lambda path: suite.find(str(path)),
    "policy": lambda path: policy.read(str(path)),
    "experiment": lambda path: experiment_files.find(str(path), None, "cam16-seg"),
    "withdrawn": reading.invalidations,
}
BAD = {
    "latin-1": ('name = "Münch"'.encode("latin-1"), "not UTF-8"),
    "binary": (b"\x00\xff", "not UTF-8|not TOML"),
    "utf-16": ("name = 1".encode("utf-16"), "not UTF-8"),
    "no TOML": (b"[[", "not TOML"),
    "twice": (b"a = 1\na = 2\n", "not TOML"),
    "deep lists": (b"a = " + b"[" * 100_000 + b"]" * 100_000, "levels"),
    "deep tables": (b"a = " + b"{a = " * 100_000 + b"1" + b"}" * 100_000, "levels"),
    "deep names": (b".".join([b"a"] * 30_000) + b" = 1", "levels|dots"),
    "50 levels": (b"a = " + b"[" * 50 + b"]" * 50, "20 levels"),
    "5,000 digits": (b"a = " + b"1" * 5000, "not TOML"),
    "half a pair": (b'a = "\\ud800"', "not TOML"),
    "no date": (b"a = 2026-13-45", "not TOML"),
    "NaN": (b"a = nan", "not a finite number"),
    "2 MB": (b"#" * 2_000_000, "bytes; a"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_toml_is_named(reader: str, kind: str, tmp_path: Path) -> None:
    content, message = BAD[kind]
    (tmp_path / "a.toml").write_bytes(content)
    with within(10), pytest.raises(UsageError, match=message) as text:
        READERS[reader](tmp_path / "a.toml")
    assert "a.toml" in str(text.value) and len(str(text.value)) < 500


@pytest.mark.parametrize("kind", [*NOT_FILES, "absent"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_named(reader: str, kind: str, tmp_path: Path) -> None:
    if kind != "absent":
        put(kind, tmp_path / "a.toml")
    with within(10), pytest.raises(BenchError, match="a.toml") as text:
        READERS[reader](tmp_path / "a.toml")
    assert text.value.exit_code == 3


def test_commands_refuse_them(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(BAD["deep lists"][0])
    for words in (("suite", tmp_path / "a.toml"), ("leaderboard", tmp_path / "a.toml")):
        with within(20):
            done = bench(*words, home=tmp_path)
        assert done.exit_code == 2 and "a.toml is not TOML" in done.stderr and "levels" in done.stderr


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[[margin]]\nmeasures = '*'\nabsolute = 1.0\n")
    assert policy.read(str(tmp_path / "a.toml")).margin[0].absolute == 1.0


WORDS = any_.sampled_from(
    ["[", "]", "{", "}", "=", ".", ",", '"', "'", "#", "\n", "a", "name", "margin", "1", "1e9", "true", "-", "\\"]
)


@FUZZ
@given(words=any_.lists(WORDS, max_size=12).map("".join), tail=any_.binary(max_size=4))
def test_no_content_is_more_than_a_refusal(words: str, tail: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "a.toml"
    file.write_bytes(words.encode() + tail)
    for read in READERS.values():
        try:
            with within(10):
                read(file)
        except BenchError as error:
            assert "a.toml" in str(error)

"""Names from files as parts of paths: what leads elsewhere is refused, everything else stays what it was."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DamagedError
from bench.files.names import file_stem, find_fault, is_key, path_below, path_part

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:",
    "c:x",
    "C:\\x",
    "\\\\host\\share",
    "con",
    "NUL.png",
    "Com1",
    "lpt9.tar.gz",
    "aux .txt",
    "com¹",
    "a\nb",
    "a\0b",
    "a\x1b[31m",
    "a\u202egnp",
    "\ud800",
    "a.",
    "a ",
    "é" * 101,
    "x" * 201,
    7,
    None,
    ["a"],
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_what_leads_elsewhere_is_refused_by_name(name: object) -> None:
    with pytest.raises(DamagedError, match="the suite .* cannot name a file: it ") as found:
        path_part(name, "suite")
    assert str(found.value).isprintable() and len(str(found.value)) < 300


@pytest.mark.parametrize(
    "name", ["a", "ldm-prompt (fit 1)", "timm:resnet18", "Gewebe ü", "console", "..a", "a..b", ".x", "x" * 200]
)
def test_usual_names_stay(name: str) -> None:
    assert path_part(name, "id") == file_stem(name) == name


def test_folders_in_an_id_become_part_of_its_name() -> None:
    assert file_stem("slide 1/p0") == "slide 1__p0" and file_stem("../../x") == "..__..__x"


@given(st.text(max_size=300))
def test_every_text_is_refused_or_is_one_file_inside(name: str) -> None:
    if find_fault(name):
        return
    for path in (Path("out") / name, PureWindowsPath("out") / name):
        assert path.parts == ("out", name)
    assert not PureWindowsPath(name).is_reserved()


def test_a_path_from_a_file_stays_below_its_folder(tmp_path: Path) -> None:
    assert path_below(tmp_path, "a/b.png", "file") == tmp_path / "a" / "b.png"
    for name in ("../b.png", "a/../../b", "/b.png", "a//b", "", "C:/b", "a\\..\\b", None):
        with pytest.raises(DamagedError, match="is no path below"):
            path_below(tmp_path, name, "file")


def test_keys_are_letters_and_digits() -> None:
    assert is_key("0" * 20) and is_key("abc1")
    assert not any(map(is_key, ("", "a/b", "..", "a.b", "é", "0" * 400, None, 7, ["a"])))

"""The folder of a report: only what a report wrote is replaced or deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UsageError
from tests.leaderboards.small_report import Material, built, material


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("report"), ["alike", "other"], copies=True)


def test_a_report_replaces_a_report_and_nothing_else(made: Material, tmp_path: Path) -> None:
    built(made, tmp_path / "out")
    built(made, tmp_path / "out", title="again")
    assert "again" in (tmp_path / "out" / "index.html").read_text()
    assert any((tmp_path / "out" / "images").iterdir())
    built(made, tmp_path / "out", patches=0)
    assert not (tmp_path / "out" / "images").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds no report"):
        built(made, tmp_path / "mine")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


THEIRS = (
    "{}",
    "[]",
    "not json",
    '{"title": "t", "records": 1, "gallery": {}}',
    '{"made_by": "bench report"}',
    '{"made_by": "bench report", "files": []}',
    '{"made_by": "bench report", "files": {"../precious.png": "%s"}}' % ("0" * 64),
    '{"made_by": "bench report", "files": {"images/../../precious.png": "%s"}}' % ("0" * 64),
    '{"made_by": "bench report", "files": {"images/precious.png": 7}}',
)


@pytest.mark.parametrize("text", THEIRS)
def test_a_folder_with_some_report_json_is_left_alone(text: str, made: Material, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "site"
    (folder / "images").mkdir(parents=True)
    (folder / "report.json").write_text(text)
    for name in ("images/a.png", "index.html", "../precious.png"):
        (folder / name).write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="holds no report"):
        built(made, folder)
    assert contents(tmp_path) == before


def test_files_beside_those_of_a_report_are_kept(made: Material, tmp_path: Path) -> None:
    """Also those that were changed since, under a name that the report had given."""
    out = tmp_path / "out"
    built(made, out)
    first, second, *others = sorted((out / "images").iterdir())
    first.write_text("changed")
    for name in ("images/mine.png", "images/notes/a.txt", "notes.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("precious")
    built(made, out, patches=0)
    kept = {first.name, "mine.png", "notes"}
    assert {file.name for file in (out / "images").iterdir()} == kept and not second.exists() and others
    assert first.read_text() == "changed" and (out / "notes.txt").read_text() == "precious"


def test_a_page_that_was_changed_is_not_overwritten(made: Material, tmp_path: Path) -> None:
    built(made, tmp_path / "out", patches=0)
    (tmp_path / "out" / "index.html").write_text("mine now")
    with pytest.raises(UsageError, match="index.html is not as a report wrote it"):
        built(made, tmp_path / "out", patches=0)
    assert (tmp_path / "out" / "index.html").read_text() == "mine now"


def test_a_link_in_a_report_is_not_followed(made: Material, tmp_path: Path) -> None:
    built(made, tmp_path / "out")
    (tmp_path / "out" / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        built(made, tmp_path / "out", patches=0)
    assert contents(tmp_path / "elsewhere") == before


def test_an_interrupted_report_is_made_again(made: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("leaderboards.report.page.render_page", interrupted)
        built(made, tmp_path / "out")
    built(made, tmp_path / "out")
    built(made, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")

"""Names to objects: suggestions, options by annotation, plug-ins from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.errors import MissingError, UsageError
from bench.types import Card

PLUGIN = """
from pathlib import Path
from typing import Literal
from bench.types import Card

class Mine:
    card = Card("mine", "1", "A test.")
    def __init__(self, count: int = 3, share: float | None = None, mode: Literal["a", "b"] = "a", on: bool = False,
                 where: Path | None = None, sides: tuple[int, ...] = (1, 2)) -> None:
        self.count, self.share, self.mode, self.on, self.where, self.sides = count, share, mode, on, where, sides

class NoCard:
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(PLUGIN)
    return f"{tmp_path / 'mine.py'}:Mine"


def test_every_registered_name_has_a_complete_card_of_its_own_name() -> None:
    for kind in ("generators", "encoders", "metrics", "tasks", "datasets"):
        for name in registry.names(kind):
            card = registry.card(kind, name)
            assert isinstance(card, Card)
            assert card.name == name
            assert card.version and card.summary and card.licence


def test_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'ldm-prompt'"):
        registry.load("generators", "ldm-promt")


def test_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'generators'"):
        registry.names("generator")


def test_an_edited_file_is_another_plugin(plugin: str, tmp_path: Path) -> None:
    before = registry.describe(registry.load("generators", plugin))
    assert before == registry.describe(registry.load("generators", plugin))
    (tmp_path / "mine.py").write_text(PLUGIN + "# it generates darker now\n")
    assert registry.describe(registry.load("generators", plugin)) != before
    assert "source" not in registry.describe(registry.load("generators", "noise"))  # installed: its version says it


def test_a_class_of_a_file_takes_its_first_argument_after_a_colon(plugin: str) -> None:
    assert registry.load("generators", f"{plugin}:7").count == 7
    with pytest.raises(UsageError, match="option count takes a whole number, not 'many'"):
        registry.load("generators", f"{plugin}:many")
    assert registry.label("generators", f"{plugin}:7", registry.load("generators", f"{plugin}:7")) == "mine:7"


def test_an_argument_that_is_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert registry.absolute_argument("datasets", "folder:a/b") == f"folder:{tmp_path / 'a' / 'b'}"
    assert registry.absolute_argument("datasets", "folder:~/b") == f"folder:{tmp_path / 'home' / 'b'}"
    for name in ("phantom-cam16:64", "phantom-cam16"):
        assert registry.absolute_argument("datasets", name) == name


def test_plugin_from_a_file(plugin: str) -> None:
    mine = registry.load("generators", plugin, count="5", share="0.5", mode="b", on="yes", where="x/y", sides="4,5,6")
    assert (mine.count, mine.share, mine.mode, mine.on, mine.sides) == (5, 0.5, "b", True, (4, 5, 6))
    assert mine.where == Path("x/y")
    assert registry.load("generators", plugin, share="none").share is None


def test_description_holds_every_option(plugin: str) -> None:
    described = registry.describe(registry.load("generators", plugin, count=7))
    assert described["options"] == {"count": 7, "share": None, "mode": "a", "on": False, "where": None, "sides": [1, 2]}
    assert described["name"] == "mine" and described["version"] == "1"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cuont": 1}, "no option 'cuont'. Did you mean 'count'"),
        ({"count": "many"}, "count takes a whole number, not 'many'"),
        ({"mode": "c"}, "mode takes a | b, not 'c'"),
        ({"on": "maybe"}, "on takes true or false, not 'maybe'"),
        ({"share": "half"}, "share takes a number or none, not 'half'"),
        ({"share": "nan"}, "share takes a number or none, not 'nan'"),
        ({"share": "-inf"}, "share takes a number or none, not '-inf'"),
        ({"share": float("nan")}, "share takes finite numbers, not nan"),
        ({"share": 1e999}, "share takes finite numbers, not inf"),
    ],
)
def test_wrong_options_are_named(plugin: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.load("generators", plugin, **options)
    assert text in str(caught.value)


def test_missing_file_and_missing_class(tmp_path: Path, plugin: str) -> None:
    with pytest.raises(MissingError, match="no file"):
        registry.load("generators", f"{tmp_path}/absent.py:Mine")
    with pytest.raises(UsageError, match="Classes with a card there: Card, Mine|Classes with a card there: Mine"):
        registry.load("generators", plugin.replace(":Mine", ":NoCard"))


def test_text_after_the_colon_is_the_first_argument(tmp_path: Path) -> None:
    assert registry.load("generators", f"folder:{tmp_path}").folder == tmp_path
    with pytest.raises(UsageError, match="folder:FOLDER"):
        registry.load("generators", "folder")


def test_first_argument_cannot_be_given_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option 'folder'"):
        registry.load("generators", f"folder:{tmp_path}", folder="elsewhere")

"""Names of plug-ins are matched whatever their case, and records carry the registered one; every card names a licence."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import registry
from bench.config import RunConfig
from bench.errors import UsageError
from bench.loading import route

KINDS = tuple(kind for kind in registry.KINDS if kind != "commands")


def test_names_of_a_config_are_the_registered_ones() -> None:
    given = RunConfig(
        generator="LDM-Prompt",
        task="CAM16-seg",
        dataset="Folder:My/Data",
        encoders=("TIMM:resnet18", "Embedded"),
        metrics=("FD", "Distribution"),
        controls=("Real",),
        layout_generator="NASDM-masks",
    )
    plain = RunConfig(
        generator="ldm-prompt",
        task="cam16-seg",
        dataset="folder:My/Data",
        encoders=("timm:resnet18", "embedded"),
        metrics=("fd", "distribution"),
        controls=("real",),
        layout_generator="nasdm-masks",
    )
    assert given == plain and given.as_json() == plain.as_json()
    assert RunConfig("Mine.py:MyGAN", "nowhere").generator == "Mine.py:MyGAN"


def test_names_that_differ_by_case_alone_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    two = {name: (EntryPoint(name, "a:B", "bench.generators"),) for name in ("GAN", "gan")}
    monkeypatch.setattr(registry, "_entries", lambda kind: two)
    assert registry.canonical_name("generators", "GAN") == "GAN"
    with pytest.raises(UsageError, match="'Gan:x' may be GAN or gan: these names differ by case alone"):
        registry.canonical_name("generators", "Gan:x")


def test_owners_of_options_are_matched_whatever_their_case() -> None:
    assert route({"Generator.steps": "5"}, {"generator": {"mine": {"steps"}}}) == {("generator", "mine"): {"steps": "5"}}


@pytest.mark.parametrize("kind", KINDS)
def test_every_card_names_its_licence(kind: str) -> None:
    assert [name for name in registry.names(kind) if not registry.card(kind, name).licence] == []


def test_a_card_has_no_licence_by_itself(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from bench.types import Card\nclass Mine:\n    card = Card('m', '1', 'x')\n")
    assert registry.card("generators", f"{tmp_path / 'mine.py'}:Mine").licence == ""

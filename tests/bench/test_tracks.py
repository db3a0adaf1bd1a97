"""Where crops come from that generators learn by, and where those they paint by."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cache import Cache
from bench.config import Plan, cast
from bench.pipeline import data
from bench.pipeline.data import Scene, fitting_set
from leaderboards.tables import build
from tests.bench.test_run import FAST, run

OPTIONS = {f"dataset.{name}": "6" for name in ("train_slides", "validation_slides", "test_slides", "per_slide")}
SHORT = ["-o", "stage_steps=2", "-o", "generator.steps=2", "-o", "sample_steps=2", "--no-diets", "--controls", "none"]


def set_up(tmp_path: Path, **changes: object) -> tuple[Scene, str]:
    """The scene of a run, and the key of what its generator is fitted on."""
    asked = cast(Plan("ldm-prompt", "cam16-seg", options=OPTIONS, **changes))  # type: ignore[arg-type]
    made = data.set_up(asked, Cache(tmp_path), lambda done, total, what: None)
    return made, fitting_set(asked.generators[0], made).key


def tracks(made: Scene) -> tuple[str, ...]:
    sets = (made.prompted["train"], made.prompted["test"], made.diet)
    return tuple(patches.conditions.prompts.track for patches in sets if patches.conditions.prompts is not None)


def test_one_fit_answers_on_every_track(tmp_path: Path) -> None:
    for track in ("slide", "self", "cohort"):
        made, key = set_up(tmp_path, track=track)
        assert tracks(made) == ("slide", track, track)
        assert key == set_up(tmp_path)[1]


def test_the_published_protocol_fits_on_crops_of_the_target(tmp_path: Path) -> None:
    made, key = set_up(tmp_path, track="self", fit_track="self")
    assert tracks(made) == ("self",) * 3 and key != set_up(tmp_path, track="self")[1]


def test_the_fallback_of_one_track_does_not_hinder_fits_on_another(tmp_path: Path) -> None:
    given = {**OPTIONS, "fallback": "paper"}
    asked = cast(Plan("ldm-prompt", "cam16-seg", track="self", options=given))
    assert (asked.rule.fallback, asked.learned.fallback, asked.learned.track) == ("paper", "none", "slide")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracks") / "home"


def test_rows_of_one_track_that_were_fitted_on_others_are_told_apart(home: Path) -> None:
    words = ["-g", "ldm-prompt", *FAST, *SHORT, "--track", "self"]
    usual, own = (run(*words, "--fit-track", track, home=home) for track in ("slide", "self"))
    assert {line.track for line in (*usual, *own)} == {"self"}
    assert {line.keys["weights"] for line in usual}.isdisjoint(line.keys["weights"] for line in own)
    (board,) = build.boards([*usual, *own])
    assert {who for who, _ in board.rows} == {"ldm-prompt (fit_track=slide)", "ldm-prompt (fit_track=self)"}

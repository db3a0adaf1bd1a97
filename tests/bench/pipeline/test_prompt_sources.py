"""Prompt sources: where the crops come from that generators are trained with and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import RunConfig, load_components
from bench.jobs.store import Store
from bench.pipeline.data import DataSplits, load_splits
from bench.pipeline.training import training_patches
from leaderboards.tables import build
from tests.bench.pipeline.test_data import run_here
from tests.command_run import FAST, run

OPTIONS = {f"dataset.{name}": "6" for name in ("train_slides", "validation_slides", "test_slides", "per_slide")}
SHORT = ["-o", "stage_steps=2", "-o", "generator.steps=2", "-o", "sample_steps=2", "--no-downstream", "--controls", "none"]


def set_up(tmp_path: Path, **changes: object) -> tuple[DataSplits, str]:
    """The data of a run, and the key of what its generator is trained on."""
    asked = load_components(RunConfig("ldm-prompt", "cam16-seg", options=OPTIONS, **changes))  # type: ignore[arg-type]
    store = Store(tmp_path)
    made = load_splits(asked, store, run_here(store))
    return made, training_patches(asked.generator_plugins[0], made).key


def prompt_sources(made: DataSplits) -> tuple[str, ...]:
    sets = (made.prompted["train"], made.prompted["test"], made.pool)
    return tuple(patches.conditions.prompts.prompt_source for patches in sets if patches.conditions.prompts is not None)


def test_one_fit_answers_on_every_prompt_source(tmp_path: Path) -> None:
    for prompt_source in ("slide", "self", "cohort"):
        made, key = set_up(tmp_path, prompt_source=prompt_source)
        assert prompt_sources(made) == ("slide", prompt_source, prompt_source)
        assert key == set_up(tmp_path)[1]


def test_the_published_protocol_fits_on_crops_of_the_target(tmp_path: Path) -> None:
    made, key = set_up(tmp_path, prompt_source="self", fit_prompt_source="self")
    assert prompt_sources(made) == ("self",) * 3 and key != set_up(tmp_path, prompt_source="self")[1]


def test_the_fallback_of_one_prompt_source_does_not_hinder_fits_on_another(tmp_path: Path) -> None:
    given = {**OPTIONS, "fallback": "paper"}
    asked = load_components(RunConfig("ldm-prompt", "cam16-seg", prompt_source="self", options=given))
    assert (asked.rule.fallback, asked.learned.fallback, asked.learned.prompt_source) == ("paper", "none", "slide")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prompt_sources") / "home"


@pytest.mark.slow
def test_rows_of_one_prompt_source_that_were_fitted_on_others_are_distinguished(home: Path) -> None:
    words = ["-g", "ldm-prompt", *FAST, *SHORT, "--prompt-source", "self"]
    usual, own = (run(*words, "--fit-prompt-source", prompt_source, home=home) for prompt_source in ("slide", "self"))
    assert {line.prompt_source for line in (*usual, *own)} == {"self"}
    assert {line.keys["weights"] for line in usual}.isdisjoint(line.keys["weights"] for line in own)
    (board,) = build.boards([*usual, *own])
    assert {who for who, _ in board.rows} == {"ldm-prompt (fit_prompt_source=slide)", "ldm-prompt (fit_prompt_source=self)"}

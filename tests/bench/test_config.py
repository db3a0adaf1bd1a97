"""From words to objects: which data, which options for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.config import RunConfig, load_components, route
from bench.errors import MissingError, UsageError
from bench.files.names import find_fault
from bench.pipeline.plugins import Plugin
from bench.run import folder_name

ASKED = RunConfig("ldm-prompt", "cam16-seg")
OWNERS = {
    "generator": {"g": {"steps", "eta"}},
    "task": {"t": {"steps", "batch"}},
    "encoder": {"e1": {"weights"}, "e2": {"weights", "size"}},
}


def config(**changes: object) -> RunConfig:
    return RunConfig(**{**ASKED.__dict__, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../../evil", "/tmp/mine.py:Mine", "..", "a\\b", "x" * 4000, "folder:/data/" + "y/" * 300])
def test_the_folder_of_a_run_is_one_folder(name: str) -> None:
    for config in (RunConfig(name, "cam16-seg"), RunConfig("blur", name)):
        assert not find_fault(folder_name(config))
    assert folder_name(RunConfig("blur", "cam16-seg")).startswith("blur--cam16-seg--")
    assert folder_name(RunConfig(name, "t")) != folder_name(RunConfig(name + "2", "t"))


def test_option_goes_to_its_only_owner() -> None:
    assert route({"eta": "1"}, OWNERS) == {("generator", "g"): {"eta": "1"}}


def test_option_of_two_owners_needs_a_prefix() -> None:
    with pytest.raises(UsageError, match="-o generator.steps=5 or -o task.steps=5"):
        route({"steps": "5"}, OWNERS)
    assert route({"task.steps": "5"}, OWNERS) == {("task", "t"): {"steps": "5"}}


def test_option_of_several_encoders_goes_to_each_that_declares_it() -> None:
    assert route({"weights": "f"}, OWNERS) == {("encoder", "e1"): {"weights": "f"}, ("encoder", "e2"): {"weights": "f"}}


@pytest.mark.parametrize(("word", "text"), [("etta", "Did you mean 'eta'"), ("tsak.steps", "Did you mean 'task'")])
def test_unknown_option_is_answered_with_the_nearest(word: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        route({word: "1"}, OWNERS)


def test_no_folder_configured_means_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    made = load_components(ASKED)
    assert made.embedded and made.dataset.card.name == "phantom-cam16"


def test_configured_folder_is_used_and_never_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(MissingError, match="index.csv"):
        load_components(ASKED)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "absent"))
    with pytest.raises(MissingError, match="no data folder"):
        load_components(ASKED)
    assert load_components(config(data="embedded")).embedded


def test_real_without_a_folder_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(MissingError, match="BENCH_DATA"):
        load_components(config(data="real"))


def test_options_reach_generator_prompts_and_dataset() -> None:
    made = load_components(config(data="embedded", options={"eta": "0.5", "rotate": "true", "per_slide": "3"}))
    assert made.generators[0].config.eta == 0.5  # type: ignore[attr-defined]
    assert made.rule.rotate
    assert made.dataset.per_slide == 3  # type: ignore[attr-defined]


def test_wrong_values_of_prompt_options_are_named() -> None:
    with pytest.raises(UsageError, match="fallback takes none | paper"):
        load_components(config(data="embedded", options={"fallback": "papper"}))
    with pytest.raises(UsageError, match="prompt source"):
        load_components(config(data="embedded", options={"fallback": "paper"}))


def test_controls_stand_beside_the_generator_once() -> None:
    assert load_components(config(data="embedded", generator="real")).generator_plugins == (
        Plugin("generators", "real"),
        Plugin("generators", "noise"),
    )


def test_panels_and_groups_stand_for_their_members_and_metrics_bring_their_own_encoder() -> None:
    found = load_components(RunConfig("flat-colour", "cam16-seg", encoders=("texture", "embedded"), metrics=("distribution",)))
    evaluations = {
        evaluation.encoder.label: [metric.label for metric in evaluation.metrics] for evaluation in found.evaluations
    }
    assert list(evaluations) == ["texture", "random-conv", "phantom-cnn", "inception-logits", "stain"]
    assert evaluations["inception-logits"] == ["is"] and evaluations["stain"] == ["stain"]
    assert evaluations["texture"] == evaluations["phantom-cnn"] and len(evaluations["texture"]) == 12


@pytest.mark.parametrize(
    ("task", "own", "of_others"),
    [
        ("cam16-seg", "map-faithfulness", "nuclei-faithfulness"),
        ("lizard-nuclei", "nuclei-faithfulness", "map-faithfulness"),
    ],
)
def test_all_metrics_are_those_of_the_task_and_of_no_other(task: str, own: str, of_others: str) -> None:
    def measured(*metrics: str) -> list[str]:
        found = load_components(
            RunConfig("flat-colour", task, data="embedded", encoders=("texture",), metrics=metrics or None)
        )
        of_encoders = [metric.label for evaluation in found.evaluations for metric in evaluation.metrics]
        return [*of_encoders, *(metric.label for metric in (*found.condition_metrics, *found.sweep_metrics))]

    usual, every = measured(), measured("all")
    layouts = {name for name in registry.names("metrics") if name.startswith("layout-")}
    assert own in usual and set(usual) < set(every)
    assert set(every) == set(registry.names("metrics")) - layouts - {of_others}
    assert measured("All", "fd") == every and of_others in measured("all", of_others)


def test_a_folder_of_weights_reaches_the_encoders_that_have_some(tmp_path: Path) -> None:
    found = load_components(RunConfig("flat-colour", "cam16-seg", encoders=("texture", "uni", "phikon"), weights=tmp_path))
    assert [getattr(evaluation.encoder.build(), "weights", None) for evaluation in found.evaluations] == [
        None,
        tmp_path,
        tmp_path,
    ]
    named = load_components(
        RunConfig("flat-colour", "cam16-seg", encoders=("uni",), weights=tmp_path, options={"encoder.weights": "mine.pth"})
    )
    assert str(getattr(named.evaluations[0].encoder.build(), "weights", None)) == "mine.pth"


@pytest.mark.parametrize(
    "option", ["stain_jitter", "prompts.stain_jitter", "dataset.per_slide", "task.learning_rate", "smallest"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_no_option_takes_what_is_no_number(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"takes a (whole )?number( or none)?, not {value!r}"):
        load_components(config(data="embedded", options={option: value}))

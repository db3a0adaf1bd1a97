"""The suites of the papers, and the data that their cells take."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bench import registry
from bench.config import load_components
from bench.errors import UsageError
from leaderboards.cli.suite import suite as command
from leaderboards.suites import suite

PAPERS = {"heterotissue-fd", "heterotissue-seg", "nasdm-quality", "nasdm-addition", "nasdm-replacement", "nasdm-annotation"}


def test_the_shipped_suites_name_what_exists() -> None:
    assert set(suite.names()) == PAPERS | {"embedded", "evidence"}
    for name in suite.names():
        asked = suite.find(name)
        assert asked.name == name
        for preset in asked.preset:
            for cell, config in suite.plans(asked, preset, {}):
                if config is None:
                    continue
                task = registry.find("tasks", config.task)[0]
                registry.find("generators", config.generator)
                registry.expand("encoders", config.encoders)
                registry.expand("metrics", config.metrics or ())
                assert not config.experiment or (task.experiments / f"{config.experiment}.toml").is_file(), cell.name
                assert config.downstream or not config.experiment, cell.name  # an experiment is made of training mixes


@pytest.mark.parametrize("name", sorted({*PAPERS, "embedded", "evidence"}))
def test_the_options_of_shipped_suites_belong_to_somebody(name: str) -> None:
    asked = suite.find(name)
    for preset in asked.preset:
        for _, config in suite.plans(asked, preset, {"": "embedded"}):
            if config is not None:
                load_components(config)


def test_the_embedded_suite_never_leaves_embedded_data() -> None:
    plans = [config for _, config in suite.plans(suite.find("embedded"), "tiny", {"": "DIR"})]
    assert {config.data for config in plans if config} == {"embedded"}


def test_command_lists_suites_and_refuses_two_folders_of_one_task() -> None:
    listed = CliRunner().invoke(command, []).output
    assert all(name in listed for name in PAPERS)
    twice = CliRunner().invoke(command, ["heterotissue-fd", "--data", "cam16-seg=a", "--data", "cam16-seg=b"])
    assert isinstance(twice.exception, UsageError) and "cam16-seg" in str(twice.exception)


def sources(name: str, data: dict[str, str], datasets: dict[str, str]) -> dict[str, tuple[str, str] | None]:
    """Task -> folder and dataset of its cells, None where they cannot be run."""
    planned = suite.plans(suite.find(name), "tiny", data, datasets=datasets)
    return {cell.task: (config.data, config.dataset) if config else None for cell, config in planned}


def test_datasets_of_tasks_have_priority_over_those_of_all() -> None:
    found = sources("heterotissue-seg", {"": "DIR"}, {"panda-seg": "phantom-panda"})
    assert found == {"cam16-seg": ("DIR", ""), "panda-seg": ("", "phantom-panda")}
    found = sources("heterotissue-seg", {"panda-seg": "DIR"}, {"": "phantom-cam16"})
    assert found == {"cam16-seg": ("", "phantom-cam16"), "panda-seg": ("DIR", "")}
    for place in ("", "cam16-seg"):
        with pytest.raises(UsageError, match="leave out one"):
            sources("heterotissue-seg", {place: "DIR"}, {place: "phantom-cam16"})


def test_the_embedded_suite_takes_no_dataset() -> None:
    with pytest.raises(UsageError, match="leave out --dataset"):
        sources("embedded", {}, {"": "folder:DIR"})


def test_the_rows_of_tcga_need_data_of_their_own() -> None:
    assert sources("heterotissue-fd", {}, {})["tcga-seg"] is None
    assert sources("heterotissue-fd", {"": "DIR"}, {})["tcga-seg"] is None
    assert sources("heterotissue-fd", {"tcga-seg": "DIR"}, {})["tcga-seg"] == ("DIR", "")
    assert sources("heterotissue-fd", {}, {"tcga-seg": "folder:DIR"})["tcga-seg"] == ("", "folder:DIR")
    (cell, *_) = [c for c, config in suite.plans(suite.find("heterotissue-fd"), "tiny", {}) if config is None]
    assert cell.status == "skipped" and "--data tcga-seg=DIR" in cell.reason


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["cam16-seg=folder:here"], "data folder:here"),
        (["folder:a=b"], "data folder:a=b"),
        (["./a=b.py:Mine"], "data ./a=b.py:Mine"),
    ],
)
def test_the_plan_names_the_dataset(words: list[str], shown: str) -> None:
    given = [word for text in words for word in ("--dataset", text)]
    lines = CliRunner().invoke(command, ["heterotissue-seg", "--plan", *given]).output.splitlines()
    assert {shown in line for line in lines if "cam16-seg" in line} == {True}


def test_a_dataset_is_given_once() -> None:
    twice = CliRunner().invoke(command, ["heterotissue-fd", "--dataset", "a", "--dataset", "b"])
    assert isinstance(twice.exception, UsageError) and "a dataset for all tasks was given before" in str(twice.exception)

"""The small commands: list, info, doctor, cache, fit, and what a wrong word is answered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import registry
from bench.cli import _OURS, group
from bench.errors import BenchError

SMALL = [w for o in ("train_slides=3", "validation_slides=1", "test_slides=1", "per_slide=3", "size=32") for w in ("-o", o)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return tmp_path / "home"


def bench(*words: str) -> Result:
    return CliRunner().invoke(group, words)


def error(*words: str) -> BenchError:
    caught = bench(*words).exception
    assert isinstance(caught, BenchError), caught
    return caught


def test_help_names_every_verb() -> None:
    message = bench("--help").output
    assert all(f"\n  {verb}" in message for verb in (*_OURS, *registry.names("commands")))


def test_list_shows_every_name_in_text_and_json() -> None:
    assert "ldm-prompt" in bench("list").output
    message = [json.loads(text) for text in bench("list", "encoders", "--json").output.splitlines()]
    assert [entry["name"] for entry in message] == registry.names("encoders")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "Did you mean 'run'"),
        (("list", "generator"), "Did you mean 'generators'"),
        (("info", "ldm-promt"), "Did you mean 'ldm-prompt'"),
        (("cache", "prune", "--keep", "lots"), "500M or 2G"),
        (("fit", "-g", "noise", "-t", "cam16-seg", "--data", "embedded", *SMALL, "--out", "w"), "nothing to fit"),
        (("leaderboard", "--results", "absent"), "bench run"),
    ],
)
def test_wrong_words_are_answered(words: tuple[str, ...], message: str) -> None:
    caught = error(*words)
    assert message in str(caught) and caught.exit_code in (2, 3)


@pytest.mark.parametrize("kind", ["generators", "encoders", "metrics", "tasks", "datasets"])
def test_info_prints_the_card_and_the_options_of_everything(kind: str) -> None:
    for name in registry.names(kind):
        message = json.loads(bench("info", name, "--kind", kind, "--json").output)
        assert message["name"] == name and message["version"] and message["summary"]
        text = bench("info", name, "--kind", kind).output
        assert message["summary"] in text
        assert all(f"-o {option}=" in text for option in message["options"])


def test_info_of_a_name_of_two_kinds_shows_both() -> None:
    message = bench("info", "folder").output
    assert "(generator," in message and "(dataset," in message


def test_doctor_looks_at_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = [json.loads(text) for text in bench("doctor", "--json").output.splitlines()]
    assert {"packages", "device", "vision", "our packages", "plug-ins", "cache", "data"} == {
        entry["check"] for entry in message
    }
    assert all(entry["ok"] for entry in message if entry["check"] != "cache")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "absent"))
    failed = bench("doctor")
    assert failed.exit_code == 1 and "absent does not exist" in failed.output


def test_fit_delivers_weights_that_the_cache_verbs_see(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "weights"
    done = bench("fit", "-g", "flat-colour", "-t", "cam16-seg", *SMALL, "--out", str(out))
    assert done.exit_code == 0, done.output
    manifest = json.loads((out / "generate.manifest.json").read_text())
    assert manifest["train"] == {"patches": 9, "slides": 3, "size": 32}
    assert manifest["files"] and all((out / name).is_file() for name in manifest["files"])
    kinds = {json.loads(text)["kind"] for text in bench("cache", "list", "--json").output.splitlines()}
    assert {"data", "weights"} <= kinds
    assert "weights" in bench("cache", "list").output and str(home) in bench("cache", "size").output
    assert "removed" in bench("cache", "prune", "--keep", "1G").output
    assert bench("cache", "list").output
    bench("cache", "prune")
    assert not bench("cache", "list").output

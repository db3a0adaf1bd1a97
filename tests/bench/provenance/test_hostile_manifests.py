"""Manifests from strangers: what is none is named, with the place, by every command that reads one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as any_

from bench.errors import BenchError, DamagedError, MissingError
from bench.provenance import manifest
from leaderboards.suites import suite
from tests.hostile import FUZZ, NOT_FILES, put, within
from tests.small_run import WORDS, bench, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("manifests")
    return run("-g", "noise", *WORDS, "--controls", "none", "--seeds", "0", home=root / "home", out=root / "results")


def changed(**values: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda held: json.dumps({**held, **values}).encode()


def text(what: str, other: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda held: json.dumps(held).replace(what, other, 1).encode()


BAD: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "binary": (lambda held: b"\x00\xff\xfe", "not JSON"),
    "latin-1": (lambda held: json.dumps({**held, "note": "Münch"}, ensure_ascii=False).encode("latin-1"), "UTF-8"),
    "empty": (lambda held: b"", "not JSON"),
    "list": (lambda held: b"[]", "holds list and not an object"),
    "NaN": (changed(note=float("nan")), "NaN is no number"),
    "1e400": (text('"schema": 2', '"schema": 2, "note": 1e400'), "not finite"),
    "twice": (text('"schema": 2', '"schema": 2, "schema": 2'), "'schema' occurs twice"),
    "deep": (lambda held: b'{"schema":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels"),
    "half a pair": (changed(note="\ud800"), "half of a surrogate pair"),
    "schema": (changed(schema=[1]), "schema 2: found"),
    "samples a text": (changed(samples="x"), "samples"),
    "samples of numbers": (changed(samples=[1]), "samples.0"),
    "a part that is none": (changed(samples=[{"generator": "g", "seed": 0, "part": "x", "key": "k", "digest": ""}]), "part"),
    "files a list": (changed(files=[]), "files"),
    "weights of texts": (changed(weights={"g": "x"}), "weights.g"),
    "metrics without names": (lambda held: changed(described={**held["described"], "metrics": [{}]})(held), "metrics.0.name"),
    "config a list": (changed(config=[]), "config"),
    "config of another version": (lambda held: changed(config={**held["config"], "colour": 1})(held), "colour"),
    "seeds a text": (lambda held: changed(config={**held["config"], "seeds": "01"})(held), "seeds"),
    "versions a list": (changed(environment={"versions": []}), "environment.versions"),
}


def copy_of(made: Path, content: bytes, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for file in made.iterdir():
        (folder / file.name).write_bytes(file.read_bytes() if file.name != manifest.NAME else content)
    return folder


def test_the_manifest_of_a_run_is_one(made: Path) -> None:
    assert manifest.read(made)["samples"]


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_manifest_is_named(kind: str, made: Path, tmp_path: Path) -> None:
    change, message = BAD[kind]
    folder = copy_of(made, change(manifest.read(made)), tmp_path / "run")
    with within(10), pytest.raises(DamagedError, match=message) as found:
        manifest.read(folder)
    assert "manifest.json" in str(found.value) and len(str(found.value)) < 600
    for words in (("verify", folder), ("merge", folder, "--out", tmp_path / "all.jsonl")):
        done = bench(*words, home=tmp_path / "home")
        assert done.exit_code == 3 and "manifest.json" in done.stderr, done.output


@pytest.mark.parametrize("kind", ["binary", "latin-1", "deep", "twice"])
def test_a_report_names_it_too(kind: str, made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, BAD[kind][0](manifest.read(made)), tmp_path / "run")
    done = bench("report", folder, "--out", tmp_path / "page", "--patches", "0", home=tmp_path / "home")
    assert done.exit_code == 3 and "manifest.json" in done.stderr, done.output


@pytest.mark.parametrize("kind", [*NOT_FILES, "absent"])
@pytest.mark.parametrize("name", [manifest.NAME, manifest.PATCHES, manifest.RECORDS])
def test_what_is_no_file_is_named(name: str, kind: str, made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, (made / manifest.NAME).read_bytes(), tmp_path / "run")
    (folder / name).unlink()
    if kind != "absent":
        put(kind, folder / name)
    with within(60):
        done = bench("verify", folder, home=tmp_path / "home")
    assert done.exit_code == 3 and name in done.stderr, done.output


@pytest.mark.parametrize("kind", ["link to nothing", "loop of links", "absent"])
def test_a_run_that_is_not_there_is_named(kind: str, tmp_path: Path) -> None:
    if kind != "absent":
        put(kind, tmp_path / "run")
    for words in (("verify", tmp_path / "run"), ("report", tmp_path / "run", "--out", tmp_path / "page")):
        done = bench(*words, home=tmp_path / "home")
        assert done.exit_code == 3 and str(tmp_path / "run") in done.stderr, done.output


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{}", b'{"preset": "tiny", "cells": 3}', b"[" * 10**5])
def test_what_is_no_index_of_a_suite_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / suite.INDEX).write_bytes(content)
    with within(10), pytest.raises(MissingError, match="suite.json"):
        suite.index(tmp_path)


VALUES = any_.recursive(
    any_.none() | any_.booleans() | any_.integers(-5, 10**20) | any_.text(max_size=5),
    lambda inner: any_.lists(inner, max_size=2) | any_.dictionaries(any_.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@FUZZ
@given(data=any_.data())
def test_no_value_in_any_field_is_more_than_a_refusal(data: Any, made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    held = manifest.read(made)
    place, name = held, data.draw(any_.sampled_from(sorted(held)))
    while isinstance(place[name], dict) and place[name] and data.draw(any_.booleans()):
        place = place[name]
        name = data.draw(any_.sampled_from(sorted(place)))
    place[name] = data.draw(VALUES)
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    copy_of(made, json.dumps(held).encode(), folder)
    try:
        with within(10):
            found = manifest.read(folder)
            manifest.read_samples(folder, found)
            manifest.config_of(found)
    except BenchError as error:
        assert "manifest.json" in str(error) or "patches.csv" in str(error)

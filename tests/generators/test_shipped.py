"""Weights that come with the package: digests, versions and training configs agree, and nothing else is taken for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.errors import CorruptError, DamagedError, MissingError
from bench.pipeline.prompts import PromptRule, attached_key
from bench.pipeline.training import weight_files
from bench.provenance.digests import digest_of
from generators.diffusion import shipped
from generators.diffusion.shipped import SHIPPED
from generators.latent_diffusion.adapter import LdmEmbed, LdmPrompt, LdmSemantic
from generators.mask_diffusion.adapter import NasdmMasks
from generators.nasdm.adapter import Nasdm
from tasks.datasets.phantom.dataset import PhantomCam16, PhantomLizard

FOLDER = SHIPPED / "phantom-cam16"
NUCLEI = SHIPPED / "phantom-lizard"
PLAIN = PhantomCam16().key("train")
PROMPTED = attached_key(PLAIN, PromptRule())
LIZARD = PhantomLizard().key("train")
VARIANTS = [
    (LdmSemantic, PLAIN, FOLDER),
    (LdmPrompt, PROMPTED, FOLDER),
    (LdmEmbed, PROMPTED, FOLDER),
    (Nasdm, LIZARD, NUCLEI),
    (NasdmMasks, LIZARD, NUCLEI),
]


@pytest.mark.parametrize(("variant", "key", "folder"), VARIANTS)
def test_manifest_agrees_with_files_card_training_config_and_data(variant: Any, key: str, folder: Path) -> None:
    held = json.loads((folder / f"{variant.card.name}.manifest.json").read_text())
    assert held["name"] == variant.card.name and held["version"] == variant.card.version
    assert held["training_config"] == json.loads(json.dumps(variant().training_config()))
    assert held["train_key"] == key and held["train"]["slides"] == 100
    assert held["command"] and held["stamp"]["torch"]
    assert {f"{variant.card.name}.safetensors", f"{variant.card.name}.json"} <= set(held["files"])
    assert held["files"] == {name: digest_of(folder / name) for name in held["files"]}


@pytest.mark.parametrize(("variant", "key", "folder"), VARIANTS)
def test_they_are_found_for_their_training_set_and_training_config_only(variant: Any, key: str, folder: Path) -> None:
    assert variant().shipped(key) == folder
    assert variant(sample_steps=5).shipped(key) == folder, "sampling options do not change weights"
    assert variant().shipped("another") is None
    assert variant(steps=10).shipped(key) is None
    assert variant(preset="paper").shipped(key) is None
    if key == PROMPTED:
        assert variant().shipped(attached_key(PLAIN, PromptRule(prompt_source="self"))) is None


@pytest.mark.parametrize(("variant", "key", "folder"), VARIANTS)
def test_they_load_into_the_network_of_the_preset(variant: Any, key: str, folder: Path) -> None:
    variant().load(folder)


def test_damage_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FOLDER, tmp_path / "phantom-cam16")
    weights = tmp_path / "phantom-cam16" / "ldm-prompt.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    with pytest.raises(MissingError, match="ldm-prompt.safetensors is damaged"):
        LdmPrompt().shipped(PROMPTED)


MANIFESTS = {
    "no text": b"\xff\xfe",
    "no JSON": b'{"files": ',
    "too deep": b"[" * 100_000,
    "a list": b"[]",
    "nothing": b"{}",
    "no digests": b'{"train_key": "a", "training_config": {}, "files": ["a"]}',
    "a number for a digest": b'{"train_key": "a", "training_config": {}, "files": {"a": 1}}',
    "a path": b'{"train_key": "a", "training_config": {}, "files": {"../a": "b"}}',
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_damaged_manifest_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/ldm-prompt.manifest.json").write_bytes(MANIFESTS[kind])
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    with pytest.raises(CorruptError, match=r"ldm-prompt\.manifest\.json.*reinstall histobench"):
        LdmPrompt().shipped(PROMPTED)
    with pytest.raises(DamagedError, match=r"ldm-prompt\.manifest\.json"):
        weight_files(tmp_path / "set", "ldm-prompt")


def test_a_file_that_a_manifest_names_and_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    shutil.copyfile(FOLDER / "ldm-prompt.manifest.json", tmp_path / "set/ldm-prompt.manifest.json")
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    with pytest.raises(CorruptError, match="set/.* is damaged: reinstall"):
        LdmPrompt().shipped(PROMPTED)


NOTES: dict[str, object] = {
    "a list": [],
    "no classes": {"classes": None},
    "a text": {"classes": "7"},
    "true": {"classes": True},
    "negative": {"classes": -2},
    "many": {"classes": 10**30},
    "no numbers": {"mean": "a", "class_weights": {}},
    "a few": {"mean": [0.5], "class_weights": [1]},
    "too large": {"mean": [1e300] * 8, "class_weights": [1e300] * 9},
    "a size": {"size": 10**12, "mean": 3},
}


def damages_of_notes() -> list[Any]:
    """(variant, folder, kind of damage), where the notes of the variant have the field."""
    found = []
    for variant, folder in ((LdmSemantic, FOLDER), (Nasdm, NUCLEI), (NasdmMasks, NUCLEI)):
        held = json.loads((folder / f"{variant.card.name}.json").read_text(encoding="utf-8"))
        kinds = [kind for kind, changed in NOTES.items() if not isinstance(changed, dict) or changed.keys() & held.keys()]
        found += [pytest.param(variant, folder, kind, id=f"{variant.card.name} {kind}") for kind in kinds]
    return found


@pytest.mark.parametrize(("variant", "folder", "kind"), damages_of_notes())
def test_damaged_notes_beside_weights_are_named(variant: Any, folder: Path, kind: str, tmp_path: Path) -> None:
    name = f"{variant.card.name}.json"
    for file in folder.iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    held, changed = json.loads((folder / name).read_text()), NOTES[kind]
    (tmp_path / name).write_text(json.dumps({**held, **changed} if isinstance(changed, dict) else changed))
    with pytest.raises(DamagedError, match=name):
        variant().load(tmp_path)


def test_they_are_small_enough_to_ship() -> None:
    assert all(sum(file.stat().st_size for file in folder.iterdir()) < 13e6 for folder in (FOLDER, NUCLEI))

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import registry
from bench.errors import CorruptError, MissingError
from bench.types import Features, ImageSet
from metrics.encoders.builtin import phantom_cnn
from metrics.encoders.builtin.phantom_cnn import SHIPPED, PhantomCnn

WEIGHTS = SHIPPED / "weights.safetensors"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return dict(json.loads((SHIPPED / "manifest.json").read_text()))


def test_shipped_weights_manifest_and_encoder_agree_on_the_digest(manifest: dict[str, Any]) -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest == manifest["sha256"] == PhantomCnn().digest
    assert registry.describe(PhantomCnn())["digest"] == digest


@pytest.mark.parametrize("damage", ["weights", "no manifest", "no digest", "a number"])
def test_weights_that_are_not_those_of_the_manifest_are_refused(
    damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tissue: ImageSet
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "cnn")
    monkeypatch.setattr(phantom_cnn, "SHIPPED", tmp_path / "cnn")
    assert PhantomCnn().digest == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(), "an undamaged copy serves"
    if damage == "weights":
        held = bytearray(WEIGHTS.read_bytes())
        held[-9] ^= 1
        (tmp_path / "cnn" / "weights.safetensors").write_bytes(held)
    elif damage == "no manifest":
        (tmp_path / "cnn" / "manifest.json").unlink()
    else:
        (tmp_path / "cnn" / "manifest.json").write_text('{"sha256": 3}' if damage == "a number" else "{}")
    for ask in (lambda: PhantomCnn().digest, lambda: PhantomCnn().encode(tissue.images[:1])):
        with pytest.raises(CorruptError, match=r"(?i)install histobench again"):
            ask()


def test_the_manifest_is_of_this_version_and_this_training_config(manifest: dict[str, Any]) -> None:
    assert (manifest["name"], manifest["version"]) == (PhantomCnn.card.name, PhantomCnn.card.version)
    assert manifest["command"].startswith("python -m metrics.encoders.builtin.phantom_cnn --out DIR")
    training_config = registry.describe(registry.load("datasets", "phantom-cam16", **phantom_cnn.DATASET))
    assert {name: manifest["dataset"][name] for name in training_config} == training_config
    assert set(manifest["versions"]) == {"numpy", "scipy", "torch"}


def test_its_slides_are_those_of_no_run() -> None:
    assert phantom_cnn.DATASET["seed"] != registry.load("datasets", "phantom-cam16").seed
    mine, runs = (
        registry.load("datasets", "phantom-cam16", seed=seed, train_slides=1, per_slide=1).split("train")
        for seed in (phantom_cnn.DATASET["seed"], 0)
    )
    assert mine.key != runs.key
    assert (mine.images != runs.images).mean() > 0.9


def test_it_read_held_out_slides_well(manifest: dict[str, Any]) -> None:
    for what in ("type", "tissue"):
        assert manifest["heldout"][f"{what}_accuracy"] > 0.9 > manifest["heldout"][f"{what}_commonest"]


def test_the_weights_are_small_and_in_half_precision() -> None:
    import torch
    from safetensors.torch import load_file

    assert WEIGHTS.stat().st_size < 2**20
    kinds = {value.dtype for value in load_file(WEIGHTS).values() if value.is_floating_point()}
    assert kinds == {torch.float16}


def test_its_features_tell_how_much_of_each_nucleus_and_tissue_there_is(tissue: ImageSet) -> None:
    features, types, masks = PhantomCnn().encode(tissue.images), tissue.conditions.types, tissue.conditions.masks
    assert types is not None and masks is not None
    learn = np.unique(tissue.conditions.groups, return_inverse=True)[1] % 2 == 0
    for name, share in (("tumour", masks == 1), ("epithelial", types == 2), ("lymphocyte", types == 3)):
        assert explained(features, share.mean((1, 2)), learn) > 0.75, name  # 0.92, 0.92 and 0.85


def explained(features: Features, share: NDArray[np.float64], learn: NDArray[np.bool_]) -> float:
    """Share of the variance on the other slides that a ridge regression on the slides to `learn` explains."""
    table = (features - features[learn].mean(axis=0)).astype(np.float64) / (features[learn].std(axis=0) + 1e-6)
    centred = share - share[learn].mean()
    weights = np.linalg.solve(table[learn].T @ table[learn] + 10 * np.eye(table.shape[1]), table[learn].T @ centred[learn])
    return float(1 - ((table @ weights - centred)[~learn] ** 2).mean() / centred[~learn].var())


def small(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> dict[str, Any]:
    monkeypatch.setattr(
        phantom_cnn, "DATASET", {"seed": 5, "train_slides": 4, "validation_slides": 1, "per_slide": 2, "size": 32}
    )
    monkeypatch.setattr(phantom_cnn, "BATCH", 4)
    phantom_cnn.main(["--out", str(folder), "--steps", "10", *options])
    return dict(json.loads((folder / "manifest.json").read_text()))


def test_training_writes_weights_that_the_encoder_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = small(monkeypatch, tmp_path / "made")
    assert found["steps"] == 10
    assert found["dataset"]["options"]["seed"] == 5
    assert found["sha256"] == hashlib.sha256((tmp_path / "made" / "weights.safetensors").read_bytes()).hexdigest()
    monkeypatch.setattr(phantom_cnn, "SHIPPED", tmp_path / "made")
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert np.isfinite(PhantomCnn().encode(images)).all()
    assert PhantomCnn().digest == found["sha256"]


def test_the_same_seed_trains_the_same_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digests = [
        small(monkeypatch, tmp_path / name, "--seed", seed)["sha256"] for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_too_few_steps_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        phantom_cnn.main(["--out", str(tmp_path), "--steps", "0"])
    assert "--steps takes at least 10" in capsys.readouterr().err


def test_missing_weights_are_named_with_the_command_that_makes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(phantom_cnn, "SHIPPED", tmp_path)
    with pytest.raises(MissingError, match="python -m metrics.encoders.builtin.phantom_cnn --out"):
        PhantomCnn().encode(np.zeros((1, 64, 64, 3), dtype=np.uint8))

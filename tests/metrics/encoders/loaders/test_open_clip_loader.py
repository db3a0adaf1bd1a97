from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.errors import DamagedError, MissingError, UsageError
from bench.types import Encoder, Images
from metrics.encoders.loaders.open_clip_loader import OpenClip
from metrics.encoders.pretrained import encoder

from ..conftest import SMALL, cached, opened, published, saved

MODEL = {"embed_dim": 16, "vision_cfg": SMALL["quiltnet"].build["vision"], "text_cfg": {"layers": 1}}


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip knows a small network."""
    from bench.runtime import torchvision_shim

    torchvision_shim.ready()
    monkeypatch.setattr("open_clip.get_model_config", {"tiny": MODEL}.get)


def test_a_registered_network_reads_a_file(tower: None, weights: Path, patches: Images) -> None:
    found = registry.load("encoders", "open_clip:tiny", weights=str(weights / "quiltnet.safetensors"))
    assert isinstance(found, Encoder)
    assert found.dim == 16
    np.testing.assert_array_equal(found.encode(patches), opened("quiltnet", weights).encode(patches))
    assert registry.describe(found)["digest"] == opened("quiltnet", weights).digest


def test_a_network_of_the_hub_brings_its_configuration(hub: Path, patches: Images, tmp_path: Path) -> None:
    files = [saved(published(SMALL["quiltnet"]), tmp_path / "open_clip_model.safetensors")]
    features = []
    for more in ({}, {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, {"interpolation": "bilinear"}):
        config: dict[str, Any] = {"model_cfg": MODEL, "preprocess_cfg": more}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        cached(hub, "owner/model", *files, tmp_path / "open_clip_config.json")
        features.append(OpenClip("hf-hub:owner/model").encode(patches))
    plain, colours, smooth = features
    assert plain.shape == (5, 16)
    assert np.abs(plain - colours).max() > 1e-2 and np.abs(plain - smooth).max() > 1e-4


def test_the_configuration_beside_panel_weights_decides_the_activation(patches: Images, tmp_path: Path) -> None:
    row = SMALL["quiltnet"]
    saved(published(row), tmp_path / "quiltnet" / "open_clip_model.safetensors")
    plain = encoder(row)(tmp_path).encode(patches)
    for quick in (False, True):
        config = {"model_cfg": {**MODEL, "quick_gelu": quick}}
        (tmp_path / "quiltnet" / "open_clip_config.json").write_text(json.dumps(config))
        same = np.array_equal(encoder(row)(tmp_path).encode(patches), plain)
        assert same != quick


def test_wrong_names_and_weights_are_refused(hub: Path, tower: None, weights: Path) -> None:
    with pytest.raises(UsageError, match="open_clip has no network 'ViT-B-3'. Did you mean 'ViT-B-32'"):
        _ = OpenClip("ViT-B-3").dim
    with pytest.raises(UsageError, match="a network is named NAME or hf-hub:OWNER/NAME, not file:"):
        _ = OpenClip("file:somewhere").dim
    with pytest.raises(MissingError, match="open_clip:tiny comes without weights. .*-o weights=FILE"):
        _ = OpenClip("tiny").digest
    with pytest.raises(MissingError, match="open_clip:hf-hub:owner/model: no weights here"):
        _ = OpenClip("hf-hub:owner/model").dim
    with pytest.raises(DamagedError, match="open_clip:tiny: the weights in .* are not this network's"):
        OpenClip("tiny", weights / "biomedclip.safetensors").encode(np.zeros((1, 28, 28, 3), dtype=np.uint8))

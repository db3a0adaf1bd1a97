"""A hub without a network, and panel rows small enough to be run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.types import Images
from metrics.encoders.kinds import kind
from metrics.encoders.panel import ROWS
from metrics.encoders.pretrained import Pretrained, encoder
from metrics.encoders.row import Row

BY_NAME = {row.name: row for row in ROWS}
VIT = {"depth": 2, "embed_dim": 24, "num_heads": 2}
TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}


def small(name: str, build: dict[str, Any], **changes: Any) -> Row:
    """A row of the panel with a narrow network in place of its own."""
    row = BY_NAME[name]
    return replace(row, build={**row.build, **build}, **changes)


def settings(name: str, **more: Any) -> dict[str, Any]:
    return {"settings": {**BY_NAME[name].build["settings"], **TINY, **more}}


SMALL = {
    row.name: row
    for row in (
        small("uni2-h", {**VIT, "img_size": 28}, dim=24, side=28),
        small("virchow2", {**VIT, "img_size": 28}, dim=48, side=28),
        small("gigapath", {**VIT, "img_size": 32}, dim=24, side=32, shorter=36),
        small("kaiko-vitl14", {**VIT, "img_size": 56}, dim=24, side=28),
        small("lunit-rn50-bt", {"architecture": "test_resnet"}, dim=96, side=64),
        small("phikon", settings("phikon", intermediate_size=48), dim=24, side=28),
        small("midnight", settings("midnight", image_size=56), dim=24, side=28),
        small("hibou-b", settings("hibou-b"), dim=24, side=28),
        small("clip-l", settings("clip-l", intermediate_size=48, projection_dim=16), dim=16, side=28),
        small("quiltnet", {"vision": {"layers": 2, "width": 64, "patch_size": 14, "image_size": 28}}, dim=16, side=28),
        small("biomedclip", {"vision": {**BY_NAME["biomedclip"].build["vision"], "timm_model_name": "test_vit"}}, dim=16),
        small("conch", {"architecture": "test_vit"}, dim=16, side=64),
        BY_NAME["ctranspath"],
        BY_NAME["inception"],
    )
}
"""At least one of every loader, pooling and filter; the last two are as published."""


def published(row: Row) -> dict[str, Any]:
    """A random state dict as its publisher would have saved it."""
    import torch

    torch.manual_seed(0)
    network = kind(row).build(row)
    for tensor in network.parameters():  # strong enough that a network of any depth tells images apart
        wide = tensor.ndim > 1
        torch.nn.init.normal_(tensor, 0 if wide else 0.3, 1.5 / tensor[0].numel() ** 0.5 if wide else 0.5)
    return {name: tensor.detach().clone().contiguous() for name, tensor in kind(row).names(network).items()}


def saved(state: dict[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights of every small row."""
    folder = tmp_path_factory.mktemp("weights")
    for name, row in SMALL.items():
        saved(published(row), folder / f"{name}.safetensors")
    return folder


def opened(name: str, weights: Path) -> Pretrained:
    return encoder(SMALL[name])(weights)


@pytest.fixture(scope="session")
def patches() -> Images:
    """Five patches of 40 x 48 px with large and small structure, each of its own colour."""
    draw = np.random.default_rng(0)
    large = draw.uniform(20, 235, (5, 5, 6, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return (large + draw.normal(0, 8, (5, 40, 48, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, of torch too, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    return tmp_path / "hub"


def cached(hub: Path, repository: str, *files: Path, kind: str = "models") -> None:
    """Puts files where the hub's client keeps what it has downloaded."""
    folder = hub / f"{kind}--{repository.replace('/', '--')}"
    revision = "0" * 40
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / "snapshots" / revision / file.name)

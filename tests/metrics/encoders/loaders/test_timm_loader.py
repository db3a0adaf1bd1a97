from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.errors import MissingError, UsageError
from bench.runtime import torchvision_shim
from bench.types import Encoder, Images
from metrics.encoders.loaders.timm_loader import Timm
from metrics.encoders.preprocessing import resize

from ..conftest import cached, saved

Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_shim.ready()
    import timm

    return timm


@pytest.fixture(scope="module")
def network(timm: Any) -> Any:
    """A tiny network of random weights, classifier and all."""
    import torch

    torch.manual_seed(0)
    return timm.create_model("test_resnet", pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(network.state_dict(), tmp_path_factory.mktemp("weights") / "resnet.safetensors")


@pytest.fixture(scope="module")
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def test_features_are_those_of_timms_own_pipeline(timm: Any, network: Any, weights: Path, images: Images) -> None:
    import torch

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = network.forward_head(network.forward_features(pixels), pre_logits=True).numpy()
    encoder = Timm("test_resnet", weights)
    features = encoder.encode(images)
    assert isinstance(encoder, Encoder)
    assert features.dtype == np.float32
    assert features.shape == (5, encoder.dim) == expected.shape
    np.testing.assert_allclose(features, expected, atol=0.01 * expected.std())  # Pillow rounds to whole levels


@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
@pytest.mark.parametrize("side", [24, 160])
def test_resizing_is_that_of_pillow(name: str, side: int, images: Images) -> None:
    import torch

    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    found = (resize(pixels, side, 1.0, name) + 1).permute(0, 2, 3, 1).numpy() * 127.5
    expected = np.stack([np.asarray(Image.fromarray(image).resize((side, side), filters[name])) for image in images])
    assert abs(found - expected).max() < 1.5  # levels of 255: Pillow rounds after each axis


def test_a_crop_takes_the_centre(images: Images) -> None:
    import torch

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(resize(pixels, 32, 0.5, "bicubic"), pixels[:, :, 16:48, 16:48])
    assert resize(pixels[:, :, :, :40], 32, 1.0, "bicubic").shape == (5, 3, 32, 32)


def test_rows_do_not_depend_on_their_batch(weights: Path, images: Images) -> None:
    encoder = Timm("test_resnet", weights)
    many = np.concatenate([images] * 4)
    whole = encoder.encode(many)
    np.testing.assert_allclose(encoder.encode(images[:1]), whole[:1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(many[::-1]), whole[::-1], rtol=0, atol=1e-5)


def test_the_registry_takes_the_name_after_the_colon_and_keys_hold_the_weights(weights: Path) -> None:
    spec = registry.describe(registry.load("encoders", "timm:test_resnet", weights=str(weights), size="96"))
    assert spec["options"] == {"name": "test_resnet", "weights": str(weights), "size": 96}
    assert spec["digest"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_a_torch_file_gives_the_same_features(network: Any, weights: Path, images: Images, tmp_path: Path) -> None:
    import torch

    expected = Timm("test_resnet", weights).encode(images)
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}
    for content in (network.state_dict(), wrapped):
        torch.save(content, tmp_path / "net.pth")
        np.testing.assert_array_equal(Timm("test_resnet", tmp_path / "net.pth").encode(images), expected)


def test_weights_without_a_classifier_do(network: Any, weights: Path, images: Images, tmp_path: Path) -> None:
    body = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    headless = Timm("test_resnet", saved(body, tmp_path / "body.safetensors"))
    np.testing.assert_array_equal(headless.encode(images), Timm("test_resnet", weights).encode(images))


def test_a_weight_missing_or_too_many_is_named(network: Any, tmp_path: Path) -> None:
    state = network.state_dict()
    first = next(iter(state))
    less = saved({name: value for name, value in state.items() if name != first}, tmp_path / "less.safetensors")
    more = saved({**state, "surplus": state[first].clone()}, tmp_path / "more.safetensors")
    with pytest.raises(MissingError, match=rf"not this network's.*{first}"):
        _ = Timm("test_resnet", less).dim
    with pytest.raises(MissingError, match=r"not this network's.*surplus"):
        _ = Timm("test_resnet", more).dim
    with pytest.raises(MissingError, match="not this network's"):
        _ = Timm("test_vit", more).dim


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_weights_is_never_run(tmp_path: Path) -> None:
    import torch

    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "net.pth")
    with pytest.raises(MissingError, match="code from weights is never run"):
        _ = Timm("test_resnet", tmp_path / "net.pth").dim
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_damaged_files_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(MissingError, match=rf"{name} is damaged"):
        _ = Timm("test_resnet", tmp_path / name).dim
    with pytest.raises(MissingError, match=r"no weights file .*absent"):
        _ = Timm("test_resnet", tmp_path / "absent").digest


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet1", r"no network 'resnet1'. Did you mean 'resnet18'"),
        ("resnet18.a9_in1k", r"Did you mean 'resnet18.a._in1k'"),
        ("local-dir:somewhere", "NAME or hf-hub:OWNER/NAME"),
    ],
)
def test_unknown_networks_are_refused_with_a_suggestion(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Timm(name).encode(np.zeros((1, 64, 64, 3), dtype=np.uint8))


def test_without_weights_the_option_is_named(hub: Path) -> None:
    with pytest.raises(MissingError, match="timm/test_resnet.r160_in1k.*HF_HUB_OFFLINE.*-o weights=FILE"):
        _ = Timm("test_resnet").digest
    with pytest.raises(MissingError, match="owner/model.*HF_HUB_OFFLINE.*-o weights=FILE"):
        _ = Timm("hf-hub:owner/model").dim


def test_weights_come_from_the_hubs_cache(hub: Path, weights: Path, images: Images, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / "model.safetensors")
    cached(hub, "timm/test_resnet.r160_in1k", tmp_path / "model.safetensors")
    fetched, given = Timm("test_resnet"), Timm("test_resnet", weights)
    assert fetched.digest == given.digest
    np.testing.assert_array_equal(fetched.encode(images), given.encode(images))


def test_a_repository_that_holds_a_torch_file_alone_will_do(
    hub: Path, network: Any, weights: Path, images: Images, tmp_path: Path
) -> None:
    import torch

    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    cached(hub, "timm/test_resnet.r160_in1k", tmp_path / "pytorch_model.bin")
    np.testing.assert_array_equal(Timm("test_resnet").encode(images), Timm("test_resnet", weights).encode(images))


def test_a_network_of_the_hub_brings_its_own_configuration(
    hub: Path, network: Any, weights: Path, images: Images, tmp_path: Path
) -> None:
    config = {"input_size": [3, 64, 64], "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.3, 0.2], "crop_pct": 1.0}
    config |= {"interpolation": "bilinear", "classifier": "fc", "first_conv": "conv1", "num_classes": 1000}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": config}))
    shutil.copy(weights, tmp_path / "model.safetensors")
    cached(hub, "owner/model", tmp_path / "model.safetensors", tmp_path / "config.json")
    import torch

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.7, 0.6, 0.7]), torch.tensor([0.2, 0.3, 0.2])
    with torch.inference_mode():
        maps = network.forward_features((pixels - mean[:, None, None]) / std[:, None, None])
        expected = network.forward_head(maps, pre_logits=True).numpy()
    np.testing.assert_allclose(Timm("hf-hub:owner/model").encode(images), expected, rtol=1e-3, atol=1e-4)


def test_size_is_what_the_network_sees(timm: Any, weights: Path, images: Images, tmp_path: Path) -> None:
    small, whole = Timm("test_resnet", weights, size=64), Timm("test_resnet", weights)
    assert small.dim == whole.dim
    assert abs(small.encode(images) - whole.encode(images)).max() > 1e-3
    transformer = saved(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    assert np.isfinite(Timm("test_vit", transformer, size=96).encode(images)).all()
    with pytest.raises(UsageError, match="does not take patches at 100 px"):
        Timm("test_vit", transformer, size=100).encode(images)
    with pytest.raises(UsageError, match="at least 1 px, not 0"):
        Timm("test_vit", transformer, size=0)

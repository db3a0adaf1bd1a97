"""The image side of open_clip's networks: `open_clip:NAME`, and those of the panel."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench.errors import DamagedError, UsageError, did_you_mean
from bench.files import json_files
from bench.files.regular import is_there
from bench.messages import describe_error
from bench.runtime import torchvision_shim
from bench.types import Card, Features, Images
from metrics.encoders.kinds import Kind
from metrics.encoders.pretrained import Pretrained, encoder
from metrics.encoders.row import CLIP, Row
from metrics.encoders.weights import Hub, Nowhere

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = "open_clip_config.json"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PAGE = "https://github.com/mlfoundations/open_clip"


class OpenClip:
    """`open_clip:ViT-B-32` with `-o weights=FILE`, or `open_clip:hf-hub:owner/model`: projected image features.

    Only the tensors visual.* of a checkpoint are read, whether or not it has a text part.
    """

    card = Card(
        "open_clip",
        "1",
        "A network of the open_clip library: open_clip:NAME, with -o weights=FILE or from the hub.",
        licence="that of the weights",
        source=PAGE,
    )

    def __init__(self, name: str, weights: Path | None = None) -> None:
        self.name = name
        self.weights = weights

    @property
    def dim(self) -> int:
        return self._encoder.dim

    @property
    def digest(self) -> str:
        """sha256 of the file that holds the weights."""
        return self._encoder.digest

    def encode(self, images: Images) -> Features:
        """float32 (n, dim) of patches of any size."""
        return self._encoder.encode(images)

    @cached_property
    def _encoder(self) -> Pretrained:
        return encoder(self._row)(self.weights)

    @property
    def _row(self) -> Row:
        called = f"open_clip:{self.name}"
        source, _, repository = self.name.partition(":")
        if not repository:
            return _row(called, Nowhere(PAGE), _find_config(self.name), {})
        if source != "hf-hub":
            raise UsageError(f"{called}: a network is named NAME or hf-hub:OWNER/NAME, not {source}:...")
        model, preprocess = _read_config(Hub(repository, (CONFIG,)).fetch(called))
        return _row(called, Hub(repository, FILES), model, preprocess)


def _row(name: str, origin: Hub | Nowhere, model: dict[str, Any], preprocess: dict[str, Any]) -> Row:
    """open_clip's description of a network, as a row."""
    size = model["vision_cfg"].get("image_size", 224)
    mean, std = preprocess.get("mean", CLIP[0]), preprocess.get("std", CLIP[1])
    return Row(
        name,
        OpenClip.card.summary,
        origin,
        "open_clip",
        build=_architecture(model),
        dim=model["embed_dim"],
        norm=((*mean,), (*std,)),  # type: ignore[arg-type]
        side=size if isinstance(size, int) else size[0],
        filter=preprocess.get("interpolation", "bicubic"),
        pooling="projected",
        reads=("visual.",),
    )


def _read_config(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network and its input as a configuration file describes them."""
    held = json_files.read_object(file, "configuration")
    model, preprocess = held.get("model_cfg"), held.get("preprocess_cfg", {})
    if not isinstance(model, dict) or not isinstance(model.get("vision_cfg"), dict) or not isinstance(preprocess, dict):
        raise DamagedError(f"{file} describes no network of open_clip: it needs model_cfg with vision_cfg. Fetch it again.")
    if not isinstance(model.get("embed_dim"), int):
        raise DamagedError(f"{file} describes no network of open_clip: model_cfg needs a whole number embed_dim.")
    return model, preprocess


def _architecture(model: dict[str, Any]) -> dict[str, Any]:
    vision = {key: value for key, value in model["vision_cfg"].items() if key != "timm_model_pretrained"}
    return {"quick_gelu": model.get("quick_gelu", False), "vision": vision}


def _find_config(name: str) -> dict[str, Any]:
    torchvision_shim.ready()
    import open_clip

    found = open_clip.get_model_config(name)
    if found is None:
        raise UsageError(f"open_clip has no network {name!r}.{did_you_mean(name, open_clip.list_models())}")
    return cast(dict[str, Any], found)


def _build(row: Row) -> nn.Module:
    torchvision_shim.ready()
    from open_clip.model import _build_vision_tower  # the text side would ask the hub for its own configuration
    from torch.nn import ModuleDict

    try:
        return ModuleDict({"visual": _build_vision_tower(row.dim, dict(row.build["vision"]), row.build["quick_gelu"])})
    except Exception as error:  # a configuration from outside may hold anything
        raise DamagedError(f"{row.name}: its configuration describes no network: {describe_error(error)}") from error


def _features(row: Row, network: nn.Module, pixels: Tensor) -> Tensor:
    features: Tensor = network.get_submodule("visual")(pixels)
    return features


def _configure(row: Row, file: Path) -> Row:
    """The architecture as described by the configuration file beside the weights, if there is one."""
    config = file.parent / CONFIG
    if not is_there(config):
        return row
    return replace(row, build=_architecture(_read_config(config)[0]))


KIND = Kind(_build, _features, configured=_configure)

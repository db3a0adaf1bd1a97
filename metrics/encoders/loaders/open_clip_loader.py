"""The image side of open_clip's networks: `open_clip:NAME`, and those of the panel."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench.errors import UsageError, did_you_mean
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
        config = json.loads(Hub(repository, (CONFIG,)).fetch(called).read_text(encoding="utf-8"))
        return _row(called, Hub(repository, FILES), config["model_cfg"], config.get("preprocess_cfg", {}))


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

    return ModuleDict({"visual": _build_vision_tower(row.dim, dict(row.build["vision"]), row.build["quick_gelu"])})


def _features(row: Row, network: nn.Module, pixels: Tensor) -> Tensor:
    features: Tensor = network.get_submodule("visual")(pixels)
    return features


def _configure(row: Row, file: Path) -> Row:
    """The architecture as described by the configuration file beside the weights, if there is one."""
    config = file.parent / CONFIG
    if not config.is_file():
        return row
    return replace(row, build=_architecture(json.loads(config.read_text(encoding="utf-8"))["model_cfg"]))


KIND = Kind(_build, _features, configured=_configure)

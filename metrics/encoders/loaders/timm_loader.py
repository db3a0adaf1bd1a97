"""Any image network of the timm library, with weights from a file or from the Hugging Face hub; and those of the panel.

The image is resized and normalised as the network's configuration says, with an antialiased filter (Parmar et al. 2022, arXiv
2104.11222: without it, distances measure the resizer).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError, MissingError, UsageError, did_you_mean
from bench.files.regular import check_regular, is_there
from bench.messages import describe_error
from bench.provenance.digests import digest_of
from bench.runtime import torchvision_shim
from bench.runtime.precision import device, inference
from bench.types import Card, Features, Images
from metrics.encoders.batches import check_images, freeze, run_batches, run_token_batches
from metrics.encoders.kinds import Kind, grid, pool
from metrics.encoders.loaders.checkpoints import read
from metrics.encoders.preprocessing import resize
from metrics.encoders.row import Row
from metrics.encoders.weights import Hub, Nowhere, Origin, local_only

if TYPE_CHECKING:
    from torch import Tensor, nn

FAULTS = (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError)
"""What the library raises on tensors of another network."""

Config = dict[str, Any]
"""timm's own description of a network's weights and input: input_size, mean, std, interpolation, crop_pct, hf_hub_id."""


class Timm:
    """`timm:NAME`, for example `timm:resnet18` or `timm:hf-hub:owner/model`: the features before its classifier.

    `weights` is a safetensors file or a torch file of tensors (read with weights_only, so that no code in it runs);
    without it those of the hub are used, from its local cache if they are there. `size` is the side in pixels to which a patch
    is resized, in place of the one that the network was trained with.
    """

    card = Card(
        "timm",
        "1",
        "A network of the timm library: timm:NAME, with -o weights=FILE or from the hub.",
        licence="that of the weights",
        source="https://github.com/huggingface/pytorch-image-models",
        notes="The centre crop of many configurations removes the border of a patch.",
    )

    def __init__(self, name: str, weights: Path | None = None, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise UsageError(f"timm:{name} takes patches of at least 1 px, not {size}.")
        self.name = name
        self.weights = weights
        self.size = size

    @cached_property
    def digest(self) -> str:
        """sha256 of the file that holds the weights."""
        return digest_of(self._file)

    @cached_property
    def dim(self) -> int:
        """Number of features, found by showing the network one black patch."""
        import torch

        try:
            with inference():
                features = self._network(torch.zeros(1, 3, self._side, self._side, device=device()))
        except (AssertionError, RuntimeError) as error:
            raise UsageError(f"timm:{self.name} does not take patches at {self._side} px: {describe_error(error)}") from error
        if features.ndim != 2:
            raise UsageError(f"timm:{self.name} gives {tuple(features.shape)} for one patch, not one row of features.")
        return int(features.shape[1])

    def encode(self, images: Images) -> Features:
        """float32 (n, dim) of patches of any size."""
        return run_batches(self._forward, check_images(f"timm:{self.name}", images), self.dim)

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        """float32 (n, rows, columns, d) of the whole patch, resized without the centre crop of `encode`. UsageError where the
        network ends in no grid."""
        return run_token_batches(self._forward_tokens, check_images(f"timm:{self.name}", images))

    def _forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self._network(self._prepared(pixels, self._config["crop_pct"]))
        return features

    def _forward_tokens(self, pixels: Tensor) -> Tensor:
        return token_map(f"timm:{self.name}", self._network, self._prepared(pixels, 1.0))

    def _prepared(self, pixels: Tensor, crop: float) -> Tensor:
        seen = resize(pixels, self._side, crop, self._config["interpolation"])
        mean, std = (pixels.new_tensor(self._config[name])[:, None, None] for name in ("mean", "std"))
        return ((seen + 1) / 2 - mean) / std

    @property
    def _side(self) -> int:
        return self.size or int(self._config["input_size"][-1])

    @cached_property
    def _config(self) -> Config:
        return _config(self.name)

    @cached_property
    def _file(self) -> Path:
        if self.weights is None:
            return _origin(self._config).fetch(f"timm:{self.name}")
        if not is_there(self.weights):
            raise MissingError(f"timm:{self.name}: no weights file {self.weights}.")
        check_regular(self.weights, f"weights of timm:{self.name}")
        return self.weights

    @cached_property
    def _network(self) -> nn.Module:
        return freeze(_build(self.name, self._config, self._file, self.size))


def _timm() -> Any:
    """The library, whose functions are mostly untyped."""
    torchvision_shim.ready()
    import timm

    return timm


def _config(name: str) -> Config:
    timm = _timm()
    source, _, repository = name.partition(":")
    if repository and source != "hf-hub":
        raise UsageError(f"timm:{name}: a network is named NAME or hf-hub:OWNER/NAME, not {source}:...")
    if repository:
        Hub(repository, ("config.json",)).fetch(f"timm:{name}")
        with local_only():
            found: Config = timm.models.load_model_config_from_hf(repository)[0]
    else:
        found = _find_config(name)
    known = {**found, **timm.data.resolve_data_config(pretrained_cfg=found)}
    if known["interpolation"] not in ("bicubic", "bilinear"):
        raise UsageError(f"timm:{name} was trained with {known['interpolation']} resizing, which is not offered here.")
    return known


def _find_config(name: str) -> Config:
    timm = _timm()
    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an architecture that timm knows, with a tag that it does not
        found = None
    if found is None:
        near = did_you_mean(name, [*timm.list_models(), *timm.list_pretrained()])
        raise UsageError(f"timm {timm.__version__} has no network {name!r}.{near} See timm.list_pretrained().")
    return cast(Config, found.to_dict())


def _origin(config: Config) -> Origin:
    """Where the library says the weights are; older repositories hold a torch file alone."""
    repository, _, revision = str(config.get("hf_hub_id") or "").partition("@")
    if not repository:
        return Nowhere("https://github.com/huggingface/pytorch-image-models")
    named = config.get("hf_hub_filename") or "pytorch_model.bin"
    return Hub(repository, ("model.safetensors", named), revision=revision or None)


def _build(name: str, config: Config, file: Path, size: int | None) -> nn.Module:
    """The network without its classifier, with all other weights from the file. A missing or surplus tensor is an error.

    timm does not check names when the number of classes changes, so the network is first built with the classifier of the
    file.
    """
    tensors = read(f"timm:{name}", file)
    heads = config.get("classifier") or ()
    head = tensors.get(f"{heads if isinstance(heads, str) else next(iter(heads), '')}.weight")
    classes = 0 if head is None or not head.ndim else len(head)
    overlay: Config = {"state_dict": tensors, "source": "", "num_classes": classes, "label_offset": None}
    options: Config = {"num_classes": classes}
    if size is not None:
        overlay["input_size"] = (3, size, size)
        options |= {"img_size": size} if config.get("fixed_input_size") else {}
    try:
        with local_only():
            network = _timm().create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except FAULTS as error:
        raise DamagedError(f"timm:{name}: the weights in {file} are not this network's: {describe_error(error)}") from error
    network.pretrained_cfg.pop("state_dict")
    network.reset_classifier(0)
    return cast("nn.Module", network)


def _build_row(row: Row) -> nn.Module:
    timm = _timm()
    options = dict(row.build)
    if layer := options.get("mlp_layer"):
        options["mlp_layer"] = getattr(timm.layers, layer)
    found: nn.Module = timm.create_model(options.pop("architecture"), pretrained=False, num_classes=0, **options)
    return found


def _features(row: Row, network: Any, pixels: Tensor) -> Tensor:
    if row.pooling == "mean":
        features: Tensor = network(pixels)
        return features
    return pool(network.forward_features(pixels), row.pooling, network.num_prefix_tokens)


def _row_tokens(row: Row, network: Any, pixels: Tensor) -> Tensor:
    return token_map(row.name, network, pixels)


def token_map(name: str, network: Any, pixels: Tensor) -> Tensor:
    """(n, d, rows, columns): the last tokens of a transformer, without class token and registers, or the last channels of a
    convolutional network. UsageError where a network keeps no grid."""
    found: Tensor = network.forward_features(pixels)
    if found.ndim == 4 and network.num_features in (found.shape[1], found.shape[3]):
        return found if found.shape[1] == network.num_features else found.permute(0, 3, 1, 2)
    embedding: Any = getattr(network, "patch_embed", None)
    prefix = getattr(network, "num_prefix_tokens", 0)
    rows, columns = embedding.dynamic_feat_size(pixels.shape[2:]) if hasattr(embedding, "dynamic_feat_size") else (0, 0)
    if found.ndim != 3 or found.shape[1] != prefix + rows * columns or not rows:
        raise UsageError(
            f"{name} ends in {tuple(found.shape[1:])}, which is no grid over the patch: pool masked images instead, with "
            "-o metric.pooling=images."
        )
    return grid(found, prefix, rows, columns)


KIND = Kind(_build_row, _features, tokens=_row_tokens)

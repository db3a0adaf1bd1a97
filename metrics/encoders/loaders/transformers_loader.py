"""Encoders that were published in the format of the transformers library. Its classes are used, and no code from the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.errors import MissingError
from bench.runtime import torchvision_shim
from metrics.encoders.kinds import Kind, grid, pool
from metrics.encoders.loaders.checkpoints import Tensors
from metrics.encoders.row import Row

if TYPE_CHECKING:
    from torch import Tensor, nn


def _build(row: Row) -> nn.Module:
    library = _library(row)
    config = getattr(library, row.build["config"])(**row.build["settings"])
    found: nn.Module = getattr(library, row.build["model"])(config, **row.build.get("options", {}))
    return found


def _features(row: Row, network: Any, pixels: Tensor) -> Tensor:
    seen = network(pixel_values=pixels)
    if row.pooling == "projected":
        found: Tensor = seen.image_embeds
        return found
    return pool(seen.last_hidden_state, row.pooling, _prefix(network))


def _tokens(row: Row, network: Any, pixels: Tensor) -> Tensor:
    side = pixels.shape[2] // network.config.patch_size
    return grid(network(pixel_values=pixels).last_hidden_state, _prefix(network), side, side)


def _prefix(network: Any) -> int:
    """The class token and the registers."""
    return 1 + getattr(network.config, "num_register_tokens", 0)


def _names(network: Any) -> Mapping[str, Tensor]:
    """Since version 5 the names of some tensors in the library differ from those in files of the hub; maps them."""
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:
        return dict(network.state_dict())
    return dict(revert_weight_conversion(network, network.state_dict()))


def _fill(row: Row, network: Any, tensors: Tensors) -> nn.Module:
    found: nn.Module = type(network).from_pretrained(
        None, config=network.config, state_dict={**_names(network), **tensors}, **row.build.get("options", {})
    )
    return found


def _library(row: Row) -> Any:
    torchvision_shim.ready()
    try:
        import transformers
    except ImportError as error:
        raise MissingError(f"{row.name} needs the package transformers: pip install 'histobench[encoders]'.") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


KIND = Kind(_build, _features, _names, _fill, tokens=_tokens)

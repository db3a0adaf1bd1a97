"""Published checkpoints of CompVis latent diffusion: their shapes as a config, their tensors under the names of our networks.

Format: a `state_dict` whose names begin with `model.diffusion_model.` (denoiser), `first_stage_model.` (VQ or KL autoencoder),
`cond_stage_model.channel_mapper.` (1x1 convolution on the condition) and `model_ema.` (moving averages of the denoiser, with
the dots of their names removed), beside the buffers of the noise schedule. Sources: CompVis/latent-diffusion,
saghiralfasly/stable-diffusion (the development code of HeteroTissue-Diffuse).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bench.errors import MissingError, UsageError
from generators.diffusion.lightning_files import Checkpoint, read_checkpoint
from generators.latent_diffusion.config import PAPER, LatentDiffusionConfig

Tensors = dict[str, Tensor]
Average = Literal["raw", "ema"]

DENOISER, STAGE, EMA = "model.diffusion_model.", "first_stage_model.", "model_ema."
MAPPER = "cond_stage_model.channel_mapper.weight"
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    "nin_shortcut": "conv_shortcut",
}
_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "middle_block.0": "mid_block.resnets.0",
    "middle_block.1": "mid_block.attentions.0",
    "middle_block.2": "mid_block.resnets.1",
}
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


@dataclass(frozen=True)
class Published:
    """A checkpoint in the terms of our networks."""

    config: LatentDiffusionConfig
    """The published sampling and training, with the sizes that the tensors have."""
    condition_channels: int
    """Channels of the condition before they are mapped: K."""
    scale: float
    """What latents are multiplied by before the denoiser sees them."""
    checkpoint: Checkpoint

    def denoiser(self, average: Average) -> Tensors:
        """Tensors of `model.Denoiser`. Raises MissingError where the averages are not in the file."""
        held = _own(self.checkpoint.tensors, DENOISER)
        if average == "ema":
            held = _averages(held, self.checkpoint.tensors)
        translated = translate_denoiser(held, self.config)
        named = {f"model.{name}": value for name, value in translated.items()}
        return named | {MAPPER: self.checkpoint.tensors[MAPPER]}

    def first_stage(self) -> Tensors:
        """Tensors of `networks.FirstStage`."""
        held = _own(self.checkpoint.tensors, STAGE)
        translated = translate_first_stage(held, len(self.config.stage_channels))
        return {f"model.{name}": value for name, value in translated.items()}


def read_published(path: Path) -> Published:
    """Reads a checkpoint. Raises MissingError or DamagedError with what is absent, UsageError where it is of another kind."""
    checkpoint = read_checkpoint(path)
    held = checkpoint.tensors
    if absent := [one for one in (DENOISER, STAGE, MAPPER) if not any(name.startswith(one) for name in held)]:
        heads = sorted({".".join(name.split(".")[:2]) for name in held})[:6]
        raise MissingError(
            f"{path} is no checkpoint of a latent diffusion on class maps: it has no tensor named {absent[0]}…; "
            f"its {len(held)} tensors are named {', '.join(heads)}…"
        )
    try:
        config = _read_config(held)
    except (KeyError, IndexError, ValueError) as error:
        raise MissingError(f"{path} is no complete checkpoint of a latent diffusion: no tensor {error}.") from error
    _check_schedule(held, config, path)
    scale = float(held["scale_factor"]) if "scale_factor" in held else 1.0
    return Published(config, int(held[MAPPER].shape[1]), scale, checkpoint)


def _own(held: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)}


def _averages(raw: Tensors, held: Tensors) -> Tensors:
    """The moving averages under the names of the raw tensors, which have lost their dots."""
    names = {name: f"{EMA}diffusion_model{name.replace('.', '')}" for name in raw}
    if absent := [name for name in names.values() if name not in held]:
        raise MissingError(
            f"the checkpoint has no averages of {len(absent)} of {len(names)} tensors, {absent[0]} among them. "
            "Use the weights themselves: -o checkpoint_weights=raw"
        )
    return {name: held[named] for name, named in names.items()}


def _read_config(held: Tensors) -> LatentDiffusionConfig:
    """The sizes of the networks from the shapes of their tensors. Raises KeyError with the name of an absent tensor."""
    unet, stage = _own(held, DENOISER), _own(held, STAGE)
    blocks = _input_blocks(unet)
    levels = [[block for block in level if block != "down"] for level in blocks]
    channels = tuple(unet[f"input_blocks.{level[0]}.0.out_layers.3.weight"].shape[0] for level in levels)
    if any(name.startswith(("input_blocks.", "output_blocks.")) and ".qkv." in name for name in unet):
        raise UsageError(
            "this denoiser has attention outside of its middle block. Its tensors do not show how many heads that has, and no "
            "published model of tissue on class maps has any: it is not built in."
        )
    depth = 1 + max(int(name.split(".")[2]) for name in stage if name.startswith("encoder.down."))
    widths = tuple(stage[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(depth))
    per_level = 1 + max(int(name.split(".")[4]) for name in stage if name.startswith("encoder.down.0.block."))
    codes = stage.get("quantize.embedding.weight")
    return replace(
        PAPER,
        stage_kind="kl" if codes is None else "vq",
        stage_channels=widths,
        stage_layers=(per_level,) * depth,
        latent_channels=stage["post_quant_conv.weight"].shape[1],
        codebook=0 if codes is None else codes.shape[0],
        channels=channels,
        layers=len(levels[0]),
        # 8 heads in the middle block, which the shapes do not show
        head=max(1, channels[-1] // 8),
        groups=32,
        attention=(False,) * len(channels),
        condition_channels=held[MAPPER].shape[0],
    )


def _input_blocks(unet: Tensors) -> list[list[int | Literal["down"]]]:
    """The numbers of the residual blocks of each level; `down` ends a level."""
    count = 1 + max(int(name.split(".")[1]) for name in unet if name.startswith("input_blocks."))
    levels: list[list[int | Literal["down"]]] = [[]]
    for number in range(1, count):
        if f"input_blocks.{number}.0.op.weight" in unet:
            levels[-1].append("down")
            levels.append([])
        else:
            levels[-1].append(number)
    return levels


def _check_schedule(held: Tensors, config: LatentDiffusionConfig, path: Path) -> None:
    """Raises UsageError where the file states another noise schedule than the config."""
    found = held.get("betas")
    if found is None:
        return
    first, last = config.beta_start, config.beta_end
    expected = torch.linspace(first**0.5, last**0.5, 1000, dtype=torch.float64) ** 2
    if found.shape != expected.shape or not torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-7):
        raise UsageError(
            f"{path} was trained with another noise schedule: {len(found)} steps of variance {float(found[0]):.5g} to "
            f"{float(found[-1]):.5g}, where 1000 steps of {first:g} to {last:g}, linear in the root, are expected. "
            "This schedule is not built in."
        )


def translate_denoiser(held: Tensors, config: LatentDiffusionConfig) -> Tensors:
    """Tensors of CompVis' `UNetModel` under the names of diffusers' `UNet2DModel`."""
    heads = max(1, config.channels[-1] // config.head)
    places = dict(_denoiser_places(len(config.channels), config.layers))
    found: Tensors = {}
    for name, value in held.items():
        module, _, kind = name.rpartition(".")
        own = next((own for own in places if module == own or module.startswith(f"{own}.")), "")
        place, rest = places.get(own, ""), module.removeprefix(own).strip(".")
        if rest == "qkv":
            found |= _split_heads(place, kind, value, heads)
        elif "attentions" in place:
            part = value.squeeze(-1) if value.ndim == 3 else value
            found[f"{place}.{_ATTENTION[rest]}.{kind}"] = part
        else:
            found[".".join(filter(None, (place, _RESNET.get(rest, rest), kind)))] = value
    return found


def _denoiser_places(levels: int, layers: int) -> Iterator[tuple[str, str]]:
    """Module of CompVis -> module of diffusers."""
    yield from _ENDS.items()
    number = 1
    for level in range(levels):
        for layer in range(layers):
            yield f"input_blocks.{number}.0", f"down_blocks.{level}.resnets.{layer}"
            number += 1
        if level < levels - 1:
            yield f"input_blocks.{number}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            number += 1
    number = 0
    for up, level in enumerate(reversed(range(levels))):
        for layer in range(layers + 1):
            yield f"output_blocks.{number}.0", f"up_blocks.{up}.resnets.{layer}"
            if level and layer == layers:
                yield f"output_blocks.{number}.1.conv", f"up_blocks.{up}.upsamplers.0.conv"
            number += 1


def _split_heads(place: str, kind: str, value: Tensor, heads: int) -> Tensors:
    """Query, key and value of an attention block, which CompVis keeps together, head by head."""
    width = value.shape[0] // 3
    parts = value.reshape(heads, 3, width // heads, *value.shape[1:2])
    names = ("to_q", "to_k", "to_v")
    return {f"{place}.{name}.{kind}": parts[:, i].reshape(width, *value.shape[1:2]) for i, name in enumerate(names)}


def translate_first_stage(held: Tensors, levels: int) -> Tensors:
    """Tensors of CompVis' `VQModel` or `AutoencoderKL` under the names of diffusers' classes of the same names. What else lies
    among them (the networks of the loss) is left out."""
    found: Tensors = {}
    for name, value in held.items():
        if not name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.embedding.")):
            continue
        name = re.sub(r"\.mid\.block_(\d)\.", lambda match: f".mid_block.resnets.{int(match[1]) - 1}.", name)
        name = re.sub(r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets.", name)
        name = re.sub(r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0.", name)
        name = re.sub(r"\.up\.(\d+)\.", lambda match: f".up_blocks.{levels - 1 - int(match[1])}.", name)
        name = name.replace(".block.", ".resnets.").replace(".upsample.", ".upsamplers.0.")
        name = name.replace("nin_shortcut", "conv_shortcut").replace("norm_out", "conv_norm_out")
        if match := re.fullmatch(r"(.*)\.mid\.attn_1\.(\w+)\.(weight|bias)", name):
            name = f"{match[1]}.mid_block.attentions.0.{_ATTENTION[match[2]]}.{match[3]}"
            value = value.squeeze(-1).squeeze(-1) if value.ndim == 4 else value
        found[name] = value
    return found

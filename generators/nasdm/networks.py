"""The U-Net of semantic diffusion models: a plain residual encoder, and a decoder that reads the semantic map.

Wang and others 2022 (SDM, arXiv 2207.00050), used unchanged by NASDM (Shrivastava and Fletcher 2023, arXiv 2303.11477).
The condition enters in the middle block and the decoder alone, through spatially adaptive group norms (SPADE: Park and
others 2019). Modules are named and ordered as in the networks that derive from guided-diffusion, so that a state dict of
that family loads by name; `shape_of` reads from one how large its network is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.errors import UsageError


@dataclass(frozen=True)
class SdmShape:
    """Everything that decides the modules of the network."""

    colours: int
    """Channels of the noisy image."""
    labels: int
    """Channels of the condition: one a class, one for the edges of instances."""
    width: int
    """Channels of the first level."""
    multipliers: tuple[int, ...]
    """Channels of each level, as multiples of `width`; each level halves the side."""
    blocks: int
    """Residual blocks of each level of the encoder; the decoder has one more."""
    attended: tuple[int, ...]
    """Levels, 0 the first, whose blocks are followed by self-attention."""
    head: int = 64
    """Channels of an attention head. A state dict does not show it; the published family has 64."""
    groups: int = 32
    """Groups of the norms. A state dict does not show them either."""
    hidden: int = 128
    """Channels between the map and the scales and shifts of a norm."""
    learned_variance: bool = True
    """The second half of the output interpolates the log variance between its bounds."""

    @property
    def multiple(self) -> int:
        """Sides of images are multiples of this."""
        return 2 ** (len(self.multipliers) - 1)


class SdmUNet(nn.Module):
    """Noisy images, their steps and maps -> predicted noise and, where learned, the share of the largest log variance."""

    def __init__(self, shape: SdmShape) -> None:
        super().__init__()
        self.shape = shape
        self.time_embed = nn.Sequential(
            nn.Linear(shape.width, 4 * shape.width), nn.SiLU(), nn.Linear(4 * shape.width, 4 * shape.width)
        )
        channels = shape.multipliers[0] * shape.width
        self.input_blocks = nn.ModuleList([_Blocks(nn.Conv2d(shape.colours, channels, 3, padding=1))])
        passed = [channels]
        last = len(shape.multipliers) - 1
        for level, multiplier in enumerate(shape.multipliers):
            for _ in range(shape.blocks):
                wide = multiplier * shape.width
                self.input_blocks.append(_Blocks(_Residual(shape, channels, wide), *_attention(shape, wide, level)))
                channels = wide
                passed.append(channels)
            if level < last:
                self.input_blocks.append(_Blocks(_Residual(shape, channels, channels, "down")))
                passed.append(channels)
        self.middle_block = _Blocks(
            _SemanticResidual(shape, channels, channels),
            _Attention(channels, shape),
            _SemanticResidual(shape, channels, channels),
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(shape.multipliers))):
            for block in range(shape.blocks + 1):
                wide = multiplier * shape.width
                parts: list[nn.Module] = [_SemanticResidual(shape, channels + passed.pop(), wide)]
                parts += _attention(shape, wide, level)
                if level and block == shape.blocks:
                    parts.append(_SemanticResidual(shape, wide, wide, "up"))
                self.output_blocks.append(_Blocks(*parts))
                channels = wide
        out_channels = shape.colours * (2 if shape.learned_variance else 1)
        self.out = nn.Sequential(
            _group_norm(channels, shape), nn.SiLU(), _zero_weights(nn.Conv2d(channels, out_channels, 3, padding=1))
        )

    def forward(self, noisy: Tensor, steps: Tensor, maps: Tensor) -> Tensor:
        """float (n, colours or 2 * colours, h, w) from float (n, colours, h, w), long (n,) and float (n, labels, h, w)."""
        moment = self.time_embed(_sinusoid(steps, self.shape.width))
        state, passed = noisy, []
        for block in self.input_blocks:
            state = block(state, maps, moment)
            passed.append(state)
        state = self.middle_block(state, maps, moment)
        for block in self.output_blocks:
            state = block(torch.cat([state, passed.pop()], dim=1), maps, moment)
        return self.out(state)


class _Blocks(nn.Sequential):
    """Modules in sequence, each called with the inputs that it takes: state, map, step embedding."""

    def forward(self, state: Tensor, maps: Tensor, moment: Tensor) -> Tensor:  # type: ignore[override]
        for part in self:
            if isinstance(part, _SemanticResidual):
                state = part(state, maps, moment)
            elif isinstance(part, _Residual):
                state = part(state, moment)
            else:
                state = part(state)
        return state


class _Residual(nn.Module):
    """Norm, SiLU, convolution, twice; the moment scales and shifts the second norm."""

    def __init__(self, shape: SdmShape, before: int, after: int, resize: str = "") -> None:
        super().__init__()
        self.resize = resize
        self.in_layers = nn.Sequential(_group_norm(before, shape), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * shape.width, 2 * after))
        self.out_layers = nn.Sequential(
            _group_norm(after, shape), nn.SiLU(), nn.Dropout(0), _zero_weights(nn.Conv2d(after, after, 3, padding=1))
        )
        self.skip_connection = _skip(before, after)

    def forward(self, state: Tensor, moment: Tensor) -> Tensor:
        inner = _resize(self.in_layers[:-1](state), self.resize)
        inner = self.in_layers[-1](inner)
        scale, shift = _spread(self.emb_layers(moment))
        inner = self.out_layers[1:](self.out_layers[0](inner) * (1 + scale) + shift)
        return self.skip_connection(_resize(state, self.resize)) + inner


class _SemanticResidual(nn.Module):
    """The same with norms whose scale and shift come from the map."""

    def __init__(self, shape: SdmShape, before: int, after: int, resize: str = "") -> None:
        super().__init__()
        self.resize = resize
        self.in_norm = _SemanticNorm(before, shape)
        self.in_layers = nn.Sequential(nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * shape.width, 2 * after))
        self.out_norm = _SemanticNorm(after, shape)
        self.out_layers = nn.Sequential(nn.SiLU(), nn.Dropout(0), _zero_weights(nn.Conv2d(after, after, 3, padding=1)))
        self.skip_connection = _skip(before, after)

    def forward(self, state: Tensor, maps: Tensor, moment: Tensor) -> Tensor:
        inner = _resize(self.in_layers[:-1](self.in_norm(state, maps)), self.resize)
        inner = self.in_layers[-1](inner)
        scale, shift = _spread(self.emb_layers(moment))
        inner = self.out_layers(self.out_norm(inner, maps) * (1 + scale) + shift)
        return self.skip_connection(_resize(state, self.resize)) + inner


class _SemanticNorm(nn.Module):
    """Group norm without weights of its own, then x (1 + gamma) + beta, both convolved from the map at this size."""

    def __init__(self, channels: int, shape: SdmShape) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(shape.groups, channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(shape.labels, shape.hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(shape.hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(shape.hidden, channels, 3, padding=1)

    def forward(self, state: Tensor, maps: Tensor) -> Tensor:
        shown = self.mlp_shared(functional.interpolate(maps, size=state.shape[2:], mode="nearest"))
        return self.norm(state) * (1 + self.mlp_gamma(shown)) + self.mlp_beta(shown)


class _Attention(nn.Module):
    """Self-attention over all places, queries, keys and values of a head side by side in `qkv`."""

    def __init__(self, channels: int, shape: SdmShape) -> None:
        super().__init__()
        if channels % shape.head:
            raise UsageError(f"{channels} channels do not make heads of {shape.head}.")
        self.heads = channels // shape.head
        self.norm = _group_norm(channels, shape)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zero_weights(nn.Conv1d(channels, channels, 1))

    def forward(self, state: Tensor) -> Tensor:
        places = state.flatten(2)
        n, channels, count = places.shape
        query, key, value = self.qkv(self.norm(places)).view(n, self.heads, -1, count).transpose(2, 3).chunk(3, dim=3)
        seen = functional.scaled_dot_product_attention(query, key, value)
        return (places + self.proj_out(seen.transpose(2, 3).reshape(n, channels, count))).view_as(state)


def _attention(shape: SdmShape, channels: int, level: int) -> list[nn.Module]:
    return [_Attention(channels, shape)] if level in shape.attended else []


def _group_norm(channels: int, shape: SdmShape) -> nn.GroupNorm:
    return nn.GroupNorm(shape.groups, channels)


def _skip(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Conv2d(before, after, 1)


def _zero_weights(layer: nn.Conv1d | nn.Conv2d) -> nn.Module:
    """The layer with weights of zero, so that a block is the identity at first."""
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer


def _resize(state: Tensor, resize: str) -> Tensor:
    if resize == "down":
        return functional.avg_pool2d(state, 2)
    return functional.interpolate(state, scale_factor=2, mode="nearest") if resize == "up" else state


def _spread(moment: Tensor) -> tuple[Tensor, Tensor]:
    scale, shift = moment[..., None, None].chunk(2, dim=1)
    return scale, shift


def _sinusoid(steps: Tensor, width: int) -> Tensor:
    """float (n, width): cosines, then sines, of the step at frequencies from 1 down to 1 / 10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=steps.device) / half)
    angles = steps[:, None].float() * frequencies
    return functional.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


_SHARED = "mlp_shared.0.weight"


def shape_of(state: Mapping[str, Tensor], head: int = 64, groups: int = 32) -> SdmShape:
    """The shape of the network whose state dict this is, from the names and shapes of its entries.

    Raises UsageError, naming what is missing, for a state dict of another family, or with plain layers in place of
    resizing blocks.
    """
    blocks = _numbers_of(state, "input_blocks")
    shared = next((value for name, value in state.items() if name.endswith(_SHARED)), None)
    if not {"time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"} <= set(state) or shared is None:
        raise UsageError(
            "this is no state dict of a semantic diffusion network: it needs time_embed, input_blocks, out and "
            f"{_SHARED}, and has {', '.join(sorted(state)[:5]) or 'nothing'}."
        )
    if any(re.search(r"input_blocks\.\d+\.0\.op\.", name) for name in state):
        raise UsageError("this network halves with plain convolutions; only residual blocks that resize are built here.")
    width = state["time_embed.0.weight"].shape[1]
    colours, out_channels = state["input_blocks.0.0.weight"].shape[1], state["out.2.weight"].shape[0]
    wide = [state[f"input_blocks.{b}.0.out_layers.3.weight"].shape[0] // width for b in blocks[1:]]
    attends = [f"input_blocks.{b}.1.qkv.weight" in state for b in blocks[1:]]
    last_parts = [
        f"output_blocks.{b}.{p}.in_norm.mlp_gamma.weight" for b in _numbers_of(state, "output_blocks") for p in (1, 2)
    ]
    levels = 1 + sum(name in state for name in last_parts)
    per_level = (len(wide) + 1) // levels
    return SdmShape(
        colours=colours,
        labels=shared.shape[1],
        width=width,
        multipliers=tuple(wide[level * per_level] for level in range(levels)),
        blocks=per_level - 1,
        attended=tuple(level for level in range(levels) if attends[level * per_level]),
        head=head,
        groups=groups,
        hidden=shared.shape[0],
        learned_variance=out_channels == 2 * colours,
    )


def _numbers_of(state: Mapping[str, Tensor], list_name: str) -> list[int]:
    found = (re.match(rf"{list_name}\.(\d+)\.", name) for name in state)
    return sorted({int(match[1]) for match in found if match})

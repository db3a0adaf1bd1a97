"""The three networks of a latent diffusion: first stage, denoiser, and the condition brought to latent size.

Shapes follow CompVis latent-diffusion's `semantic_synthesis256` (Rombach et al. 2022), on which HeteroTissue-Diffuse is built:
the condition is downsampled by bilinear halvings, mixed by a 1x1 convolution without bias, and concatenated to the noisy
latent. Modules are named so that the published state dicts can be mapped onto them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bench.runtime import torchvision_shim

torchvision_shim.ready()

from diffusers import AutoencoderDC, AutoencoderKL, UNet2DModel, VQModel  # noqa: E402


@dataclass(frozen=True)
class FirstStageShape:
    """An autoencoder that halves each side for every channel entry after the first."""

    kind: Literal["vq", "kl", "dc"]
    """`vq`: the convolutional autoencoder of VQ-GAN with a codebook, as published. `kl`: the same with Gaussian latents and no
    codebook (Rombach et al. 2022). `dc`: the deep compression autoencoder (Chen et al. 2025), whose shortcuts unshuffle pixels
    into channels: it is sharp after minutes of training, the others after hours."""
    channels: tuple[int, ...]
    layers: tuple[int, ...]
    """Blocks of each level. A `dc` with 0 first unshuffles pixels, so that no convolution works at full size."""
    latent_channels: int
    codebook: int
    """Entries of the vector quantiser; 0 where there is none."""


@dataclass(frozen=True)
class DenoiserShape:
    channels: tuple[int, ...]
    layers: int
    head: int
    """Channels of one attention head."""
    attention: tuple[bool, ...]
    """Whether each level has attention; the middle block always has."""
    groups: int
    condition_channels: int


class FirstStage(nn.Module):
    """Images in [-1, 1] to latents and back. Latents are taken before quantisation, as latent diffusion does."""

    def __init__(self, shape: FirstStageShape) -> None:
        super().__init__()
        self.model: Any
        convolutional: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * len(shape.channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(shape.channels),
            "block_out_channels": shape.channels,
            "layers_per_block": shape.layers[0],
            "latent_channels": shape.latent_channels,
        }
        if shape.kind == "vq":
            self.model = VQModel(**convolutional, num_vq_embeddings=shape.codebook, vq_embed_dim=shape.latent_channels)
        elif shape.kind == "kl":
            self.model = AutoencoderKL(**convolutional)
        else:
            self.model = AutoencoderDC(
                latent_channels=shape.latent_channels,
                encoder_block_types="ResBlock",
                decoder_block_types="ResBlock",
                encoder_block_out_channels=shape.channels,
                decoder_block_out_channels=shape.channels,
                encoder_layers_per_block=shape.layers,
                decoder_layers_per_block=shape.layers,
                encoder_qkv_multiscales=((),) * len(shape.channels),
                decoder_qkv_multiscales=((),) * len(shape.channels),
                decoder_act_fns="silu",
            )

    def encode(self, images: Tensor) -> Tensor:
        """float (n, 3, h, w) in [-1, 1] -> (n, c, h/f, w/f)."""
        coded = self.model.encode(images)
        if isinstance(self.model, AutoencoderKL):
            return coded.latent_dist.mode()
        return coded.latents if isinstance(self.model, VQModel) else coded.latent

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse; quantises first where there is a codebook."""
        return self.model.decode(latents).sample

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions, and the penalty on latents (the commitment loss, or their mean square)."""
        if isinstance(self.model, VQModel):
            decoded = self.model(images)
            return decoded.sample, decoded.commit_loss
        latents = self.encode(images)
        return self.decode(latents), latents.square().mean()


class SpatialRescaler(nn.Module):
    """The condition at latent size: `halvings` bilinear halvings, then a learned 1x1 convolution without bias."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channel_mapper = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, shrunk: Tensor) -> Tensor:
        """(n, in, h/f, w/f), already downsampled by `shrink`, which has no weights and runs once per patch."""
        return self.channel_mapper(shrunk)


def shrink(condition: Tensor, halvings: int) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2**halvings, w / 2**halvings)."""
    for _ in range(halvings):
        condition = functional.interpolate(condition, scale_factor=0.5, mode="bilinear")
    return condition


class RegionVectors(nn.Module):
    """One vector per class, projected and placed over the region of its class.

    Regions do not overlap, so that the sum over classes keeps the vectors separate, and the denoiser gets at each place the
    vector of the tissue there: the spatial counterpart of the pasted crop. The usual alternative, a vector added to the time
    embedding, would have to describe all classes at once.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, out_channels)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def forward(self, maps: Tensor, vectors: Tensor, present: Tensor) -> Tensor:
        """maps (n, k, h, w) shares of each class, vectors (n, k, d), present (n, k) in {0, 1} -> (n, out, h, w)."""
        projected = self.project((vectors - self.mean) / self.deviation) * present[..., None]
        return torch.einsum("nkhw,nkc->nchw", maps, projected)


def build_denoiser(shape: DenoiserShape, latent_channels: int) -> UNet2DModel:
    """U-Net that takes the noisy latent and the condition, concatenated, and returns a tensor like the latent."""
    down = tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in shape.attention)
    up = tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(shape.attention))
    return UNet2DModel(
        in_channels=latent_channels + shape.condition_channels,
        out_channels=latent_channels,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        attention_head_dim=shape.head,
        norm_num_groups=shape.groups,
        down_block_types=down,
        up_block_types=up,
    )

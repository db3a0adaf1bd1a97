"""The network of the layout diffusion: a U-Net on instance encodings, conditioned on the requested types of nuclei.

As in NASDM++, the requested types, a multi-hot vector, pass one linear layer and are added to the embedding of the time step.
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn

from bench.runtime import torchvision_shim

torchvision_shim.ready()

from diffusers import UNet2DModel  # noqa: E402


class MaskUNet(nn.Module):
    """`forward(noisy, step, asked)` gives a tensor like the noisy encoding; `asked` is float (n, types), 1 if requested.

    Squares of `unshuffle` x `unshuffle` pixels are stacked into channels first and unstacked at the end: nothing is lost, and
    every convolution covers more nuclei at less cost.
    """

    def __init__(
        self,
        encoding_channels: int,
        types: int,
        unshuffle: int,
        channels: tuple[int, ...],
        layers: int,
        attention: tuple[bool, ...],
        head: int,
        groups: int,
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.asked = nn.Linear(types, 4 * channels[0])  # the library's embedding of the step is 4 times the first width
        self.model = UNet2DModel(
            in_channels=encoding_channels * unshuffle**2,
            out_channels=encoding_channels * unshuffle**2,
            block_out_channels=channels,
            layers_per_block=layers,
            attention_head_dim=head,
            norm_num_groups=groups,
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            class_embed_type="identity",
        )

    def forward(self, noisy: Tensor, step: Tensor, asked: Tensor) -> Tensor:
        unshuffled = functional.pixel_unshuffle(noisy, self.unshuffle)
        return functional.pixel_shuffle(self.model(unshuffled, step, class_labels=self.asked(asked)).sample, self.unshuffle)

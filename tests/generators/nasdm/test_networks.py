"""The semantic diffusion U-Net: names and shapes of the published family, its numbers, and what it reads of a state dict."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor

from bench.errors import UsageError
from generators.nasdm.config import PAPER
from generators.nasdm.model import shape
from generators.nasdm.networks import SdmShape, SdmUNet, shape_of

SMALL = SdmShape(3, 4, 32, (1, 2), 1, (1,), head=32, groups=8, hidden=16)

PUBLISHED = "941e74576df4cf51cfc8b5b0157e62da103cac8889769f5c88dcaf88291fb33a"
"""sha256 of the 660 lines "name shape" of the public network as NASDM builds it for 128 px and six types."""

GOLDEN = [
    [-0.12195040, -0.11820681, -0.06269437, 0.02207327, 0.09988850, 0.13684453],
    [-0.06647152, -0.10552186, -0.09638812, -0.04847725, 0.01241886, 0.05717482],
]
"""Output of the small network at row 5, column 7 on the inputs below, when the public one gave the same to 1e-6."""


def filled(shape_: SdmShape) -> SdmUNet:
    """Weights from a formula, so that no random number generator enters."""
    network = SdmUNet(shape_)
    for i, values in enumerate(network.state_dict().values()):
        values.copy_((torch.arange(values.numel(), dtype=torch.float64) * 0.7 + i).sin().reshape(values.shape) * 0.1)
    return network.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    noisy = (torch.arange(2 * 3 * 256, dtype=torch.float64) * 0.3).sin().reshape(2, 3, 16, 16).float()
    maps = (torch.arange(2 * 4 * 256) * 7 % 11 < 5).float().reshape(2, 4, 16, 16)
    return noisy, torch.tensor([3, 700]), maps


def test_the_paper_preset_has_the_names_shapes_and_size_of_the_published_network() -> None:
    with torch.device("meta"):
        network = SdmUNet(shape(PAPER, 7))
    lines = [f"{name} {tuple(values.shape)}" for name, values in network.state_dict().items()]
    assert len(lines) == 660
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == PUBLISHED
    assert sum(values.numel() for values in network.parameters()) == 500_524_294


def test_its_numbers_are_those_it_had_when_it_agreed_with_the_public_network() -> None:
    with torch.no_grad():
        text = filled(SMALL)(*inputs())
    assert text.shape == (2, 6, 16, 16)
    torch.testing.assert_close(text[:, :, 5, 7], torch.tensor(GOLDEN), atol=1e-6, rtol=1e-5)


def test_the_map_enters_the_decoder_alone() -> None:
    network, (noisy, steps, maps) = filled(SMALL), inputs()
    with torch.no_grad():
        moment = torch.zeros(2, 4 * SMALL.width)
        first = network.input_blocks[1](network.input_blocks[0](noisy, maps, moment), maps, moment)
        other = network.input_blocks[1](network.input_blocks[0](noisy, 1 - maps, moment), 1 - maps, moment)
        assert torch.equal(first, other)
        assert not torch.allclose(network(noisy, steps, maps), network(noisy, steps, 1 - maps))


def test_the_step_changes_what_it_says() -> None:
    network, (noisy, _, maps) = filled(SMALL), inputs()
    with torch.no_grad():
        assert not torch.allclose(network(noisy, torch.tensor([3, 3]), maps)[1], network(noisy, torch.tensor([3, 4]), maps)[1])


@pytest.mark.parametrize(
    "given",
    [
        SMALL,
        SdmShape(3, 8, 64, (1, 1, 2, 3, 4), 2, (2, 3, 4)),
        SdmShape(3, 8, 64, (1, 2, 3), 3, (0, 2), hidden=32, learned_variance=False),
        SdmShape(12, 32, 64, (2,), 2, ()),
    ],
)
def test_a_state_dict_tells_the_shape_of_its_network(given: SdmShape) -> None:
    with torch.device("meta"):
        state = SdmUNet(given).state_dict()
    assert shape_of(state, given.head, given.groups) == given


def test_other_state_dicts_are_refused_by_what_they_lack() -> None:
    with pytest.raises(UsageError, match="mlp_shared"):
        shape_of({"conv_in.weight": torch.zeros(1)})
    with torch.device("meta"):
        state = SdmUNet(SMALL).state_dict()
    with pytest.raises(UsageError, match="plain convolutions"):
        shape_of({**state, "input_blocks.2.0.op.weight": torch.zeros(1)})


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(UsageError, match="heads of 48"):
        SdmUNet(SdmShape(3, 4, 32, (1,), 1, (0,), head=48, groups=8))

"""HoVer-Net's parts against MONAI's own, what is unlabelled, the two phases, and nuclei that touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.apps.pathology.losses.hovernet_loss import HoVerNetLoss
from monai.networks.nets.hovernet import HoVerNet as Published
from monai.transforms.intensity.array import ComputeHoVerMaps
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import MissingError
from bench.runtime.torchvision_shim import ready
from bench.types import silent
from tasks.nuclei.hovernet import HoVerNet, Maps, separate
from tasks.nuclei.training import Annotated, TrainingSettings, hovernet_loss, offsets, predict_types, train
from tasks.training import Budget

NARROW = (6, (1, 1, 1, 1), (2, 1))
CLASSES = 3


def touching(size: int = 32) -> NDArray[np.int32]:
    """Two discs side by side that share a border, numbered 4 and 5, and one apart, numbered 9."""
    y, x = np.indices((size, size))
    made = np.zeros((size, size), np.int32)
    for number, cy, cx in ((4, 10, 8), (5, 10, 16), (9, 24, 24)):
        made[np.hypot(y - cy, x - cx) < 4.6] = number
    made[(np.hypot(y - 10, x - 8) < 4.6) & (x < 12)] = 4
    return made


def drawn(count: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Maps]:
    """Masks, instances, wanted offsets, and what a network without a clue says."""
    instances = np.stack([np.rot90(touching(), k) for k in range(count)]).astype(np.int32)
    masks = torch.from_numpy(np.where(instances == 9, 2, instances > 0).astype(np.uint8))
    torch.manual_seed(seed)
    found = Maps(*(torch.randn(count, channels, 32, 32) for channels in (2, 2, CLASSES)))
    return masks, torch.from_numpy(instances), torch.from_numpy(offsets(instances)), found


def test_offsets_are_those_of_monai() -> None:
    rng = np.random.default_rng(0)
    scattered = rng.integers(0, 5, (16, 16)).astype(np.int32)
    for instances in (touching(), scattered, np.zeros((8, 8), np.int32), np.eye(8, dtype=np.int32)):
        theirs = np.asarray(ComputeHoVerMaps()(instances[None]))
        assert offsets(instances[None])[0] == pytest.approx(theirs, abs=1e-6)
    both = offsets(np.stack([touching(), touching()[::-1]]))
    assert both[1] == pytest.approx(offsets(touching()[::-1][None])[0]), "a number means another nucleus in each patch"


def test_the_loss_is_that_of_monai_where_all_is_labelled() -> None:
    masks, instances, wanted, found = drawn()
    nucleus = torch.nn.functional.one_hot((instances > 0).long(), 2).permute(0, 3, 1, 2).float()
    kinds = torch.nn.functional.one_hot(masks.long(), CLASSES).permute(0, 3, 1, 2).float()
    names = ("nucleus_prediction", "horizontal_vertical", "type_prediction")
    theirs = HoVerNetLoss()(dict(zip(names, found, strict=True)), dict(zip(names, (nucleus, wanted, kinds), strict=True)))
    assert float(hovernet_loss(found, masks, instances, wanted)) == pytest.approx(float(theirs), rel=1e-5)


def test_unlabelled_pixels_are_in_no_loss_and_no_gradient() -> None:
    masks, instances, wanted, found = drawn()
    masks[:, :, 13:], instances[:, :, 13:], wanted[..., 13:] = 255, 0, 0
    other = Maps(*(torch.cat([part[..., :13], torch.randn_like(part[..., 13:])], dim=-1) for part in found))
    losses = [hovernet_loss(maps, masks, instances, wanted) for maps in (found, other)]
    assert losses[0] == losses[1]
    leaves = Maps(*(part.clone().requires_grad_() for part in found))
    hovernet_loss(leaves, masks, instances, wanted).backward()  # type: ignore[no-untyped-call]
    for part in leaves:
        assert part.grad is not None and not part.grad[..., 13:].any() and part.grad[..., :13].any()


def test_a_batch_without_a_label_has_no_loss() -> None:
    masks, instances, wanted, found = drawn()
    nothing = hovernet_loss(found, torch.full_like(masks, 255), instances * 0, wanted * 0)
    assert float(nothing) == 0


def test_the_published_shape_has_the_names_and_sizes_of_monai() -> None:
    theirs = Published(decoder_padding=True, out_classes=7).state_dict()
    ours = HoVerNet(7)
    assert {name: values.shape for name, values in ours.state_dict().items()} == {n: v.shape for n, v in theirs.items()}
    ours.load_state_dict(theirs)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 56)])
def test_maps_have_the_size_of_the_patch(height: int, width: int) -> None:
    maps = HoVerNet(CLASSES, *NARROW)(torch.zeros(2, 3, height, width))
    assert [tuple(part.shape) for part in maps] == [(2, c, height, width) for c in (2, 2, CLASSES)]


def test_every_resolution_of_the_encoder_reaches_the_decoders() -> None:
    """MONAI's padded decoders leave out the two finer skip connections."""
    decoder = HoVerNet(CLASSES, *NARROW).eval().nucleus_prediction
    maps = [torch.rand(1, channels, side, side) for channels, side in ((24, 32), (48, 16), (96, 8), (96, 4))]
    usual = decoder(maps)
    for level in range(4):
        other = [values * 2 if i == level else values for i, values in enumerate(maps)]
        assert (decoder(other) != usual).any(), level


def test_a_width_that_monai_would_misread_is_refused() -> None:
    with pytest.raises(ValueError, match="no stage may have 64 channels"):
        HoVerNet(CLASSES, 16)


def test_background_has_no_say_in_types() -> None:
    logits = torch.tensor([9.0, 1.0, 2.0]).reshape(1, 3, 1, 1)
    assert predict_types(logits).tolist() == [[[2]]]


@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_nuclei_that_touch_are_distinguished(mpp: float) -> None:
    instances = np.kron(touching(), np.ones((round(1 / mpp),) * 2, np.int32))
    inside = torch.from_numpy(instances > 0)
    nucleus = torch.stack([~inside, inside]).float() * 8
    found = separate(nucleus, torch.from_numpy(offsets(instances[None])[0]), mpp)
    assert found.max() == 3 and found.dtype == np.int32
    for number in (4, 5, 9):
        here = np.bincount(found[instances == number], minlength=4)
        assert here.argmax() > 0 and here.max() > 0.85 * here.sum()


def test_nothing_is_separated_where_nothing_is_called() -> None:
    background = torch.stack([torch.ones(16, 16), torch.zeros(16, 16)])
    for offset in (torch.randn(2, 16, 16), torch.zeros(2, 16, 16)):
        assert not separate(background, offset, 1.0).any()
        assert separate(background.flip(0), offset, 1.0).shape == (16, 16)


def annotated(count: int = 4) -> Annotated:
    masks, instances, _, _ = drawn(count)
    shade = np.array([230, 110, 60], np.uint8)[masks.numpy()]
    return Annotated(np.repeat(shade[..., None], 3, axis=-1), masks.numpy(), instances.numpy())


def test_a_frozen_encoder_learns_in_the_second_phase_only() -> None:
    def learned(steps: int, frozen: bool) -> tuple[bool, bool]:
        torch.manual_seed(0)
        net = HoVerNet(CLASSES, *NARROW)
        before = {name: values.clone() for name, values in net.named_parameters()}
        settings = TrainingSettings(Budget(steps, 2, 1e-3), evaluations=1, phases=True)
        train(net, [annotated()], annotated(), settings, frozen, np.random.default_rng(0), silent)
        moved = {name for name, values in net.named_parameters() if (values != before[name]).any()}
        return "conv0.conv.weight" in moved, "nucleus_prediction.output_features.decoderblock4.conv.weight" in moved

    assert learned(1, frozen=True) == (False, True)
    assert learned(2, frozen=True) == learned(1, frozen=False) == (True, True)


def resnet(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    ready()
    from torchvision.models import resnet50

    state = {name: torch.rand_like(values.float()).to(values.dtype) for name, values in resnet50().state_dict().items()}
    torch.save(state, folder / "resnet.pth")
    return folder / "resnet.pth", state


def test_the_encoder_takes_the_weights_of_a_resnet(tmp_path: Path) -> None:
    file, state = resnet(tmp_path)
    net = HoVerNet(CLASSES)
    net.load_encoder(file)
    own = net.state_dict()
    for here, there in (
        ("conv0.conv.weight", "conv1.weight"),
        ("res_blocks.d0.shortcut.weight", "layer1.0.downsample.0.weight"),
        ("res_blocks.d2.layers.denselayer_5.layers.conv2.weight", "layer3.5.conv2.weight"),
        ("res_blocks.d3.layers.denselayer_1.layers.preact/bn.running_var", "layer4.0.bn3.running_var"),
        ("res_blocks.d1.bna_block.bn.bias", "layer2.0.downsample.1.bias"),
    ):
        assert (own[here] == state[there]).all(), here


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(MissingError, match="other.pth is not a ResNet-50 with torchvision's names: 2.. of 2.. arrays"):
        HoVerNet(CLASSES).load_encoder(tmp_path / "other.pth")

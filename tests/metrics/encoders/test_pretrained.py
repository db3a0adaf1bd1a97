"""Panel encoders with random weights: what is loaded, what is seen, and what is reported where weights are not right."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import contracts, registry
from bench.errors import DamagedError, GatedError, MissingError, UsageError
from bench.types import Encoder, Images
from metrics.encoders.kinds import kind
from metrics.encoders.loaders.checkpoints import select_tensors
from metrics.encoders.pretrained import encoder, prepare
from metrics.encoders.row import Row

from .conftest import BY_NAME, SMALL, cached, opened, published, saved

QUICK = [name for name in SMALL if name not in ("ctranspath", "inception")]
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def left_by_the_hub(hub: Path, row: Row, tmp_path: Path) -> None:
    """Random weights in the hub's cache, under the name and in the format that the repository has them."""
    import torch

    (tmp_path / "empty").mkdir()
    file = tmp_path / Path(row.origin.files[0]).name
    if file.suffix == ".safetensors":
        saved(published(row), file)
    else:
        torch.save(published(row), file)
    cached(hub, row.origin.name, file)


def direct(row: Row, images: Images) -> np.ndarray:
    """Features of the network itself, on patches that Pillow has resized: the shorter side first, then the centre."""
    import torch

    network = kind(row).build(row)
    network = kind(row).fill(row, network, select_tensors(row, published(row))).eval()
    height, width = images.shape[1:3]
    shorter = row.shorter or row.side
    shape = (width * shorter // min(height, width), height * shorter // min(height, width))
    seen = np.stack([np.asarray(Image.fromarray(image).resize(shape, FILTERS[row.filter])) for image in images])
    top, left = round((shape[1] - row.side) / 2), round((shape[0] - row.side) / 2)
    pixels = torch.from_numpy(seen[:, top : top + row.side, left : left + row.side].copy()).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in row.norm)
    with torch.inference_mode():
        return kind(row).features(row, network, (pixels - mean) / std).numpy()


@pytest.mark.parametrize("name", QUICK)
def test_features_are_those_of_the_network_on_patches_resized_by_pillow(name: str, weights: Path, patches: Images) -> None:
    found, row = opened(name, weights), SMALL[name]
    features = found.encode(patches)
    assert isinstance(found, Encoder)
    assert features.dtype == np.float32 and features.shape == (5, found.dim) == (5, row.dim)
    expected = direct(row, patches)
    error = np.abs(features - expected).max()
    assert error < 0.2 * expected.std(0).mean()  # Pillow rounds to whole levels
    other = replace(row, filter="bilinear" if row.filter == "bicubic" else "bicubic")
    assert np.abs(features - direct(other, patches)).max() > 2 * error


@pytest.mark.parametrize("name", QUICK)
def test_a_row_depends_on_its_image_alone(name: str, weights: Path, patches: Images) -> None:
    found = opened(name, weights)
    many = np.concatenate([patches, patches[::-1], patches, patches[:3]])
    whole = found.encode(many)
    limit = 1e-5 * max(1.0, float(np.abs(whole).max()))
    assert np.abs(found.encode(many[:1]) - whole[:1]).max() < limit
    assert np.abs(found.encode(many[::-1]) - whole[::-1]).max() < limit
    assert np.abs(whole[:5] - whole[9:4:-1]).max() < limit


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two, for networks of published size."""
    monkeypatch.setattr("metrics.encoders.batches.BATCH", 2)


def test_inception_is_torch_fidelitys_own(pairs: None, patches: Images, tmp_path: Path) -> None:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.save(published(SMALL["inception"]), tmp_path / "inception.pth")
    for name, layer in (("inception", "2048"), ("inception-logits", "logits_unbiased")):
        theirs = FeatureExtractorInceptionV3(name, [layer], str(tmp_path / "inception.pth"))
        with torch.inference_mode():
            expected = theirs(torch.from_numpy(patches[:2]).permute(0, 3, 1, 2))[0].numpy()
        found = encoder(BY_NAME[name])(tmp_path / "inception.pth").encode(patches[:2])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_ctranspath_reads_names_as_they_are_published(pairs: None, weights: Path, patches: Images) -> None:
    found = opened("ctranspath", weights)
    assert found.ready() == str(weights / "ctranspath.safetensors")
    assert np.isfinite(found.encode(patches[:1])).all()
    held = published(SMALL["ctranspath"])
    assert "layers.0.downsample.norm.weight" in held and "layers.3.downsample.norm.weight" not in held
    state = found._network.state_dict()
    assert (state["layers.1.downsample.norm.weight"] == held["layers.0.downsample.norm.weight"]).all()


@pytest.mark.parametrize("name", ["uni2-h", "phikon", "quiltnet", "conch"])
def test_one_of_every_loader_keeps_the_contract_of_encoders(name: str, hub: Path, tmp_path: Path) -> None:
    left_by_the_hub(hub, SMALL[name], tmp_path)
    outcomes = contracts.check_encoder(encoder(SMALL[name]), name)
    assert {outcome.name: outcome.reason for outcome in outcomes if outcome.status == "failed"} == {}


def test_uneven_patches_are_cut_from_the_centre(weights: Path, patches: Images) -> None:
    found = opened("hibou-b", weights)
    wide = np.concatenate([patches, patches[:, ::-1]], axis=2)  # 96 x 40 px, of which 28 px on either side are cut
    margin = wide.copy()
    margin[:, :, :20] = margin[:, :, -20:] = 0
    whole = found.encode(wide)
    assert np.abs(found.encode(margin) - whole).max() < 1e-5 * np.abs(whole).max()
    margin[:, :, :40] = 0
    assert np.abs(found.encode(margin) - whole).max() > 0.1 * whole.std(0).mean()


def test_the_crop_hides_the_border(patches: Images) -> None:
    import torch

    row = replace(SMALL["gigapath"], shorter=40)
    pixels = torch.from_numpy(patches[:, :, :40]).permute(0, 3, 1, 2) / 127.5 - 1
    seen = prepare(row, pixels)
    mean, std = (torch.tensor(values)[:, None, None] for values in row.norm)
    assert torch.allclose(seen, ((pixels[:, :, 4:36, 4:36] + 1) / 2 - mean) / std, atol=1e-6)


def test_colours_and_sizes_are_those_of_the_row() -> None:
    import torch

    grey = torch.zeros(1, 3, 64, 64)
    for row in BY_NAME.values():
        seen = prepare(row, grey)
        if row.filter == "tensorflow":
            assert seen is grey
        else:
            assert seen.shape == (1, 3, row.side, row.side)
            assert seen[0, :, 0, 0].tolist() == pytest.approx(
                [(0.5 - m) / s for m, s in zip(*row.norm, strict=True)], abs=1e-5
            )


def test_weights_are_a_file_or_a_folder_of_several(weights: Path, patches: Images, tmp_path: Path) -> None:
    import torch

    row = SMALL["uni2-h"]
    expected = encoder(row)(weights / "uni2-h.safetensors").encode(patches)
    torch.save({"model": {f"module.{k}": v for k, v in published(row).items()}}, tmp_path / "uni2-h.pth")
    (tmp_path / "theirs" / "uni2-h").mkdir(parents=True)
    torch.save(published(row), tmp_path / "theirs" / "uni2-h" / "pytorch_model.bin")
    for place in (weights, tmp_path, tmp_path / "theirs"):
        np.testing.assert_array_equal(encoder(row)(place).encode(patches), expected)
    digest = hashlib.sha256((weights / "uni2-h.safetensors").read_bytes()).hexdigest()
    assert registry.describe(encoder(row)(weights))["digest"] == digest


@pytest.mark.parametrize("name", ["uni2-h", "hibou-b", "biomedclip", "conch"])
def test_weights_left_by_the_hub_are_found(name: str, hub: Path, weights: Path, patches: Images, tmp_path: Path) -> None:
    left_by_the_hub(hub, SMALL[name], tmp_path)
    expected = opened(name, weights).encode(patches)
    np.testing.assert_array_equal(encoder(SMALL[name])().encode(patches), expected)
    np.testing.assert_array_equal(encoder(SMALL[name])(tmp_path / "empty").encode(patches), expected)


def test_a_text_side_is_left_alone(weights: Path, patches: Images, tmp_path: Path) -> None:
    import torch

    for name in ("quiltnet", "clip-l", "conch"):
        more = {**published(SMALL[name]), "text_model.embeddings.weight": torch.ones(3), "logit_scale": torch.ones(1)}
        both = saved(more, tmp_path / f"{name}.safetensors")
        np.testing.assert_array_equal(encoder(SMALL[name])(both).encode(patches), opened(name, weights).encode(patches))


@pytest.mark.parametrize("name", ["uni2-h", "midnight", "biomedclip", "conch", "ctranspath", "inception"])
def test_other_names_and_shapes_are_damage_and_the_first_are_named(name: str, weights: Path, tmp_path: Path) -> None:
    row, state = SMALL[name], published(SMALL[name])
    first, second = list(select_tensors(row, state))[:2]
    begins = row.reads[0]
    wrong = {**state, first: state[first].new_zeros(3), f"{begins}surplus": state[first].new_zeros(2)}
    del wrong[second]
    for found in (encoder(row)(saved(wrong, tmp_path / "wrong.safetensors")),):
        for ask in (found.ready, lambda: found.encode(np.zeros((1, 64, 64, 3), dtype=np.uint8))):  # noqa: B023
            with pytest.raises(DamagedError) as text:
                ask()
            assert f"{second} is missing" in str(text.value)
            assert f"{begins}surplus is left over" in str(text.value)
            assert f"{first} is 3, not " in str(text.value)


@pytest.mark.parametrize("file", ["uni.safetensors", "uni.pth", "uni.bin"])
def test_unreadable_files_are_damage(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"not a network")
    for ask in (encoder(BY_NAME["uni"])(tmp_path).ready, lambda: encoder(BY_NAME["uni"])(tmp_path)._network):
        with pytest.raises(DamagedError, match=rf"uni: .*{file} is damaged"):
            ask()


def test_absent_weights_are_missing_or_gated(hub: Path, tmp_path: Path, patches: Images) -> None:
    for name, error in (("phikon", MissingError), ("inception", MissingError), ("uni", GatedError)):
        for place in (None, tmp_path):
            found = registry.load("encoders", name, weights=place)
            for ask in (found.ready, lambda: found.digest, lambda: found.encode(patches)):  # noqa: B023
                with pytest.raises(error, match=rf"{name}.*-o weights=FILE") as text:
                    ask()
                assert type(text.value) is error and text.value.exit_code == 3
    with pytest.raises(GatedError, match="ask for access on https://huggingface.co/MahmoodLab/UNI and set HF_TOKEN"):
        _ = registry.load("encoders", "uni").digest
    with pytest.raises(MissingError, match="no .*nowhere: -o weights takes a file, or a folder"):
        _ = registry.load("encoders", "uni", weights=tmp_path / "nowhere").digest


def test_only_patches_are_taken(weights: Path, patches: Images) -> None:
    with pytest.raises(UsageError, match=r"uni2-h takes uint8 images \(n, h, w, 3\), found"):
        opened("uni2-h", weights).encode(patches / 255)


def test_without_transformers_the_rest_works_and_what_needs_it_says_so(
    weights: Path, patches: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert opened("uni2-h", weights).encode(patches).shape == (5, 24)
    for ask in (opened("phikon", weights).ready, lambda: opened("phikon", weights).encode(patches)):
        with pytest.raises(MissingError, match=r"phikon needs the package transformers: pip install 'histobench\[encoders\]'"):
            ask()


def test_opening_the_panel_loads_no_library() -> None:
    code = (
        "import sys; from bench import registry\n"
        "found = [registry.load('encoders', name) for name in registry.expand('encoders', ['full'])]\n"
        "bad = {'torch', 'timm', 'transformers', 'open_clip', 'huggingface_hub'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

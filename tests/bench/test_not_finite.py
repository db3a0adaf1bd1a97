"""Images, features and weights that are not finite or damaged are errors, and nothing of them is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.jobs.arrays import open_array
from bench.jobs.store import EntryRef, Store
from bench.provenance.digests import digest_of
from tests.command_run import SMALL, bench, run

NOT_FINITE = """
import numpy as np
from bench.types import Card
class Nan:
    card = Card("nan", "1", "A test.")
    def __init__(self, value: str = "nan", way: str = "numpy", only: int = 0) -> None:
        self.value, self.way, self.only = value, way, only
    def generate(self, conditions, seeds):
        images = np.full((len(conditions), conditions.size, conditions.size, 3), 180.0)
        images[self.only:] = float(self.value)
        if self.way == "torch":
            import torch
            return torch.from_numpy(images).clamp(0, 255).to(torch.uint8).numpy()
        return np.clip(images, 0, None if self.value == "inf" else 255).astype(np.uint8)
class NanFeatures:
    card = Card("nan-features", "1", "A test.")
    dim = 4
    def encode(self, images):
        found = images.reshape(len(images), -1)[:, :4].astype(np.float32)
        found[3, 1] = np.nan
        return found
class FewRows(NanFeatures):
    card = Card("few-rows", "1", "A test.")
    def encode(self, images):
        return images.reshape(len(images), -1)[:-1, :4].astype(np.float32)
class OneRow(NanFeatures):
    card = Card("one-row", "1", "A test.")
    def encode(self, images):
        return np.zeros(4, np.float32)
"""
ALONE = ["--no-downstream", "--controls", "none", *SMALL, "--metrics", "kid", "--seeds", "0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "home"


@pytest.mark.parametrize(
    "options",
    [["value=nan"], ["value=inf"], ["value=nan", "only=40"], ["value=nan", "way=torch"]],
    ids=["nan", "infinite", "some images", "cast by torch"],
)
def test_images_that_were_not_finite_are_errors_and_no_black_images(home: Path, options: list[str]) -> None:
    (home.parent / "nan.py").write_text(NOT_FINITE)
    words = [word for option in options for word in ("-o", f"generator.{option}")]
    generator = f"{home.parent / 'nan.py'}:Nan"
    done = bench("run", "-t", "cam16-seg", "-g", generator, "--json", "-e", "texture", *ALONE, *words, home=home)
    assert done.returncode == 4, done.stderr
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert line["status"] == "error" and line["value"] is None and "NaN" in line["reason"], line


@pytest.mark.slow
@pytest.mark.parametrize("file", ["first_stage.safetensors", "ldm-semantic.safetensors"])
def test_a_diffusion_model_that_gives_nan_is_an_error_and_the_others_are_measured(tmp_path: Path, file: str) -> None:
    """A fit whose weights were spoilt, of the autoencoder or of the denoiser."""
    import torch
    from safetensors.torch import load_file, save_file

    home, words = tmp_path / "home", ["-g", "ldm-semantic", "-e", "texture", *ALONE, "--controls", "noise"]
    words += [w for o in ("steps=1", "stage_steps=1", "sample_steps=2") for w in ("-o", f"generator.{o}")]
    assert [line.status for line in run(*words, home=home)] == ["ok", "ok"]
    for weights in (home / "weights").glob(f"*/{file}"):
        save_file({name: torch.full_like(values, torch.nan) for name, values in load_file(weights).items()}, weights)
        entry = json.loads(weights.with_name("entry.json").read_text())
        entry["files"][file] = digest_of(weights)
        del entry["checksum"]  # as entries of earlier versions
        weights.with_name("entry.json").write_text(json.dumps(entry))
    for kind in ("generated", "samples", "encoded", "features", "measured"):
        shutil.rmtree(home / kind)
    done = bench("run", "-t", "cam16-seg", "--json", *words, home=home)
    assert done.returncode == 4, done.stderr
    spoilt, noise = [json.loads(text) for text in done.stdout.splitlines()]
    assert spoilt["status"] == "error" and "NaN or infinite values" in spoilt["reason"], spoilt
    assert noise["generator"] == "noise" and noise["status"] == "ok"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("NanFeatures", "nan-features returned NaN or infinite features for 1 of 84 images"),
        ("FewRows", "few-rows returned float32 (83, 4) for 84 images"),
        ("OneRow", "one-row returned float32 (4,) for 84 images"),
    ],
)
def test_features_that_are_not_finite_or_too_few_are_errors_and_are_not_kept(
    tmp_path: Path, encoder: str, message: str
) -> None:
    home = tmp_path / "home"
    (home.parent / "nan.py").write_text(NOT_FINITE)
    panel = f"texture,{home.parent / 'nan.py'}:{encoder}"
    done = bench("run", "-t", "cam16-seg", "-g", "blur", "--json", "-e", panel, *ALONE, home=home)
    assert done.returncode == 4, done.stderr
    lines = {line["encoder"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines.pop("texture")["status"] == "ok"
    (line,) = lines.values()
    assert line["status"] == "error" and message in line["reason"] and "bench check" in line["reason"]
    kept = [np.asarray(open_array(Store(home), EntryRef("encoded", f.name), "features")) for f in home.glob("encoded/*")]
    assert kept and all(np.isfinite(values).all() and len(values) == 84 for values in kept)


def test_a_shipped_encoder_with_a_flipped_byte_is_an_error(home: Path, tmp_path: Path) -> None:
    """A copy of the package whose weights of phantom-cnn have one wrong byte."""
    root = Path(registry.__file__).parents[1]
    for package in ("bench", "generators", "metrics", "tasks", "leaderboards"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "measured"))
    weights = tmp_path / "metrics" / "encoders" / "builtin" / "weights" / "phantom-cnn" / "weights.safetensors"
    whole = weights.read_bytes()
    words = ["-t", "cam16-seg", "-g", "blur", "--json", "-e", "texture,phantom-cnn", *ALONE]
    found = []
    for spoilt in (whole, whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
        weights.write_bytes(spoilt)
        done = bench("run", *words, home=home, cwd=tmp_path, PYTHONPATH=str(tmp_path))
        found.append((done.returncode, {line["encoder"]: line for line in map(json.loads, done.stdout.splitlines())}))
    (sound, before), (broken, after) = found
    assert sound == 0 and before["phantom-cnn"]["status"] == after["texture"]["status"] == "ok"
    assert broken == 4 and after["phantom-cnn"]["status"] == "error"
    assert str(weights) in after["phantom-cnn"]["reason"] and "Install histobench again" in after["phantom-cnn"]["reason"]

"""Every family that trains by diffusion, fitted in two processes on CPUs: the weights of one process.

The command line's part is shown in tests/bench/test_several_processes.py. Here a script calls `fit` in both processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench import registry
from bench.errors import UsageError
from bench.types import TrainsOnSeveralDevices

ROOT = Path(__file__).parents[2]
TOLERANCE = {
    "first_stage.safetensors": 1e-5,
    "ldm-semantic.safetensors": 5e-4,
    "ldm-embed.safetensors": 5e-4,
    "nasdm.safetensors": 2e-5,
    "nasdm-masks.safetensors": 1e-5,
}
"""Root mean square of the differences between weights after four steps without warm-up. Measured: 2.4e-6, 1.5e-4, 2.2e-4,
2.0e-6 and 3.1e-7; where both
processes train on the same rows: 3.4e-5, 1.9e-3, 1.9e-3, 1.3e-3 and 1.7e-3. Gradients agree to 2e-6 of
their norm. Adam divides each by its own size, so that of gradients near 0 the sign is what rounding left."""

FIT = """
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate import PartialState

from bench.pipeline.prompts import PromptRule, attach
from bench.types import silent
from generators.latent_diffusion.adapter import LdmEmbed, LdmSemantic
from generators.mask_diffusion.adapter import NasdmMasks
from generators.nasdm.adapter import Nasdm
from tasks.datasets.phantom.dataset import PhantomCam16, PhantomLizard

PartialState(cpu=True)
out = Path(sys.argv[1]) / os.environ.get("RANK", "alone")
tissue = attach(PhantomCam16(train_slides=2, per_slide=4).split("train"), PromptRule())
nuclei = PhantomLizard(train_slides=2, per_slide=4).split("train")
masks = np.array(nuclei.conditions.masks)
masks[::2, : masks.shape[1] // 2] = 255  # patches that are annotated to different parts
nuclei = replace(nuclei, conditions=replace(nuclei.conditions, masks=masks))
small = {"batch": 4, "steps": 4, "warmup": 1, "decay": False, "ema": 0.0}
made = {
    "ldm-semantic": (LdmSemantic(**small, stage_steps=3, stage_batch=4, views=1, loss="l1"), tissue),
    "ldm-embed": (LdmEmbed(**small, stage_steps=3, stage_batch=4, views=2, precision="bf16"), tissue),
    "nasdm": (Nasdm(**small, tuning_steps=3, drop=0.5), nuclei),
    "nasdm-masks": (NasdmMasks(**small), nuclei),
}
for name, (generator, train) in made.items():
    for part in ("work", "saved"):
        (out / name / part).mkdir(parents=True)
    generator.fit(train, 0, silent, out / name / "work")
    generator.save(out / name / "saved")
"""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one process (`alone`) and of each of two (`0`, `1`)."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "fit.py").write_text(FIT)
    environment = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    for launcher in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]):
        command = [sys.executable, *launcher, str(folder / "fit.py"), str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("ldm-semantic", "ldm-embed")), "nasdm", "nasdm-masks"]
)
def test_two_processes_end_with_the_weights_of_one(fitted: Path, name: str) -> None:
    files = sorted(path.name for path in (fitted / "alone" / name / "saved").glob("*.safetensors"))
    assert files
    for file in files:
        alone, first, second = (load_file(fitted / who / name / "saved" / file) for who in ("alone", "0", "1"))
        assert all(torch.equal(first[key], second[key]) for key in alone), "both processes hold the same weights"
        squares = sum(float((first[key].double() - alone[key].double()).square().sum()) for key in alone)
        apart = (squares / sum(value.numel() for value in alone.values())) ** 0.5
        assert apart <= TOLERANCE[file], f"{file}: root mean square difference {apart:.1e}"


@pytest.mark.parametrize("name", ["ldm-semantic", "ldm-prompt", "ldm-embed", "nasdm"])
def test_they_say_so_and_refuse_a_batch_that_cannot_be_split(name: str) -> None:
    generator = registry.load("generators", name, batch=6, **({} if name == "nasdm" else {"stage_batch": 12}))
    assert isinstance(generator, TrainsOnSeveralDevices)
    generator.check_devices(3)
    with pytest.raises(UsageError, match="batch of 6 cannot be split evenly over 4 processes"):
        generator.check_devices(4)

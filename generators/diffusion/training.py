"""Training and sampling that diffusion generators share: accelerate and diffusers, checkpointed, the same on every restart.

Nothing here draws from a global random state. Step s of a training run draws from generator (seed, s), and image i of a
sample from its own seed, so an interrupted run ends with the weights of an undisturbed one, and a batch never matters.

Training may run in several processes, one for each device. Each draws the batch of a step whole and trains on its share of the
rows; accelerate takes the mean of the gradients. One process and several thus end with the same weights but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from bench.errors import UsageError
from bench.runtime import torchvision_shim
from bench.runtime.precision import full_float32
from bench.types import Progress
from generators.diffusion.batches import ALONE, BatchShare
from generators.diffusion.training_state import TrainingState

torchvision_shim.ready()

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler  # noqa: E402
from diffusers.training_utils import EMAModel  # noqa: E402

Precision = Literal["fp32", "bf16"]
Loss = Callable[[nn.Module, np.random.Generator, BatchShare], Tensor]
"""(network, generator of this step, share of this process) -> scalar loss on its rows of a batch of its own choosing. The mean
over all shares is the loss of the batch. What is drawn depends on the generator alone, never on the share."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is optimised."""

    steps: int
    learning_rate: float
    warmup: int
    """Steps of linear warm-up."""
    decay: bool
    """Cosine decay to 2 % of the learning rate after the warm-up; constant otherwise."""
    ema: float
    """Decay of the exponential moving average of the weights."""
    precision: Precision = "fp32"
    checkpoint_every: int = 250
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Schedule:
    """The noise schedule of 1000 steps and what the network predicts."""

    beta_start: float
    beta_end: float
    prediction: Literal["epsilon", "v_prediction", "sample"]
    zero_snr: bool = False
    """Rescale the schedule so that the last step is pure noise (Lin et al. 2024)."""
    betas: Literal["scaled_linear", "linear"] = "scaled_linear"
    """What rises in a straight line: the root of beta, as in latent diffusion, or beta."""
    clip: bool = False
    """Cut what the network takes for the clean image to [-1, 1] at every step: for pixels, not for latents."""

    ends_clean: bool = True
    """Whether the last DDIM step ends at the clean image. CompVis' sampler ends at the noise level of step 0."""

    def ddpm(self) -> DDPMScheduler:
        """Scheduler for ancestral sampling whose network learned the variance (Nichol and Dhariwal 2021)."""
        return DDPMScheduler(**self._common(), clip_sample=self.clip, variance_type="learned_range")

    def ddim(self, steps: int = 0) -> DDIMScheduler:
        """Scheduler for training and for DDIM sampling in so many steps."""
        spacing = "trailing" if self.zero_snr else "leading"
        return DDIMScheduler(
            **self._common(),
            clip_sample=self.clip,
            timestep_spacing=spacing,
            set_alpha_to_one=self.ends_clean,
            steps_offset=int(not self.zero_snr and steps < 1000),
        )

    def dpm(self) -> DPMSolverMultistepScheduler:
        """Second-order multistep solver (DPM-Solver++): as good as DDIM in fewer steps."""
        return DPMSolverMultistepScheduler(
            **self._common(),
            timestep_spacing="trailing",
            final_sigmas_type="zero",
            use_karras_sigmas=False,
            thresholding=self.clip,  # with a largest value of 1 the threshold is always 1: plain clipping
            sample_max_value=1.0,
        )

    def _common(self) -> dict[str, Any]:
        return {
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.betas,
            "prediction_type": self.prediction,
            "rescale_betas_zero_snr": self.zero_snr,
        }


@full_float32()
def train(
    network: nn.Module, loss: Loss, training_config: TrainingConfig, seed: int, progress: Progress, work: Path, what: str
) -> None:
    """Optimises `network` in place and leaves it with its averaged weights. Goes on from the last checkpoint in `work`, also
    from one that another number of processes wrote. Of several processes the first writes checkpoints."""
    accelerator = _accelerator(training_config.precision)
    share = BatchShare(accelerator.process_index, accelerator.num_processes)
    network.to(accelerator.device).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=training_config.learning_rate, weight_decay=training_config.weight_decay
    )
    average = EMAModel(network.parameters(), decay=training_config.ema, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    run = {"what": what, "seed": seed, "config": asdict(training_config)}
    state = TrainingState(network, optimiser, average, run)
    # not prepared: accelerate would step it once for each process
    scheduler = LambdaLR(optimiser, lambda step: _pace(step, training_config))
    prepared, optimiser = accelerator.prepare(network, optimiser)
    start = _resume(accelerator, state, scheduler, work, training_config)
    average.to(accelerator.device)  # a checkpoint is read into memory of the CPU
    for step in range(start, training_config.steps):
        with accelerator.autocast():
            value = loss(prepared, np.random.default_rng([seed, step]), share)
        accelerator.backward(value)
        accelerator.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
        optimiser.zero_grad()
        average.step(network.parameters())
        progress(step + 1, training_config.steps, what)
        is_due = (step + 1) % training_config.checkpoint_every == 0 and step + 1 < training_config.steps
        if is_due and accelerator.is_main_process:
            state.write(work, step + 1)
    average.copy_to(network.parameters())
    network.eval()


def _accelerator(precision: Precision) -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # it refuses a second precision in one process; how several processes were connected stays
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else "bf16")
    if accelerator.distributed_type in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA"):
        raise UsageError(
            f"accelerate is set to {accelerator.distributed_type.value}, which splits the network. Here every process holds "
            "all of it and a share of the batch: use accelerate launch --multi_gpu."
        )
    return accelerator


def _pace(step: int, training_config: TrainingConfig) -> float:
    """Share of the learning rate at a step."""
    warm = min(1.0, (step + 1) / max(training_config.warmup, 1))
    if not training_config.decay:
        return warm
    done = max(0, step - training_config.warmup) / max(1, training_config.steps - training_config.warmup)
    return float(warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done))))


def _resume(accelerator: Any, state: TrainingState, scheduler: LambdaLR, work: Path, config: TrainingConfig) -> int:
    """Takes over the last checkpoint; returns its step, 0 without one. Several processes go on from the same step, or from the
    start where they found different ones."""
    start = state.find(work, config.steps)
    if accelerator.num_processes > 1:
        found = accelerator.gather(torch.tensor([start], device=accelerator.device))
        start = start if bool((found == start).all()) else 0
    if start:
        state.load(work, start, config.steps)
        scheduler.last_epoch = start
        for group, rate in zip(state.optimiser.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = rate * _pace(start, config)
    return start


def noisy(
    schedule: DDIMScheduler, clean: Tensor, rng: np.random.Generator, share: BatchShare = ALONE
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows `clean` of a batch, those of `share`, at random steps of the forward process: the noisy rows, their steps, and
    what the network should say."""
    n = len(clean) * share.ranks
    own = share.rows(n)
    steps = torch.from_numpy(rng.integers(0, schedule.config.num_train_timesteps, n)[own]).to(clean.device)
    noise = torch.from_numpy(rng.standard_normal((n, *clean.shape[1:]), dtype=np.float32)[own]).to(clean.device)
    target = {"epsilon": noise, "sample": clean, "v_prediction": schedule.get_velocity(clean, noise, steps)}
    return schedule.add_noise(clean, noise, steps), steps, target[schedule.config.prediction_type]


@dataclass(frozen=True)
class Sampler:
    """How the reverse process is walked."""

    kind: Literal["ddpm", "ddim", "dpm"]
    """`ddpm` needs a network that says the variance too: twice the channels of the image."""
    steps: int
    eta: float
    """Share of fresh noise in each DDIM step: 0 is deterministic, 1 is ancestral."""

    @torch.no_grad()
    def walk(
        self,
        schedule: Schedule,
        predict: Callable[[Tensor, Tensor], Tensor],
        shape: tuple[int, ...],
        seeds: NDArray[np.uint64],
        where: str,
    ) -> Tensor:
        """Latents (n, *shape): `predict(noisy, step)` is asked once a step. Row i draws from seed i alone."""
        if self.kind == "ddpm":
            return self._ancestral(schedule.ddpm(), predict, shape, seeds, where)
        sources = [np.random.default_rng(int(seed)) for seed in seeds]

        def draw() -> Tensor:
            rows = [source.standard_normal(shape, dtype=np.float32) for source in sources]
            return torch.from_numpy(np.stack(rows)).to(where)

        scheduler = schedule.ddim(self.steps) if self.kind == "ddim" else schedule.dpm()
        scheduler.set_timesteps(self.steps, device=where)
        # from pure noise the whole first step is fresh noise, and rounding takes the root of a negative number at eta = 1
        eta = min(self.eta, 0.999) if schedule.zero_snr else self.eta
        state = draw()
        for step in scheduler.timesteps:
            predicted = predict(state, step)
            if self.kind == "dpm":
                state = scheduler.step(predicted, step, state).prev_sample
            else:
                fresh = draw() if eta > 0 else None
                state = scheduler.step(predicted, step, state, eta=eta, variance_noise=fresh).prev_sample
        return self._finite(state)

    def _ancestral(
        self,
        scheduler: DDPMScheduler,
        predict: Callable[[Tensor, Tensor], Tensor],
        shape: tuple[int, ...],
        seeds: NDArray[np.uint64],
        where: str,
    ) -> Tensor:
        sources = [torch.Generator().manual_seed(int(seed >> np.uint64(1))) for seed in seeds]  # torch takes 63 bits
        state = torch.stack([torch.randn(shape, generator=source) for source in sources]).to(where)
        scheduler.set_timesteps(self.steps, device=where)
        for step in scheduler.timesteps:
            state = scheduler.step(predict(state, step), step, state, generator=sources).prev_sample
        return self._finite(state)

    def _finite(self, state: Tensor) -> Tensor:
        if not torch.isfinite(state).all():
            # no BenchError, which would end the run: this generator's own numbers are errors, the others are measured
            raise FloatingPointError(
                f"sampling gave NaN or infinite values: {self}. Fit again, or choose another sampler or more steps."
            )
        return state


def micro_batches(n: int, size: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows of each batch, always `size` of them (the last row repeated), and how many count.

    Kernels may sum in another order for another batch size; a fixed size makes an image the same in any company.
    """
    for first in range(0, n, size):
        rows = np.arange(first, min(first + size, n))
        yield np.pad(rows, (0, size - len(rows)), mode="edge"), len(rows)

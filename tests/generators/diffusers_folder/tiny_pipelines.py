"""Pipelines of diffusers with tiny networks of random weights, written by diffusers and transformers themselves: the format of
the files is the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from bench.runtime import torchvision_shim

torchvision_shim.ready()
import diffusers  # noqa: E402  # after the shim, without which transformers cannot be imported beside some builds of torch
import transformers  # noqa: E402

SIDE = 16
WORDS = ("light", "dark", "tissue", "tumour")


def save(kind: str, folder: Path, **more: Any) -> Path:
    """Writes a pipeline of the class into the folder, and what is known of it beside it."""
    torch.manual_seed(0)
    for logger in (diffusers.utils.logging, transformers.utils.logging):
        logger.set_verbosity_error()
        logger.disable_progress_bar()
    pipeline = MAKERS[kind](folder, **more)
    pipeline.save_pretrained(str(folder))
    folder.with_name(f"{folder.name}.card.toml").write_text('licence = "MIT"\ntrained_on = ["phantom"]\n')
    return folder


def _scheduler() -> Any:
    return diffusers.DDIMScheduler(num_train_timesteps=20, clip_sample=False)


def _vae() -> Any:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(
        **blocks, block_out_channels=(8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=SIDE
    ).eval()


def _unet(channels: int = 4) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=8,
        norm_num_groups=4,
    ).eval()


def _text(folder: Path) -> dict[str, Any]:
    """A text encoder and its tokenizer, of a vocabulary of letters and a few words."""
    letters = [chr(code) for code in range(97, 123)]
    vocabulary = [*letters, ",", *(f"{letter}</w>" for letter in letters), ",</w>"]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            vocabulary.append(parts[0])
    vocabulary = list(dict.fromkeys([*vocabulary, "<|startoftext|>", "<|endoftext|>"]))
    files = folder.parent / "vocabulary"
    files.mkdir(exist_ok=True)
    (files / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (files / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(files), model_max_length=16)
    config = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=vocabulary.index("<|startoftext|>"),
        eos_token_id=vocabulary.index("<|endoftext|>"),
        pad_token_id=vocabulary.index("<|endoftext|>"),
    )
    return {"tokenizer": tokenizer, "text_encoder": transformers.CLIPTextModel(config).eval()}


def _latent(folder: Path, cls: Any, channels: int = 4, **more: Any) -> Any:
    parts = {"vae": _vae(), "unet": _unet(channels), "scheduler": _scheduler(), **_text(folder), **more}
    return cls(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def _control(folder: Path, channels: int = 3) -> Any:
    controlnet = diffusers.ControlNetModel.from_unet(
        _unet(), conditioning_channels=channels, conditioning_embedding_out_channels=(8, 8)
    )
    for parameter in controlnet.parameters():  # its last layers are zero at first, and the map would change nothing
        torch.nn.init.normal_(parameter, std=0.2)
    return _latent(folder, diffusers.StableDiffusionControlNetPipeline, controlnet=controlnet.eval())


def _pixels(folder: Path, cls: Any = diffusers.DDPMPipeline) -> Any:
    unet = diffusers.UNet2DModel(
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    return cls(unet.eval(), diffusers.DDPMScheduler(num_train_timesteps=20))


def _dit(folder: Path, scheduler: Any = None) -> Any:
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        num_embeds_ada_norm=2,
        out_channels=4,
        norm_num_groups=4,
    )
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return diffusers.DiTPipeline(transformer.eval(), _vae(), scheduler or _scheduler())


def _ldm(folder: Path) -> Any:
    unet = diffusers.UNet2DModel(
        sample_size=SIDE // 2,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    vqvae = diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=3,
        norm_num_groups=4,
        num_vq_embeddings=16,
    )
    return diffusers.LDMPipeline(vqvae.eval(), unet.eval(), _scheduler())


MAKERS: dict[str, Any] = {
    "text": lambda folder: _latent(folder, diffusers.StableDiffusionPipeline),
    "control": _control,
    "inpaint": lambda folder: _latent(folder, diffusers.StableDiffusionInpaintPipeline, channels=9),
    "img2img": lambda folder: _latent(folder, diffusers.StableDiffusionImg2ImgPipeline),
    "dit": _dit,
    "pixels": _pixels,
    "latents": _ldm,
}

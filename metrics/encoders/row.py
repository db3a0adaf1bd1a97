"""The description of one published encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from metrics.encoders.weights import Origin

Loader = Literal["timm", "open_clip", "transformers", "torch-fidelity", "own"]
Filter = Literal["bilinear", "bicubic", "tensorflow"]
"""The first two antialiased as in Pillow; `tensorflow`: bilinear without antialias, as TensorFlow 1 did it."""
Pooling = Literal["cls", "cls+mean", "mean", "attention", "projected", "logits"]
Colours = tuple[float, float, float]
Norm = tuple[Colours, Colours]
"""Mean and standard deviation of red, green and blue, for pixels in [0, 1]."""

IMAGENET: Norm = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: Norm = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF: Norm = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LUNIT: Norm = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
OPTIMUS: Norm = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU: Norm = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))


@dataclass(frozen=True)
class Row:
    """One encoder, as published."""

    name: str
    summary: str
    origin: Origin
    loader: Loader
    build: Mapping[str, Any]
    """Architecture, in the words of its loader."""
    dim: int
    norm: Norm = IMAGENET
    side: int = 224
    """Side of the network's input in pixels."""
    shorter: int = 0
    """Pixels of the shorter side before the centre crop; 0 for `side`: then nothing of a square is cropped."""
    filter: Filter = "bicubic"
    pooling: Pooling = "cls"
    precision: str = "float32"
    licence: str = ""
    mpp: float | None = 0.5
    """Microns per pixel that it is made for; None if unknown, or if it is made for several."""
    published: str = ""
    """Parameters of the published checkpoint, rounded as its source does; empty where no number was found."""
    counted: tuple[str, ...] = ()
    """Names of the sources of that number and of the architecture."""
    reads: tuple[str, ...] = ("",)
    """Prefixes of the tensors that are read from the checkpoint, for example without a text part."""
    ignores: tuple[str, ...] = ("num_batches_tracked",)
    """Suffixes of tensors that are not learned."""
    unverified: str = ""
    """What could not be checked against an outside source."""
    notes: str = ""
    in_panels: bool = True
    """Whether it is in panels; if not, a metric uses it by name."""

    @property
    def verified(self) -> bool:
        return not self.unverified

    @property
    def has_tokens(self) -> bool:
        """Whether its network ends in a grid of tokens in the space of its features."""
        return self.loader in ("timm", "transformers") and self.pooling in ("cls", "cls+mean", "mean")

    @property
    def crop(self) -> float:
        """Share of the shorter side that remains after the crop."""
        return self.side / (self.shorter or self.side)

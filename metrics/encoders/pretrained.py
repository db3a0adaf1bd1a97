"""The encoders of the panel as classes: one factory makes each from its row.

`uni2-h` is the class `uni2_h` of this module. `weights` is a file, or a folder in which NAME.safetensors, NAME.pth, NAME.bin
or the publisher's own file names in a folder NAME are looked for; then the hub's cache; then the hub.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.provenance.digests import digest_of
from bench.types import Card, Features, Images
from metrics.encoders.batches import check_images, freeze, run_batches, run_token_batches
from metrics.encoders.kinds import Kind, kind
from metrics.encoders.loaders import checkpoints as files
from metrics.encoders.panel import ROWS
from metrics.encoders.preprocessing import resize
from metrics.encoders.row import Row
from metrics.encoders.weights import absent

if TYPE_CHECKING:
    from torch import Tensor, nn


class Pretrained:
    """A published encoder; its classes differ by `row` and `card` alone."""

    row: ClassVar[Row]
    card: ClassVar[Card]

    def __init__(self, weights: Path | None = None) -> None:
        self.weights = weights

    @property
    def dim(self) -> int:
        return self.row.dim

    @cached_property
    def digest(self) -> str:
        """sha256 of the file that holds the weights."""
        return digest_of(self._file)

    def ready(self) -> str:
        """Where its weights are. Raises if it cannot be used; downloads nothing and reads only headers."""
        file = files.find_local(self.row, self.weights)
        if file is None:
            raise absent(self.row.origin, self.row.name)
        self._check_outline(file)
        return str(file)

    def _check_outline(self, file: Path) -> Row:
        """The row as a configuration file beside the weights has it. Raises DamagedError where names or shapes in the file are
        others; needs no memory for the network."""
        import torch

        row = self._kind.configured(self.row, file)
        held = files.outline(row.name, file)
        with torch.device("meta"):
            network = self._kind.build(row)
        files.check(row, file, self._kind.names(network), held)
        return row

    def encode(self, images: Images) -> Features:
        """float32 (n, dim) of patches of any size."""
        _ = self._network  # missing weights are reported before anything is calculated
        return run_batches(self._forward, check_images(self.row.name, images), self.dim)

    def _forward(self, pixels: Tensor) -> Tensor:
        return self._kind.features(self.row, self._network, prepare(self.row, pixels))

    @property
    def _kind(self) -> Kind:
        return kind(self.row)

    @cached_property
    def _file(self) -> Path:
        return files.locate(self.row, self.weights)

    @cached_property
    def _network(self) -> nn.Module:
        row = self._kind.configured(self.row, self._file)
        if row is not self.row:  # a file says how large the network is
            self._check_outline(self._file)
        tensors = files.read(row.name, self._file)
        network = self._kind.build(row)
        files.check(row, self._file, self._kind.names(network), tensors)
        return freeze(self._kind.fill(row, network, files.select_tensors(row, tensors)))


class PretrainedTokens(Pretrained):
    """A published encoder whose network ends in a grid of tokens."""

    def encode_tokens(self, images: Images) -> NDArray[np.float32]:
        """float32 (n, rows, columns, d) of the whole patch, resized without the centre crop that some encoders make."""
        _ = self._network
        return run_token_batches(self._forward_tokens, check_images(self.row.name, images))

    def _forward_tokens(self, pixels: Tensor) -> Tensor:
        assert self._kind.tokens is not None
        return self._kind.tokens(self.row, self._network, prepare(self.row, pixels, 1.0))


def prepare(row: Row, pixels: Tensor, crop: float | None = None) -> Tensor:
    """The input of a network of this row for (n, 3, h, w) in [-1, 1]: resized, cropped to `crop` of the shorter side (None: as
    published), normalised."""
    if row.filter == "tensorflow":
        return pixels  # its network resizes and normalises by itself
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in row.norm)
    return ((resize(pixels, row.side, row.crop if crop is None else crop, row.filter) + 1) / 2 - mean) / std


def encoder(row: Row) -> type[Pretrained]:
    """The class of a row."""
    gate = "Gated: ask for access on its page. " if row.origin.gated else ""
    card = Card(
        row.name,
        "1",
        row.summary,
        licence=row.licence,
        source=row.origin.page,
        notes=f"{gate}{row.notes}".strip(),
    )
    base = PretrainedTokens if row.has_tokens else Pretrained
    return type(attribute(row.name), (base,), {"row": row, "card": card, "__module__": __name__, "__doc__": _about(row)})


def _about(row: Row) -> str:
    cut = f"{row.shorter} px on the shorter side, of which the centre of {row.side} px" if row.shorter else f"{row.side} px"
    return f"{row.dim}-d ({row.pooling}, {row.precision}) of patches at {cut}, by a {row.filter} filter."


def attribute(name: str) -> str:
    """The name of an encoder's class in this module."""
    return name.replace("-", "_")


@cache
def __getattr__(name: str) -> type[Pretrained]:
    for row in ROWS:
        if attribute(row.name) == name:
            return encoder(row)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

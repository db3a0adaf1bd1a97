"""What all plug-ins have: a card, and as optional abilities presets, a digest, a small instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

Tolerance = Literal["exact", "rounding"]
"""How far an image may depend on the batch that it is generated in: not at all, or by rounding."""


@dataclass(frozen=True)
class Card:
    """Description of a plug-in class, read by `bench info` without building it. Name and version are part of every key."""

    name: str
    version: str
    summary: str
    licence: str = ""
    """Of code and weights, e.g. MIT. There is no default: `bench check` fails where it is empty."""
    source: str = ""
    """Paper, equation or repository that defines it."""
    cost: str = ""
    """How time and memory grow, e.g. O(n^2 d)."""
    needs: tuple[str, ...] = ()
    """Condition columns that it needs: names of fields of `Conditions`."""
    trained_on: tuple[str, ...] = ()
    """Datasets that its weights were trained on."""
    conditioned_by: tuple[str, ...] = ()
    """Encoders that the generator was conditioned by or trained with: distances by them are not independent."""
    tolerance: Tolerance = "exact"
    """Of a generator: `exact`, an image is the same in every batch; `rounding`, its pixels differ by rounding from batch to
    batch, as those of networks do whose sums a library orders by the size of the batch."""
    supersedes: str = ""
    sees: tuple[str, ...] = ()
    """Of a metric: corruptions (`IsCorruption`) that its measures must follow, the stronger the farther; of one measure alone
    `MEASURE:CORRUPTION`. Of an encoder: those that its features show; empty for any. `bench sensitivity` tests both."""
    notes: str = ""
    """Known limits."""


@runtime_checkable
class HasCard(Protocol):
    """A class with a card, which makes it a plug-in."""

    card: Card


@runtime_checkable
class HasPresets(Protocol):
    """A plug-in class with a config, a frozen dataclass: its options are `preset`, every field of the config, and further
    parameters of its constructor. Keys and records have the values of the config, never the name of a preset."""

    presets: Mapping[str, Any]
    """Name -> an instance of the config. The constructor takes one of the names as `preset`, which has a default, and
    fields of the config as keywords; see `bench.presets.configure`."""


@runtime_checkable
class HasConfig(HasPresets, Protocol):
    """An object of a class with presets."""

    config: Any
    """The preset with the given values replaced."""


@runtime_checkable
class HasDigest(Protocol):
    """A plug-in that depends on content from outside (a folder, a checkpoint, weights): its digest is part of every key."""

    @property
    def digest(self) -> str:
        """Changes with the content. MissingError if the content is missing."""
        ...


@runtime_checkable
class HasSmallInstance(Protocol):
    """A plug-in class with an instance that trains in seconds, for `bench check`."""

    @classmethod
    def trial(cls) -> Any: ...

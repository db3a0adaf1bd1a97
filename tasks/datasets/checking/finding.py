"""The parts of a report on a data folder."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClassShare:
    """How much of a class there is."""

    number: int
    """In the files."""
    name: str
    share: float
    """Of annotated pixels."""
    shown: str
    """How many images or patches show it: `12 images`."""
    patches: dict[str, int] = field(default_factory=dict)
    """Range of its share -> kept patches."""


@dataclass
class Report:
    """What `bench data check` found."""

    folder: str
    layout: str
    images: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    """Width x height -> images."""
    mpp: str = ""
    classes: list[ClassShare] = field(default_factory=list)
    not_annotated: float = 0.0
    """Share of pixels."""
    sampling: dict[str, str] = field(default_factory=dict)
    """Sampling unit, laboratories and splits, and where they are from."""
    patches: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What is wrong, each with its file."""
    commands: list[str] = field(default_factory=list)
    """The next command lines."""

    @property
    def runnable(self) -> bool:
        """Whether the first command is one of `bench run`, and nothing is wrong."""
        return not self.faults and bool(self.commands)

"""The corruptions of several strengths, as generators of one run of the harness.

A ladder begins with the target patches as they are and goes on with one corruption, the stronger the farther. Ladders are
measured as any other generators, in one run: its graph has every shard, every encoding and every measurement once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench import registry
from bench.config import PLACEHOLDER, RunConfig, load_components
from bench.data_source import provided
from bench.errors import BrokenPluginError, UsageError, did_you_mean
from bench.types import ConditionMetric, FeatureMetric, IsCorruption, TrainedMetric

START = "unchanged"
"""The generator that shows the targets as they are, where every ladder begins that needs no prompts."""
REFERENCE = "real"
"""Real patches of other slides: what the best generator would get. It is measured beside the ladders."""


@dataclass(frozen=True)
class Ladder:
    """One corruption and its strengths."""

    corruption: str
    option: str
    """The option of the plug-in that is the strength."""
    strengths: tuple[float, ...]
    """From the weakest to the strongest."""
    unchanged: float | None
    """The strength at which nothing changes, if there is one."""
    unit: str
    needs: tuple[str, ...]

    @property
    def start(self) -> str:
        """The generator at which it begins. A corruption that is shown prompts begins at its own strength 0: measures of
        prompts are of generators that are shown prompts only."""
        return f"{self.corruption}:{self.unchanged:g}" if "prompts" in self.needs and self.unchanged is not None else START

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of its generators, the start first."""
        return (self.start, *(f"{self.corruption}:{strength:g}" for strength in self.strengths))


def corruptions() -> dict[str, Ladder]:
    """Name -> ladder of every installed generator that is a corruption. One that cannot be imported is none."""
    found = {}
    for name in registry.names("generators"):
        try:
            ladder = read_ladder(name)
        except BrokenPluginError:
            continue
        if ladder is not None:
            found[name] = ladder
    return found


def read_ladder(name: str) -> Ladder | None:
    """The ladder of a generator, None if it is no corruption. BrokenPluginError if its strengths are none."""
    cls = registry.find("generators", name)[0]
    if not isinstance(cls, IsCorruption):
        return None
    strengths, options = tuple(cls.strengths), list(registry.parameters(cls))
    rises = [later > earlier for earlier, later in zip(strengths, strengths[1:], strict=False)]
    if len(strengths) < 2 or len(set(rises)) > 1 or not options or len(set(strengths)) < len(strengths):
        raise BrokenPluginError(
            f"the corruption {name!r} has the strengths {strengths} and the options {options}: at least two strengths from "
            "the weakest to the strongest are needed, and the first option is the strength."
        )
    card = registry.card("generators", name)
    return Ladder(name, options[0], strengths, cls.unchanged, cls.unit, card.needs)


def choose(asked: Mapping[str, tuple[float, ...]], named: Iterable[str], provides: set[str]) -> tuple[list[Ladder], list[str]]:
    """The ladders to measure, and a sentence for each that the data cannot have.

    `named`: corruptions, all that are installed where there are none; `asked`: corruption -> strengths in place of its own.
    """
    named = tuple(named)
    known = corruptions()
    wanted = {name: known[name] if name in known else _of_file(name, known) for name in named or known}
    if strange := sorted(set(asked) - set(wanted)):
        raise UsageError(f"strengths of {strange[0]!r} are given, which is not measured: {', '.join(wanted)}.")
    chosen, left_out = [], []
    for name, ladder in wanted.items():
        if missing := sorted(set(ladder.needs) - provides):
            left_out.append(f"{name} is left out: the data have no {', '.join(missing)}")
        else:
            chosen.append(replace(ladder, strengths=_in_order(asked.get(name, ladder.strengths), ladder)))
    if not chosen:
        raise UsageError(f"no corruption is left to measure: {'; '.join(left_out)}.")
    return chosen, left_out


def _of_file(name: str, known: Mapping[str, Ladder]) -> Ladder:
    ladder = read_ladder(name) if registry.is_known("generators", name) else None
    if ladder is None:
        raise UsageError(f"no corruption {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}.")
    return ladder


def _in_order(strengths: tuple[float, ...], ladder: Ladder) -> tuple[float, ...]:
    """Strengths from the weakest to the strongest, in the direction of the corruption's own."""
    if len(set(strengths)) < 2:
        raise UsageError(f"{ladder.corruption}: two strengths or more show how a metric responds, not {len(set(strengths))}.")
    return tuple(sorted(set(strengths), reverse=ladder.strengths[0] > ladder.strengths[-1]))


def plan(
    config: RunConfig, named: Sequence[str], strengths: Mapping[str, tuple[float, ...]], beside: Sequence[str]
) -> tuple[RunConfig, list[str]]:
    """The run that measures the ladders, and beside them some generators, and a sentence for each corruption that is left out.
    `config` has everything but generators."""
    components = load_components(replace(config, generator=PLACEHOLDER, controls=()))
    ladders, left_out = choose(strengths, named, provided(components.dataset))
    generators = dict.fromkeys([START, *(name for ladder in ladders for name in ladder.generators), *beside])
    return replace(config, generator=START, controls=tuple(generators)[1:], downstream=False), left_out


def metrics_of_images() -> Iterator[str]:
    """Every installed metric of images: all but those of layouts."""
    for name in registry.names("metrics"):
        try:
            found = registry.find("metrics", name)[0]
        except BrokenPluginError:
            continue
        if isinstance(found, FeatureMetric | TrainedMetric | ConditionMetric):
            yield name

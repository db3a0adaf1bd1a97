"""The claims of cards: which corruptions a metric must follow on an encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench import registry
from bench.errors import BrokenPluginError


@dataclass(frozen=True)
class Claims:
    """The claims of all installed metrics and encoders, and of those in files."""

    files: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(kind, name of the card) -> `Card.sees`, of plug-ins from files."""

    @staticmethod
    def with_files(metrics: Iterable[str] = (), encoders: Iterable[str] = ()) -> Claims:
        """The claims with those of the plug-in files among the names."""
        named = [("metrics", name) for name in metrics] + [("encoders", name) for name in encoders]
        cards = [(kind, registry.card(kind, name)) for kind, name in named if registry.is_file(name)]
        return Claims({(kind, card.name): tuple(card.sees) for kind, card in cards})

    def claims(self, metric: str, measure: str, encoder: str, corruption: str) -> bool:
        """Whether the card of the metric claims that its measure sees the corruption, and that of the encoder does not exclude
        it. A metric or an encoder that is not installed claims nothing."""
        named = {corruption, f"{measure}:{corruption}"}
        is_shown = corruption in (self.sees("encoders", encoder) or (corruption,))
        return is_shown and not named.isdisjoint(self.sees("metrics", metric))

    def sees(self, kind: str, name: str) -> tuple[str, ...]:
        """What the card of a plug-in names; nothing for one that is not installed or cannot be imported."""
        if (kind, name) in self.files:
            return self.files[kind, name]
        head = name.partition(":")[0]
        if head not in registry.names(kind):
            return ()
        try:
            return tuple(registry.card(kind, head).sees)
        except BrokenPluginError:
            return ()

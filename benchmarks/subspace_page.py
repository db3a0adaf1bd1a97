"""The page on distances that can have an interval, from what was simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from benchmarks.subspace_simulation import CHOSEN, CORRUPTIONS, Finding, Setting, corrupted_distance

WIDTH = 1024
"""Features of the distance that corruptions are ordered by."""


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/subspace.md."""
    plain = [s for s in held if s.generator not in CORRUPTIONS]
    return {
        "chosen": table(held, [s for s in plain if s.candidate == CHOSEN]),
        "others": table(held, [s for s in plain if s.candidate != CHOSEN]),
        "corruptions": corruptions(held),
        "order": order(held),
    }


def table(held: Mapping[Setting, Finding], rows: Iterable[Setting]) -> str:
    """One row a setting."""
    lines = [
        "| distance | slides | spectrum | ICC | generator | truth | mean value | spread | refused | held the truth |",
        "|---" * 10 + "|",
    ]
    for s in rows:
        f = held[s]
        name = f"{s.candidate}, d = {s.d}" if s.d else s.candidate
        refused = "; ".join(f"{count} {reason}" for reason, count in f.refused.items()) or "0"
        share = f"{f.held / f.given:.1%} of {f.given}" if f.given else "–"
        found = f"{f.truth:.2%} | {f.value:.2%} | {f.spread:.2%} | {refused} | {share}"
        lines.append(f"| {name} | {s.slides} | i^-{s.power:g} | {s.icc:g} | {s.generator} | {found} |")
    return "\n".join(lines)


def corruptions(held: Mapping[Setting, Finding]) -> str:
    """One row a corruption, weakest first as the whole distance has it."""
    slides = sorted({s.slides for s in held if s.generator in CORRUPTIONS})
    heads = " | ".join(f"{CHOSEN}, {count} slides" for count in slides)
    lines = [f"| corruption | fd, {WIDTH} features | {CHOSEN}, population | {heads} |", "|---" * (3 + len(slides)) + "|"]
    for words in sorted({s.generator for s in held if s.generator in CORRUPTIONS}, key=whole):
        found = {s.slides: held[s] for s in held if s.generator == words}
        truth = next(iter(found.values())).truth
        cells = [f"{found[n].value:.2%} ± {found[n].spread:.2%}" if n in found else "–" for n in slides]
        lines.append(f"| {words} | {whole(words):.2%} | {truth:.2%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def order(held: Mapping[Setting, Finding]) -> str:
    """In how many pairs of corruptions the chosen distance and the whole one have the same order."""
    texts = []
    settings = [s for s in held if s.generator in CORRUPTIONS]
    for count in sorted({s.slides for s in settings}):
        here = [(whole(s.generator), held[s].truth, held[s].value or 0.0) for s in settings if s.slides == count]
        pairs = [(a, b) for i, a in enumerate(here) for b in here[i + 1 :]]
        population, measured = (sum((a[0] < b[0]) == (a[k] < b[k]) for a, b in pairs) for k in (1, 2))
        texts.append(f"{measured} of {len(pairs)} by the mean values of {count} slides")
        if count == settings[0].slides:
            texts.insert(0, f"{population} of {len(pairs)} in the population")
    return f"Pairs of corruptions in the order of `fd` with {WIDTH} features: {', '.join(texts)}."


@cache
def whole(words: str) -> float:
    """The distance of the populations in all features, as a share of their variance."""
    return corrupted_distance(words, WIDTH, 1.0)

"""The tables of docs/reader-statistics.md, from what was simulated and from the papers' sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scipy.stats import binom, binomtest

from benchmarks.reader_studies_simulation import PAPERS, Finding, Setting

SHOWN = ("accuracy", "d'", "AUC", "score difference", "rate of 10 %")
RIGHT = (("45 %", 18, 40), ("52.5 %", 21, 40))
"""Published share -> right answers of the images of one data set, if each data set has a third of the 120 images."""
POWER, LEVEL = 0.8, 0.05
LOW, HIGH = 0.93, 0.97
"""Coverage that is wanted of an interval of 95 %."""


def tables(held: Mapping[Setting, Finding]) -> dict[str, str]:
    """Mark -> table of docs/reader-statistics.md."""
    alls = {s: f for s, f in held.items() if s.numbers == "all" and s.sizes == "equal"}
    common = {s: f for s, f in alls.items() if s.readers > 1 and (s.ability, s.spread) != (0.0, 0.4)}
    of_papers = {s: f for s, f in alls.items() if (s.readers, s.slides, s.per_slide) in PAPERS.values() and s.spread < 0.5}
    return {
        "coverage": coverage(common, "held"),
        "these": coverage({s: f for s, f in common.items() if s.spread == 0.4}, "held_these"),
        "unequal": coverage({s: f for s, f in held.items() if s.numbers == "all" and s.sizes != "equal"}, "held"),
        "summary": summary(common),
        "agreement": agreement({s: f for s, f in held.items() if s.numbers == "agreement"}),
        "width": widths(common),
        "odds": odds({s: f for s, f in held.items() if s.numbers == "odds ratio"}),
        "published": published(),
        "papers": papers(of_papers),
    }


def _rows(
    held: Mapping[Setting, Finding], heads: tuple[str, ...], cell: Callable[[Setting, dict[str, float | None]], str]
) -> str:
    lines = [
        "| " + " | ".join(("readers", "slides x images", "d'", "spread of d'", *heads)) + " |",
        "|---" * (4 + len(heads)) + "|",
    ]
    for s, f in held.items():
        cells = [cell(s, f.found[name]) for name in heads]
        size = f"{s.slides} x {2 * s.per_slide}"
        lines.append("| " + " | ".join((str(s.readers), size, f"{s.ability:g}", f"{s.spread:g}", *cells)) + " |")
    return "\n".join(lines)


def coverage(held: Mapping[Setting, Finding], which: str) -> str:
    """One row a setting: how many of the intervals held the truth."""
    return _rows(held, SHOWN, lambda s, found: "–" if found[which] is None else f"{(found[which] or 0) / s.trials:.1%}")


def summary(held: Mapping[Setting, Finding]) -> str:
    """For each number of readers: least and most of the rows, their mean, and how many lie from 93 to 97 %."""
    lines = ["| readers | " + " | ".join(SHOWN) + " |", "|---" * (1 + len(SHOWN)) + "|"]
    for readers in sorted({s.readers for s in held}):
        cells = []
        for name in SHOWN:
            shares = [(f.found[name]["held"] or 0) / s.trials for s, f in held.items() if s.readers == readers]
            inside = sum(LOW <= share <= HIGH for share in shares)
            middle = sum(shares) / len(shares)
            cells.append(f"{min(shares):.1%} to {max(shares):.1%}, mean {middle:.1%}; {inside} of {len(shares)}")
        lines.append(f"| {readers} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def agreement(held: Mapping[Setting, Finding]) -> str:
    """How many intervals of agreement held the agreement of these readers over all slides."""
    names = list(dict.fromkeys(name for finding in held.values() for name in finding.found))
    lines = ["| readers | slides x images | slides | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for s, f in held.items():
        cells = [f"{(f.found[name]['held'] or 0) / (f.found[name]['given'] or 1):.1%}" for name in names]
        lines.append(f"| {s.readers} | {s.slides} x {2 * s.per_slide} | {s.sizes} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def widths(held: Mapping[Setting, Finding]) -> str:
    """Median half widths: for other readers and slides, and for these readers and other slides."""
    kept = {s: f for s, f in held.items() if (s.slides, s.per_slide) in ((20, 1), (20, 4))}

    def cell(_: Setting, found: dict[str, float | None]) -> str:
        return f"{found['half_width'] or 0:.2f} ({found['half_width_these'] or 0:.2f})"

    return _rows(kept, SHOWN, cell)


def odds(held: Mapping[Setting, Finding]) -> str:
    """How often the interval of the odds ratio holds 1 where both arms are alike."""
    lines = ["| readers | slides x images | spread of d' | studies | with an interval | held 1 |", "|---" * 6 + "|"]
    for s, f in held.items():
        found = f.found["odds ratio"]
        given, kept = found["given"] or 0, found["held"] or 0
        share = f"{kept / given:.1%}" if given else "–"
        lines.append(f"| {s.readers} | {s.slides} x {2 * s.per_slide} | {s.spread:g} | {s.trials} | {given:g} | {share} |")
    return "\n".join(lines)


def published() -> str:
    """Intervals of the published shares of right answers, if all images are independent: the narrowest they can be."""
    found = "true accuracy that a test at 5 % finds with a power of 0.8"
    lines = [f"| published | right answers | 95 % interval (Clopper and Pearson) | {found} |", "|---" * 4 + "|"]
    for name, right, images in RIGHT:
        bounds = binomtest(right, images).proportion_ci(1 - LEVEL)
        lines.append(
            f"| {name} | {right} of {images} | {bounds.low:.1%} to {bounds.high:.1%} | {detected_accuracy(images):.1%} |"
        )
    lines.append(f"| 45 to 52.5 % of all images | 54 to 63 of 120 | {_range((54, 63), 120)} | {detected_accuracy(120):.1%} |")
    return "\n".join(lines)


def _range(right: tuple[int, int], images: int) -> str:
    low, high = (binomtest(count, images).proportion_ci(1 - LEVEL) for count in right)
    return f"{low.low:.1%} to {low.high:.1%}, and {high.low:.1%} to {high.high:.1%}"


def detected_accuracy(images: int) -> float:
    """The smallest true accuracy, in steps of 0.1 %, that an exact two-sided test against 0.5 rejects with the power."""
    # least number of right answers that is rejected
    critical = next(k for k in range(images // 2, images + 1) if 2 * binom.sf(k - 1, images, 0.5) <= LEVEL)
    return next(step / 1000 for step in range(500, 1000) if binom.sf(critical - 1, images, step / 1000) >= POWER)


def papers(held: Mapping[Setting, Finding]) -> str:
    """What the sizes of the papers' studies give with simulated readers, images of different slides."""
    lines = [
        "| study | readers | images | d' | spread of d' | true accuracy | accuracy ± | score difference ± | rate of 10 % ± |",
        "|---" * 9 + "|",
    ]
    for s, f in sorted(held.items(), key=lambda item: (item[0].readers, item[0].slides, item[0].ability, item[0].spread)):
        name = next(name for name, size in PAPERS.items() if size == (s.readers, s.slides, s.per_slide))
        halves = " | ".join(_half(f, number) for number in ("accuracy", "score difference", "rate of 10 %"))
        sizes = f"{s.readers} | {2 * s.slides * s.per_slide} | {s.ability:g} | {s.spread:g}"
        lines.append(f"| {name} | {sizes} | {f.found['accuracy']['truth'] or 0:.0%} | {halves} |")
    return "\n".join(lines)


def _half(finding: Finding, number: str) -> str:
    found = finding.found[number]
    these = found["half_width_these"] or 0
    wide = found["half_width"]
    return f"this reader {these:.2f}" if wide is None else f"other readers {wide:.2f}, these {these:.2f}"

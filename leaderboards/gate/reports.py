"""A gate as text, as Markdown for a pull request, as JUnit XML and as JSON. Names and reasons are other people's: escaped."""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from dataclasses import asdict
from xml.etree import ElementTree

from bench.messages import printable
from bench.results.tables import aligned, number
from leaderboards.gate.gate import EXIT_CODES, POWER, Gate, GateResult
from leaderboards.gate.policy import Mode

ARROWS = {"lower": "↓", "higher": "↑"}
HEADS = ("verdict", "measure", "baseline", "candidate", "worse by", "margin", "p (Holm)", "could have seen")
MARKS = {"regress": "❌", "broken": "💥", "not-comparable": "≠", "inconclusive": "❔", "pass": "✅"}
ABOUT: dict[Mode, str] = {
    "same-weights": "mode same-weights: verdicts are on these weights, and say nothing of other fits of the method",
    "same-method": "mode same-method: verdicts are on the method, and the variance between fits is part of every error",
}
SIGNS = re.compile(r"([\\`*_{}\[\]()#+!|~@])")
"""What means something in Markdown, and what would notify somebody."""


def as_text(gate: Gate) -> str:
    """For the terminal: a row for each number, below a heading for each generator, and every reason once."""
    lines = [headline(gate), ""]
    for place, rows in _by_place(gate).items():
        lines += [place, *(f"  {row}" for row in aligned([list(HEADS), *(_row(one) for one in rows)])), ""]
    return "\n".join(map(printable, [*lines, *notes(gate)]))


def as_markdown(gate: Gate) -> str:
    """For a pull request: what needs a look in the open, what passed collapsed away."""
    lines = [f"### {MARKS[gate.verdict]} {escaped(headline(gate))}", ""]
    for place, rows in _by_place(gate).items():
        open_ = [one for one in rows if one.verdict != "pass"]
        passed = [one for one in rows if one.verdict == "pass"]
        lines += [f"**{escaped(place)}**", ""]
        lines += [*_markdown_table(open_), ""] if open_ else []
        if passed:
            lines += [f"<details><summary>{len(passed)} passed</summary>", "", *_markdown_table(passed), "", "</details>", ""]
    return "\n".join([*lines, *(f"- {escaped(note)}" for note in notes(gate))]) + "\n"


def as_junit(gate: Gate) -> str:
    """Each number a test case: regress is a failure, broken an error; not-comparable and inconclusive are skipped."""
    counts = {
        "tests": len(gate.gate_results),
        "failures": gate.count("regress"),
        "errors": gate.count("broken"),
        "skipped": gate.count("not-comparable") + gate.count("inconclusive"),
    }
    attributes = {name: str(count) for name, count in counts.items()}
    root = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "bench gate", **attributes})
    kinds = {"regress": "failure", "broken": "error", "not-comparable": "skipped", "inconclusive": "skipped"}
    for one in gate.gate_results:
        named = {"classname": printable(_place(one)), "name": printable(one.quantity.measure)}
        case = ElementTree.SubElement(suite, "testcase", named)
        message = printable(sentence(one))
        if one.verdict in kinds:
            ElementTree.SubElement(case, kinds[one.verdict], {"message": message, "type": one.verdict}).text = message
        else:
            ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_json(gate: Gate) -> str:
    """One object: the verdict, its exit code, and every number."""
    rows = []
    for one in gate.gate_results:
        worse = one.worsening
        rows.append(
            {
                **asdict(one.quantity),
                "direction": one.direction,
                "verdict": one.verdict,
                "reason": one.reason,
                "baseline": one.baseline,
                "candidate": one.candidate,
                "worsening": worse.value if worse else None,
                "error": worse.error if worse else None,
                "worst": one.worst,
                "margin": one.margin,
                "p_holm": one.p,
                "visible": one.visible,
                "n": one.n,
                "slides": worse.groups if worse else None,
                "seeds": worse.seeds if worse else None,
                "fits": worse.fits if worse else None,
            }
        )
    counts = {verdict: gate.count(verdict) for verdict in EXIT_CODES}
    stated = {
        "mode": gate.mode,
        "verdict": gate.verdict,
        "exit_code": gate.exit_code,
        "alpha": gate.alpha,
        "tested": gate.tested,
    }
    new = [asdict(quantity) for quantity in gate.new]
    held = {**stated, "counts": counts, "numbers": rows, "new": new, "unused_rules": gate.unused}
    return json.dumps(held, allow_nan=False)


def headline(gate: Gate) -> str:
    """The verdict, and how many numbers have each."""
    counts = ", ".join(f"{gate.count(verdict)} {verdict}" for verdict in EXIT_CODES if gate.count(verdict))
    return f"gate: {gate.verdict} ({counts})"


def notes(gate: Gate) -> list[str]:
    """What the numbers rest on, and every reason once with the measures it holds for."""
    gaps = [(one.n, one.worsening) for one in gate.gate_results if one.worsening is not None]
    sizes = sorted({(n, gap.groups, gap.unit, gap.seeds, gap.fits) for n, gap in gaps})
    message = [
        f"n = {n} patches of {count} {unit}, {seeds} seed{'s' if seeds > 1 else ''}"
        + (f", {max(fits)} fits" if max(fits) > 1 else "")
        for n, count, unit, seeds, fits in sizes
    ]
    units = " or ".join(sorted({unit.removesuffix("s") for _, _, unit, *_ in sizes}))
    message = [f"{'; '.join(message)}; paired by {units} and seed"] if message else []
    message.append(ABOUT[gate.mode])
    if gate.tested:
        measures = f"{gate.tested} number{'s' if gate.tested > 1 else ''} that changed"
        message.append(f"p: one-sided, after Holm over the {measures}; alpha {gate.alpha:g}")
        message.append(f"could have seen: the least true worsening that this gate calls a regression with {POWER:.0%} power")
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in gate.gate_results:
        if one.reason and one.verdict != "pass":
            reasons[f"{one.verdict}: {one.reason}"].append(f"{one.quantity.generator} {one.quantity.measure}")
    message += [f"{reason} ({', '.join(_few(whose))})" for reason, whose in reasons.items()]
    if gate.new:
        named = [f"{quantity.generator} {quantity.measure}" for quantity in gate.new]
        message.append(f"new, not measured before they are accepted: {', '.join(_few(named))}")
    return [*message, *(f"policy: {rule}" for rule in gate.unused)]


def sentence(one: GateResult) -> str:
    """One number in words."""
    if one.worsening is None or one.worst is None or one.candidate is None or one.baseline is None:
        return f"{one.verdict}: {one.reason}"
    seen = "" if one.visible is None else f"; could have seen {number(one.visible)}"
    return (
        f"{one.verdict}: {_signed(one.baseline)} became {_signed(one.candidate)}, worse by {_signed(one.worsening.value)}, "
        f"at most {_signed(one.worst)}, margin {number(one.margin)}{seen}" + (f"; {one.reason}" if one.reason else "")
    )


def escaped(text: str) -> str:
    """Text that Markdown and the HTML in it show as it is, on one line."""
    return SIGNS.sub(r"\\\1", html.escape(" ".join(printable(text).split()), quote=False))


def _markdown_table(rows: list[GateResult]) -> list[str]:
    body = [[f"{MARKS[one.verdict]} {one.verdict}", *map(escaped, _row(one)[1:])] for one in rows]
    return ["| " + " | ".join(row) + " |" for row in (list(HEADS), ["---"] * len(HEADS), *body)]


def _row(one: GateResult) -> list[str]:
    worse = "–"
    if one.worsening is not None and one.worst is not None:
        worse = f"{_signed(one.worsening.value)}, at most {_signed(one.worst)}" if one.p is not None else "0"
    return [
        one.verdict,
        f"{one.quantity.measure} {ARROWS.get(one.direction, '')}".strip(),
        _maybe(one.baseline),
        _maybe(one.candidate),
        worse,
        number(one.margin),
        "–" if one.p is None else "< .001" if one.p < 0.001 else f"{one.p:.3f}",
        _maybe(one.visible),
    ]


def _by_place(gate: Gate) -> dict[str, list[GateResult]]:
    found: dict[str, list[GateResult]] = defaultdict(list)
    for one in gate.gate_results:
        found[_place(one)].append(one)
    return found


def _place(one: GateResult) -> str:
    where = one.quantity
    beside = "".join(f", {word}" for word in (where.prompt_source, where.experiment) if word not in ("", "none"))
    return f"{where.generator}, {where.task} on {where.dataset}{beside}"


def _few(names: list[str], most: int = 6) -> list[str]:
    return names if len(names) <= most else [*names[: most - 1], f"and {len(names) - most + 1} more"]


def _maybe(value: float | None) -> str:
    return "–" if value is None else _signed(value)


def _signed(value: float) -> str:
    return f"-{number(-value)}" if value < 0 else number(value)

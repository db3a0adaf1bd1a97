"""Reports of a gate: what each says of every verdict, and that names and reasons of strangers stay text."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

from leaderboards.gate import reports as reports
from leaderboards.gate.gate import EXIT_CODES, Gate, measured
from leaderboards.gate.policy import Margin, Policy
from tests.leaderboards.runs import run

HOSTILE = 'x|<img src=x onerror="a()">`**[b](javascript:c)** @all\x07\n# d'


def every(generator: str = "ldm", reason: str = "Boom") -> Gate:
    """A gate with each verdict once."""
    measures = {f"m {i}": "lower" for i in range(5)}
    before, after = (run(generator, noise=noise, measures=measures) for noise in ("", "again"))
    by_name = {f"m {i}": [line for line in after if line.encoder == str(i)] for i in range(5)}
    candidate = [
        *(
            replace(line, value=(line.value or 0) + 1, replicates=tuple(f + 1 for f in line.replicates))
            for line in by_name["m 0"]
        ),
        *(replace(line, value=None, replicates=(), status="error", reason=reason) for line in by_name["m 1"]),
        *(replace(line, protocol="q") for line in by_name["m 2"]),
        *by_name["m 3"],
        *(line for line in before if line.encoder == "4"),
    ]
    found = measured(before, candidate, Policy((Margin("m 3", absolute=0.0), Margin("*", absolute=0.02))))
    assert [one.verdict for one in found.gate_results] == list(EXIT_CODES)
    return found


def test_junit_has_a_case_for_each_number_and_the_right_child() -> None:
    root = ElementTree.fromstring(reports.as_junit(every()))
    assert root.tag == "testsuites" and [child.tag for child in root] == ["testsuite"]
    suite = root[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["m 0", "m 1", "m 2", "m 3", "m 4"]
    assert {case.get("classname") for case in cases} == {"ldm, seg on phantom"}
    assert [case[0].tag for case in cases] == ["failure", "error", "skipped", "skipped", "system-out"]
    assert [case[0].get("type") for case in cases[:4]] == ["regress", "broken", "not-comparable", "inconclusive"]
    failure = cases[0][0].get("message") or ""
    assert "worse by" in failure and "margin 0.02" in failure and "could have seen" in failure


def test_json_holds_every_number_and_the_exit_code() -> None:
    found = json.loads(reports.as_json(every()))
    assert found["verdict"] == "regress" and found["exit_code"] == 5 and found["counts"] == dict.fromkeys(EXIT_CODES, 1)
    first = found["numbers"][0]
    assert first["worsening"] > 0.9 and first["worst"] > first["worsening"] and first["visible"] > 0
    assert first["slides"] == 40 and first["seeds"] == 3 and first["n"] == 320
    assert found["numbers"][1]["reason"] == "error for seed 0: Boom" and found["numbers"][1]["worsening"] is None


def test_text_gives_the_verdict_first_then_sizes_and_reasons() -> None:
    text = reports.as_text(every())
    assert text.startswith("gate: regress (1 regress, 1 broken, 1 not-comparable, 1 inconclusive, 1 pass)")
    for message in ("n = 320 patches of 40 slides, 3 seeds", "after Holm over the 2 numbers that changed", "80% power"):
        assert message in text
    assert "broken: error for seed 0: Boom (ldm m 1)" in text and "not-comparable: protocols differ" in text


def test_markdown_shows_what_needs_a_look_and_replicates_what_passed() -> None:
    shown, _, unshuffled = reports.as_markdown(every()).partition("<details>")
    assert "❌ regress | m 0" in shown and "💥 broken | m 1" in shown and "m 4" not in shown
    assert "1 passed" in unshuffled and "✅ pass | m 4" in unshuffled
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert {row.count(" | ") for row in rows} == {len(reports.HEADS) - 1}


def test_hostile_names_and_reasons_stay_text() -> None:
    gate = every(HOSTILE, HOSTILE)
    markdown = reports.as_markdown(gate)
    assert "<img" not in markdown and "](javascript" not in markdown and "\n# d" not in markdown
    assert "x\\|&lt;img" in markdown and " @all" not in markdown
    for line in markdown.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") == len(reports.HEADS) + 1
    root = ElementTree.fromstring(reports.as_junit(gate))
    assert (root[0][0].get("classname") or "").startswith("x|<img src=x")
    assert "\x07" not in reports.as_junit(gate)
    assert json.loads(reports.as_json(gate))["numbers"][0]["generator"] == HOSTILE


def test_many_numbers_of_one_reason_are_stated_in_one_line() -> None:
    measures = {f"m {i}": "lower" for i in range(9)}
    found = measured(run(measures=measures), run("other"), Policy((Margin("*", absolute=1.0),)))
    (note,) = (line for line in reports.notes(found) if line.startswith("broken"))
    assert note.endswith("ldm m 4, and 4 more)")
    assert any(line.startswith("new, not measured before they are accepted: other fd conv") for line in reports.notes(found))

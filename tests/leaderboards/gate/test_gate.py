"""The gate: each verdict, their order, what a policy changes, how often it errs, and real machinery made worse on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from bench.errors import MissingError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from benchmarks import gate_simulation as simulation
from benchmarks import planted
from leaderboards.cli.gate import command
from leaderboards.gate import policy
from leaderboards.gate.gate import EXIT_CODES, Gate, GateResult, measured
from leaderboards.gate.policy import Ignore, Margin, Policy
from tests import small_run
from tests.leaderboards.runs import MEASURES, run

ROOT = Path(__file__).parents[3]
LOOSE = Policy((Margin("*", absolute=0.02),))
STRICT = Policy((Margin("*", absolute=0.0),))


def gate(worse: float = 0.0, rule: Policy = LOOSE, **more: object) -> Gate:
    return measured(run(), run(worse=worse, noise="again", **more), rule)  # type: ignore[arg-type]


def only(found: Gate, measure: str = "fd conv") -> GateResult:
    return next(one for one in found.gate_results if one.quantity.measure == measure)


def test_a_worse_candidate_regresses_in_the_direction_of_each_measure() -> None:
    found = gate(worse=0.1)
    assert {one.verdict for one in found.gate_results} == {"regress"} and found.exit_code == 5
    for one in found.gate_results:
        assert one.worsening is not None and one.worsening.value == pytest.approx(0.1, abs=0.01)
    assert gate(worse=-0.1).verdict == "pass"


def test_the_same_bytes_pass_whatever_the_policy_even_without_replicates() -> None:
    found = measured(run(), run(), STRICT)
    assert (
        found.verdict == "pass" and found.tested == 0 and {one.reason for one in found.gate_results} == {"equal, bit by bit"}
    )
    half = [replace(line, replicates=()) if line.measure == "fd" else line for line in run()]
    assert measured(half, half, STRICT).verdict == "pass"


def test_a_sure_worsening_within_the_margin_passes() -> None:
    assert only(gate(worse=0.01, rule=STRICT)).verdict == "regress"
    one = only(gate(worse=0.01))
    assert one.verdict == "pass" and one.worst is not None and 0.005 < one.worst < 0.02


def test_what_is_neither_is_inconclusive() -> None:
    one = only(gate(rule=STRICT))
    assert one.verdict == "inconclusive" and one.p is not None and one.p > 0.05 and "neither" in one.reason


def test_a_number_of_too_few_slides_that_changed_is_inconclusive_with_its_own_reason() -> None:
    reason = "underpowered: 12 slides, an interval needs 20"
    few = [
        replace(record, replicates=(), flags=("underpowered",), reason=reason) if record.measure == "fd" else record
        for record in run()
    ]

    def after(change: float) -> GateResult:
        moved = (replace(record, value=record.value + change) for record in few if record.value and record.measure == "fd")
        return only(measured(few, [*moved, *(record for record in few if record.measure != "fd")], LOOSE))

    for change in (0.5, -0.5, 0.001):
        assert after(change).verdict == "inconclusive" and after(change).reason == reason
    for change in (1e-5, -1e-5):  # as another processor rounds
        assert after(change).verdict == "pass" and "equal but for rounding" in after(change).reason


def test_relative_margins_are_of_the_baseline() -> None:
    one = only(gate(worse=0.01, rule=Policy((Margin("*", relative=0.04),))))
    assert one.baseline is not None and one.margin == pytest.approx(0.04 * one.baseline)


def test_of_two_margins_the_larger_holds() -> None:
    assert [Margin("*", absolute=0.1, relative=0.5).of(value) for value in (0.0, -1.0)] == [0.1, 0.5]


def test_what_another_processor_rounds_differently_is_no_regression() -> None:
    """A distance of 0 has no share that could be its margin, and rounding may be all of one sign."""

    def tiny(records: list[ResultRecord]) -> list[ResultRecord]:
        found = [line for line in records if line.measure == "fd"]
        return [
            replace(r, value=(r.value or 0) * 1e-9, replicates=tuple(1e-9 * unshuffle for unshuffle in r.replicates))
            for r in found
        ]

    before, after = tiny(run()), tiny(run(worse=0.3, noise="again"))
    assert measured(before, after, Policy((Margin("*", relative=0.15),))).verdict == "regress"
    assert measured(before, after, policy.read()).verdict == "pass"


def test_other_protocols_are_not_comparable_and_print_their_difference() -> None:
    new = [replace(r, protocol="q", described={"dataset": {"options": {"size": 128}}}) for r in run()]
    found = measured(run(), new, LOOSE)
    assert found.exit_code == 7 and "dataset.options.size: 64 and 128" in found.gate_results[0].reason
    bare = [replace(line, replicates=(), value=(line.value or 0) + 1) for line in run()]
    assert only(measured(run(), bare, LOOSE)).verdict == "not-comparable"


def test_what_is_missing_or_failed_is_broken_with_its_reason() -> None:
    without = [line for line in run() if line.measure != "fd"]
    assert only(measured(run(), without, LOOSE)).reason == "the candidate lacks this number"
    failed = [replace(line, value=None, replicates=(), status="error", reason="Boom: it broke") for line in run()]
    found = measured(run(), failed, LOOSE)
    assert found.exit_code == 4 and only(found).reason == "error for seed 0: Boom: it broke"
    assert only(measured(run(), run(seeds=2), LOOSE)).reason == "the candidate lacks seed 2"
    assert only(measured(run(), run("other"), LOOSE)).reason == "the candidate has no ldm here"
    task_failed = [*without, replace(failed[-1], measure="distances")]
    assert only(measured(run(), task_failed, LOOSE)).reason == "error: Boom: it broke"


def test_the_worst_verdict_is_the_gates_and_each_has_its_exit_code() -> None:
    assert EXIT_CODES == {"regress": 5, "broken": 4, "not-comparable": 7, "inconclusive": 6, "pass": 0}
    measures = {f"m {i}": "lower" for i in range(5)}
    before, after = run(measures=measures), run(noise="again", measures=measures)
    kinds = {
        "m 0": run(worse=0.2, noise="again", measures={"m 0": "lower"}),
        "m 1": [],
        "m 2": [replace(line, protocol="q") for line in after if line.encoder == "2"],
        "m 3": [line for line in after if line.encoder == "3"],
        "m 4": [line for line in before if line.encoder == "4"],
    }
    rule = Policy((Margin("m 3", absolute=0.0), Margin("*", absolute=0.02)))
    expected = ["regress", "broken", "not-comparable", "inconclusive", "pass"]
    for worst in range(5):
        kept = list(kinds)[worst:]
        baseline = [line for line in before if f"m {line.encoder}" in kept]
        found = measured(baseline, [line for name in kept for line in kinds[name]], rule)
        assert [one.verdict for one in found.gate_results] == expected[worst:]
        assert found.exit_code == EXIT_CODES[expected[worst]]  # type: ignore[index]


def test_reported_lines_and_what_has_no_direction_are_not_measured() -> None:
    extra = [replace(run()[0], state="reported", generator="paper"), replace(run()[0], direction="none", measure="covered")]
    assert len(measured([*run(), *extra], run(), LOOSE).gate_results) == len(MEASURES)


def test_the_policy_leaves_out_what_it_ignores_by_pattern() -> None:
    rule = Policy((Margin("*", absolute=0.0),), ignore=Ignore(generators=("noi*",), measures=("fd *",)))
    found = measured([*run(), *run("noise")], run(worse=0.1), rule)
    assert {one.quantity.measure for one in found.gate_results} == {"iou synthetic", "precision conv"}
    with pytest.raises(UsageError, match="ignores each of the 3"):
        measured(run(), run(), replace(rule, ignore=Ignore(measures=("*",))))


def test_one_seed_never_regresses_by_the_default_policy_and_alpha_counts() -> None:
    one = only(measured(run(seeds=1), run(worse=0.1, seeds=1), LOOSE))
    assert one.verdict == "inconclusive" and one.reason == "1 of the 2 seeds that the policy asks for" and one.visible is None
    assert only(measured(run(seeds=1), run(worse=0.1, seeds=1), replace(LOOSE, seeds=1))).verdict == "regress"
    p = only(gate(worse=0.002, rule=STRICT)).p
    assert p is not None and 0.001 < p < 0.4
    verdicts = [only(gate(worse=0.002, rule=replace(STRICT, alpha=alpha))).verdict for alpha in (p * 0.9, p * 1.1)]
    assert verdicts == ["inconclusive", "regress"]


def test_more_numbers_ask_for_more_evidence() -> None:
    many = {f"m {i}": "lower" for i in range(30)}
    p_values = [
        only(measured(run(measures=m), run(measures=m, worse=0.001, noise="again"), STRICT), "m 3").p
        for m in ({"m 3": "lower"}, many)
    ]
    assert p_values[0] is not None and p_values[1] is not None and p_values[0] < p_values[1]


def test_a_baseline_that_cannot_serve_is_refused_in_a_sentence() -> None:
    with pytest.raises(MissingError, match="holds no measured number"):
        measured([], run(), LOOSE)
    with pytest.raises(MissingError, match="values without each block of slides"):
        measured([replace(line, replicates=()) for line in run()], run(), LOOSE)


def test_new_numbers_are_listed_and_not_measured() -> None:
    found = measured(run(), [*run(), *run("other")], LOOSE)
    assert found.verdict == "pass" and {number.generator for number in found.new} == {"other"} and len(found.new) == 3


SMALL = simulation.Setting(12, 4, 3, "none", "zero", 120)


def test_false_alarms_are_rare_and_large_changes_are_seen() -> None:
    still = simulation.simulate(SMALL)
    assert still.alarms <= 0.05 * SMALL.trials + 2 * np.sqrt(0.05 * 0.95 * SMALL.trials)
    large = {name: 3 * still.visible[name] for name in simulation.CHANGED}
    seen = simulation.simulate(replace(SMALL, trials=20), large)
    assert all(found["regress"] >= 18 for found in seen.verdicts.values())
    for name, size in large.items():
        assert seen.worsening[name] == pytest.approx(size, rel=0.2)


def test_the_gate_that_the_page_shows_seldom_errs() -> None:
    from benchmarks.gate import STUDY

    kept = STUDY.held()
    assert set(kept) == set(simulation.settings())
    for setting, found in kept.items():
        if setting.change == "none" and setting.seeds > 1:
            assert setting.trials >= 100 and found.alarms / setting.trials <= 0.05


def test_the_simulated_distance_is_that_of_the_harness() -> None:
    from bench import registry, statistics

    runs = simulation.draw(SMALL, dict.fromkeys(simulation.CHANGED, 0.0), np.random.default_rng(0))
    in_order = statistics.scattered(f"s{i:02}" for i in range(SMALL.slides))  # slide 0 is dealt first, as in the simulation
    names = np.array(in_order).repeat(SMALL.per_slide)
    real, fake = (part.reshape(-1, simulation.WIDTH) for part in (runs.real[1], runs.fake[1, 1, 0]))
    metric = registry.load("metrics", "fd")
    found = statistics.group_jackknife(lambda a, b: metric.compare(real[a], fake[b], np.random.default_rng(0)), names, names)
    assert runs.distances()[1, 1, 0] == pytest.approx([found.value, *found.replicates])


def bench(*asked: object) -> Outcome:
    return CliRunner().invoke(command, [str(word) for word in asked])


@pytest.fixture()
def held(tmp_path: Path) -> Path:
    """Files of a baseline and of candidates."""
    schema.write(run(), tmp_path / "base.jsonl")
    schema.write(run(worse=0.1, noise="again"), tmp_path / "worse.jsonl")
    return tmp_path


def test_the_verb_prints_its_verdict_writes_reports_and_exits_by_it(held: Path) -> None:
    files = "--markdown", held / "out" / "gate.md", "--junit", held / "out" / "gate.xml"
    worse = bench("--baseline", held / "base.jsonl", "--candidate", held / "worse.jsonl", *files)
    assert worse.exit_code == 5 and worse.output.startswith("gate: regress (3 regress)")
    assert (held / "out" / "gate.md").read_text().startswith("### ❌ gate: regress")
    assert "<failure" in (held / "out" / "gate.xml").read_text()
    same = bench("--baseline", held / "base.jsonl", "--candidate", held / "base.jsonl", "--json")
    assert same.exit_code == 0 and json.loads(same.output)["verdict"] == "pass"


POLICY = """
[ignore]
measures = ["precison *"]
[[margin]]
measures = "fdd *"
absolute = 0.5
[[margin]]
measures = "*"
absolute = 0.02
[[margin]]
measures = "iou*"
absolute = 0.3
"""


def test_a_rule_that_holds_for_no_number_is_stated_and_fails_when_strict(held: Path) -> None:
    (held / "p.toml").write_text(POLICY)
    files = "--baseline", held / "base.jsonl", "--policy", held / "p.toml", "--candidate"
    lax, strict = (bench(*files, held / "base.jsonl", *words) for words in ((), ("--strict",)))
    assert (lax.exit_code, strict.exit_code) == (0, 2)
    for done in (lax, strict):
        assert "[ignore] measures 'precison *' matches nothing" in done.output
        assert "[[margin]] 'fdd *' holds for nothing: it matches no measure" in done.output
        assert "[[margin]] 'iou*' holds for nothing: every measure that it matches has an earlier rule" in done.output
    assert bench(*files, held / "worse.jsonl", "--strict").exit_code == 5, "a regression keeps its code"
    with_estimate = json.loads(bench(*files, held / "base.jsonl", "--json").stdout)
    assert len(with_estimate["unused_rules"]) == 3


def test_the_shipped_policy_and_one_whose_rules_all_hold_pass_when_strict(held: Path) -> None:
    (held / "p.toml").write_text('[[margin]]\nmeasures = "fd *"\nabsolute = 1\n[[margin]]\nmeasures = "*"\nabsolute = 1\n')
    for asked in ("default", held / "p.toml"):
        files = "--baseline", held / "base.jsonl", "--candidate", held / "base.jsonl", "--policy", asked
        done = bench(*files, "--strict")
        assert done.exit_code == 0 and "holds for nothing" not in done.output


def test_a_regression_planted_into_the_shipped_baseline_is_found(tmp_path: Path) -> None:
    baseline = ROOT / "leaderboards" / "baselines" / "quick.jsonl"
    schema.write(planted.plant(list(schema.read([baseline]))), tmp_path / "planted.jsonl")
    same, worse = (bench("--baseline", baseline, "--candidate", file) for file in (baseline, tmp_path / "planted.jsonl"))
    assert (same.exit_code, worse.exit_code) == (0, 5) and "1 regress" in worse.output


def test_bad_words_and_files_are_user_errors(held: Path) -> None:
    for asked, kind in (
        (("--baseline", held / "base.jsonl"), UsageError),
        (("--baseline", held / "none.jsonl", "--candidate", held / "base.jsonl"), MissingError),
        (("--baseline", held / "base.jsonl", "--candidate", held / "base.jsonl", "--policy", "x"), UsageError),
        (("--baseline", held / "base.jsonl", "accept", "--baseline", "x", "--candidate", "y"), UsageError),
    ):
        assert isinstance(bench(*asked).exception, kind)
    (held / "torn.jsonl").write_text('{"generator": ')
    torn = bench("--baseline", held / "torn.jsonl", "--candidate", held / "base.jsonl").exception
    assert isinstance(torn, MissingError) and "torn.jsonl:1 is not JSON" in str(torn)
    (held / "empty.jsonl").write_text("")
    empty = bench("--baseline", held / "empty.jsonl", "--candidate", held / "base.jsonl").exception
    assert isinstance(empty, MissingError) and "holds no measured number" in str(empty)


def test_only_accept_moves_a_baseline_and_only_with_a_reason(held: Path) -> None:
    base, worse = held / "base.jsonl", held / "worse.jsonl"
    before = base.read_bytes()
    assert bench("--baseline", base, "--candidate", worse).exit_code == 5
    for words in ((), ("--reason", " ")):
        assert isinstance(bench("accept", "--baseline", base, "--candidate", worse, *words).exception, UsageError)
    assert base.read_bytes() == before and not base.with_suffix(".log").exists()
    moved = bench("accept", "--baseline", base, "--candidate", worse, "--reason", "fewer\nsteps, for speed")
    assert moved.exit_code == 0 and "9 lines, regress; 3 numbers moved" in moved.output
    assert bench("--baseline", base, "--candidate", worse).exit_code == 0
    (entry,) = map(json.loads, base.with_suffix(".log").read_text().splitlines())
    assert entry["reason"] == "fewer steps, for speed" and entry["verdict"] == "regress"
    assert entry["old"] != entry["new"] and len(entry["new"]) == 64
    assert {one["verdict"] for one in entry["moved"]} == {"regress"} and entry["moved"][0]["old"] != entry["moved"][0]["new"]


def test_accept_makes_a_first_baseline_and_its_log_grows(held: Path) -> None:
    fresh = held / "new" / "first.jsonl"
    for reason in ("first", "again"):
        assert bench("accept", "--baseline", fresh, "--candidate", held / "base.jsonl", "--reason", reason).exit_code == 0
    first, second = map(json.loads, fresh.with_suffix(".log").read_text().splitlines())
    assert (first["verdict"], first["old"]) == ("new", "") and (second["verdict"], second["moved"]) == ("pass", [])
    assert second["old"] == second["new"] == first["new"]
    failed = [replace(line, value=None, replicates=(), status="error", reason="x") for line in run()]
    schema.write(failed, held / "failed.jsonl")
    nothing = bench("accept", "--baseline", fresh, "--candidate", held / "failed.jsonl", "--reason", "no").exception
    assert isinstance(nothing, MissingError)


def test_a_damaged_log_keeps_its_bytes_and_gets_the_entry(held: Path) -> None:
    base = held / "base.jsonl"
    log = base.with_suffix(".log")
    log.write_bytes(b"\xff\xfe not text")
    assert bench("accept", "--baseline", base, "--candidate", held / "worse.jsonl", "--reason", "why").exit_code == 0
    before, entry, rest = log.read_bytes().split(b"\n")
    assert before == b"\xff\xfe not text" and json.loads(entry)["reason"] == "why" and not rest


def test_a_log_that_is_no_file_is_refused_before_the_baseline_moves(held: Path) -> None:
    base = held / "base.jsonl"
    before = base.read_bytes()
    base.with_suffix(".log").mkdir()
    error = bench("accept", "--baseline", base, "--candidate", held / "worse.jsonl", "--reason", "why").exception
    assert isinstance(error, MissingError) and "base.log" in str(error) and base.read_bytes() == before


PLUGINS = "tests/leaderboards/deliberate.py"


FEW = {"dataset.train_slides": "8", "dataset.validation_slides": "4", "dataset.per_slide": "8"}


def generated(generator: str, home: Path, encoder: str = "stain", **options: str) -> list[ResultRecord]:
    """Records of a run on 12 test slides of the phantom."""
    measures = f"fd,precision,recall,{ROOT / PLUGINS}:Colours"
    words = ["-g", generator, "-t", "cam16-seg", "-e", encoder, "-m", measures, "--controls", "none", "--no-downstream"]
    asked = [word for option in {"dataset.test_slides": "12", **options}.items() for word in ("-o", "=".join(option))]
    folder = small_run.run(*words, *asked, "--workers", "1", home=home, out=home / "out")
    return list(schema.read([folder / "results.jsonl"]))


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ResultRecord]]:
    home = tmp_path_factory.mktemp("gate")
    return home, generated("flat-colour", home, **FEW)


def test_a_map_shifted_by_8_pixels_is_caught(flat: tuple[Path, list[ResultRecord]]) -> None:
    home, before = flat
    found = measured(before, generated(f"{ROOT / PLUGINS}:Shifted", home, **FEW), policy.read())
    assert found.verdict == "regress" and only(found, "map-kept").verdict == "regress"


def test_a_refactoring_of_the_same_bytes_passes(flat: tuple[Path, list[ResultRecord]]) -> None:
    home, before = flat
    found = measured(before, generated(f"{ROOT / PLUGINS}:Tidied", home, **FEW), policy.read())
    assert found.verdict == "pass" and found.tested == 0


@pytest.mark.slow
def test_half_the_sampling_steps_and_a_shifted_map_of_a_diffusion_model_are_caught(tmp_path: Path) -> None:
    before = generated("ldm-prompt", tmp_path, "random-conv")
    fewer = generated("ldm-prompt", tmp_path, "random-conv", **{"generator.sample_steps": "6"})
    moved = generated(f"{ROOT / PLUGINS}:ShiftedPrompt", tmp_path, "random-conv")
    for candidate in (fewer, moved):
        assert measured(before, candidate, policy.read()).verdict == "regress"

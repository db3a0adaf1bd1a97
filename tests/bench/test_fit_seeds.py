"""Fits through the command line: trained anew with each seed, told apart in records, repetitions of one method in tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.results import schema
from bench.results.schema import ResultRecord
from tests.small_run import WORDS, bench, run

SHADED = f"{Path(__file__).parents[1] / 'fitted.py'}:Shaded"
NAME = "shaded"
SHORT = [*WORDS, "--controls", "noise", "--seeds", "0,1", "--workers", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fits")


def made(place: Path, *words: str, out: str) -> Path:
    return run("-g", SHADED, *SHORT, *words, home=place / "home", out=place / out)


@pytest.fixture(scope="module")
def three(place: Path) -> Path:
    return made(place, "--fit-seeds", "0,1,2", out="three")


@pytest.fixture(scope="module")
def others(place: Path) -> Path:
    return made(place, "--fit-seeds", "3,4,5", out="others")


@pytest.fixture(scope="module")
def first(place: Path) -> Path:
    return made(place, out="first")


@pytest.fixture(scope="module")
def fourth(place: Path) -> Path:
    return made(place, "--fit-seeds", "3", out="fourth")


def records(folder: Path) -> list[ResultRecord]:
    return list(schema.read([folder / "results.jsonl"]))


def generator_of(folder: Path) -> str:
    return records(folder)[0].generator


def test_each_fit_is_trained_generated_and_measured_by_itself(three: Path) -> None:
    own = [record for record in records(three) if record.measure == "fd" and record.generator != "noise"]
    assert [(record.fit["seed"], record.seed) for record in own] == [(f, s) for f in "012" for s in (0, 1)]
    assert {record.fit["origin"] for record in own} == {"trained"}
    by_fit = {record.fit["seed"]: record.fit["weights"] for record in own}
    assert len(set(by_fit.values())) == 3 and all(record.fit["weights"] == by_fit[record.fit["seed"]] for record in own)
    assert len({record.keys["samples"] for record in own}) == 6, "every fit and seed has images of its own"
    assert len({record.keys["method"] for record in own}) == 1
    assert len({record.value for record in own}) == 3, "flat colours ignore the seed of images, and nothing else"


def test_numbers_in_which_no_fit_has_a_part_are_measured_once_and_say_so(three: Path) -> None:
    found = records(three)
    lower = [r for r in found if r.measure == "fd-lower-reference" and r.generator != "noise"]
    assert len(lower) == 2 and all(r.fit == {"origin": "none"} for r in lower)
    assert all(r.fit == {"origin": "none"} for r in found if r.generator == "noise"), "a control is trained on nothing"


def test_by_default_there_is_one_fit_and_it_is_that_of_seed_0(first: Path, three: Path) -> None:
    ours = {(r.measure, r.seed): r for r in records(first) if r.measure == "fd" and r.generator != "noise"}
    same = {(r.measure, r.seed): r for r in records(three) if r.measure == "fd" and r.fit.get("seed") == "0"}
    assert {key: (r.value, r.fit) for key, r in ours.items()} == {key: (r.value, r.fit) for key, r in same.items()}


def test_tables_say_whether_they_are_about_these_weights_or_the_method(first: Path, three: Path, place: Path) -> None:
    alone, several = ((folder / "table.txt").read_text() for folder in (first, three))
    assert f"{NAME}: one fit: numbers are about these weights" in alone.replace(generator_of(first), NAME)
    assert "mean over 3 fits, intervals hold the variance between fits" in several and "these weights" not in several
    assert "intervals: 95 % over slides, fits and seeds" in several
    board = bench("leaderboard", "--results", three, home=place / "home").output
    assert "mean over 3 fits" in board and "2 seeds, 3 fits" in board
    assert "these weights" in bench("leaderboard", "--results", first, home=place / "home").output


def test_a_mean_over_fits_has_a_wider_interval_than_each_of_them(three: Path, place: Path) -> None:
    rows = [
        json.loads(line)
        for line in bench("leaderboard", "--results", three, "--json", home=place / "home").output.splitlines()
    ]
    (cell,) = (row for row in rows if row["measure"] == "fd stain" and row["generator"] != "noise")
    own = [r for r in records(three) if r.measure == "fd" and r.generator != "noise"]
    assert cell["fits"] == 3 and cell["seeds"] == 2
    assert cell["value"] == pytest.approx(sum(r.value for r in own) / 6)
    spread = max(r.value for r in own) - min(r.value for r in own)
    assert cell["high"] - cell["value"] > spread / 2


def test_two_runs_of_other_fits_are_one_generator_in_a_table(three: Path, others: Path, place: Path) -> None:
    done = bench("leaderboard", "--results", three, "--results", others, home=place / "home")
    assert done.exit_code == 0 and "mean over 6 fits" in done.output


def test_trainings_that_gave_the_same_weights_are_one_fit(place: Path) -> None:
    folder = made(place, "--fit-seeds", "0,1", "-o", "generator.spread=0", out="same")
    assert "one fit: numbers are about these weights" in (folder / "table.txt").read_text()
    assert len({r.fit["weights"] for r in records(folder) if "weights" in r.fit}) == 1


def test_compare_speaks_of_methods_with_two_fits_a_side_and_of_weights_with_one(
    first: Path, fourth: Path, three: Path, others: Path, place: Path
) -> None:
    def compared(one: Path, other: Path) -> list[dict[str, object]]:
        done = bench("compare", one, other, "-m", "fd stain", "--json", home=place / "home")
        assert done.exit_code == 0, done.output
        found: list[dict[str, object]] = json.loads(done.output)["compared"]
        return found

    (weights,), (methods,) = compared(first, fourth), compared(three, others)
    assert (weights["about"], weights["fits"]) == ("weights", [1, 1])
    assert "these weights, one fit of" in str(weights["sentence"]) and "fit trained 3" in str(weights["sentence"])
    assert (methods["about"], methods["fits"]) == ("methods", [3, 3])
    assert "3 and 3 fits" in str(methods["sentence"]) and "these weights" not in str(methods["sentence"])
    assert weights["verdict"] != "tie", "two fits differ for sure"
    assert methods["verdict"] == "tie", "and the method does not"


POLICY = 'seeds = 1\n[[margin]]\nmeasures = "*"\nabsolute = 0.0\n'


def gate(baseline: Path, candidate: Path, place: Path, mode: str) -> tuple[int, str]:
    (place / "policy.toml").write_text(POLICY)
    words = ("--policy", place / "policy.toml", "--mode", mode)
    done = bench(
        "gate",
        "--baseline",
        baseline / "results.jsonl",
        "--candidate",
        candidate / "results.jsonl",
        *words,
        home=place / "home",
    )
    return done.exit_code, done.output


def test_the_gate_on_the_same_weights_compares_no_two_fits(first: Path, fourth: Path, place: Path) -> None:
    for one, other in ((first, fourth), (fourth, first)):
        code, text = gate(one, other, place, "same-weights")
        assert code == 7 and "other weights: the baseline's fits are trained" in text and "these weights" in text
    code, text = gate(first, first, place, "same-weights")
    assert code == 0 and "mode same-weights: verdicts are on these weights" in text


def test_the_gate_on_the_same_method_needs_two_fits_a_side_and_then_raises_no_alarm(
    first: Path, fourth: Path, three: Path, others: Path, place: Path
) -> None:
    code, text = gate(first, fourth, place, "same-method")
    assert code == 6 and "these weights: 1 fit a side says nothing of the method" in text
    for one, other in ((three, others), (others, three)):
        code, text = gate(one, other, place, "same-method")
        assert code in (0, 6) and "regress" not in text.splitlines()[0]
        assert "mode same-method: verdicts are on the method" in text


def test_fit_delivers_the_weights_of_each_seed(place: Path) -> None:
    words = ("-g", SHADED, "-t", "cam16-seg", *WORDS[WORDS.index("-o") :])
    done = bench("fit", *words, "--fit-seeds", "0,1", "--out", place / "delivered", home=place / "home")
    assert done.exit_code == 0, done.output
    manifests = [Path(line) for line in done.stdout.splitlines()]
    assert [path.parent.name for path in manifests] == ["fit0", "fit1"]
    held = [json.loads(path.read_text()) for path in manifests]
    assert [one["fit_seed"] for one in held] == [0, 1] and held[0]["files"] != held[1]["files"]


def test_verify_makes_every_fit_again(three: Path, place: Path) -> None:
    done = bench("verify", three, "--sample", "2", "--allow-plugin", SHADED.partition(":")[0], home=place / "home")
    assert done.exit_code == 0, done.output
    for fit in "012":
        assert f"weights {SHADED} (fit {fit})" in done.output and f"patches {SHADED} (fit {fit}) seed 1" in done.output


def test_samples_of_each_fit_are_exported_apart(three: Path, place: Path) -> None:
    done = bench("export", "samples", three, "--out", place / "samples", home=place / "home")
    assert done.exit_code == 0, done.output
    folders = sorted(path.name for path in (place / "samples").iterdir() if "(fit" in path.name)
    assert [name.rpartition("(fit ")[2] for name in folders] == [f"{f})-seed{s}" for f in "012" for s in (0, 1)]


@pytest.mark.parametrize("option", ["--fit-seeds", "--seeds"])
@pytest.mark.parametrize(
    ("given", "message"), [("a", "takes whole numbers"), ("1,1", "a seed is given twice"), ("0,-1", "a seed is 0 or larger")]
)
def test_wrong_seeds_are_named(place: Path, option: str, given: str, message: str) -> None:
    done = bench("run", "-g", SHADED, *SHORT, option, given, home=place / "home")
    assert done.exit_code == 2 and f"{option} " in done.stderr and message in done.stderr


def test_numbers_say_of_which_weights_they_are_when_these_are_gone(place: Path, three: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "home", tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "weights")
    words = [SHADED, *SHORT, "--fit-seeds", "0,1,2"]
    again = run("-g", *words, home=tmp_path / "home", out=tmp_path / "out")
    assert not (tmp_path / "home" / "weights").exists(), "nothing was trained"
    assert [record.fit for record in records(again)] == [record.fit for record in records(three)]
    weights = [json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["weights"] for folder in (again, three)]
    assert weights[0] == weights[1]

"""Experiments through the command line: a record for every training mix and comparison, verdicts, reported numbers,
resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.config import RunConfig, load_components
from bench.measurements.experiment_files import Arm, Comparison, Experiment
from bench.results import experiment_tables, schema
from bench.results.schema import ResultRecord
from tests.command_run import CRASHES, SMALL, bench

MINE = """
name = "mine"
summary = "flat colours instead of tissue"
pool = "train"
measures = ["iou", "iou-patch"]
source = "nobody"
[[arm]]
name = "half real"
real = 0.5
reported = { iou = 0.4321 }
[[arm]]
name = "half real, half generated"
real = 0.5
synthetic = 0.5
[[arm]]
name = "half real, copied"
real = 0.5
synthetic = 0.5
synthetic_source = "copied"
[[comparison]]
arm = "half real, half generated"
against = "half real"
claim = "non-inferior"
margin = 0.9
[[comparison]]
arm = "half real, copied"
against = "half real"
claim = "equivalent"
margin = 0.9
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial") / "home"


@pytest.fixture(scope="module")
def file(home: Path) -> Path:
    path = home.parent / "mine.toml"
    path.write_text(MINE)
    return path


@pytest.fixture(scope="module")
def made(home: Path, file: Path) -> tuple[str, list[ResultRecord]]:
    words = ["run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "0,1", *SMALL]
    done = bench(*words, "--out", str(home.parent / "out"), home=home)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip().splitlines()[-1])
    return done.stdout, list(schema.read([folder / "results.jsonl"]))


def test_every_mix_and_comparison_of_every_seed_has_a_record(made: tuple[str, list[ResultRecord]]) -> None:
    lines = made[1]
    found = {(r.measure, r.mix, r.seed) for r in lines}
    for seed in (0, 1):
        for mix in ("half real", "half real, half generated", "half real, copied"):
            assert {("iou", mix, seed), ("iou-patch", mix, seed)} <= found
        assert ("iou-difference", "half real, half generated - half real", seed) in found
    assert not any(r.encoder for r in lines)  # nothing but the experiment is measured
    assert {r.generator for r in lines} == {"flat-colour"}


def test_a_difference_is_that_of_the_two_mixes(made: tuple[str, list[ResultRecord]]) -> None:
    values = {(r.measure, r.mix, r.seed): r.value for r in made[1]}
    for seed in (0, 1):
        first, second = values["iou", "half real, half generated", seed], values["iou", "half real", seed]
        assert values["iou-difference", "half real, half generated - half real", seed] == pytest.approx(first - second)


def test_an_experiment_without_arms_of_real_patches_alone_measures_its_headroom_too(
    made: tuple[str, list[ResultRecord]], home: Path, file: Path
) -> None:
    lines = [r for r in made[1] if r.measure == "headroom"]
    assert [(r.seed, r.mix, r.direction, r.status) for r in lines] == [
        (seed, "100 % real - 25 % real", "none", "ok") for seed in (0, 1)
    ]
    assert all(r.described["headroom"] == {"measure": "iou", "direction": "higher"} for r in lines)
    assert made[0].startswith("headroom: ") and "mine (flat-colour" in made[0].splitlines()[0]
    arms = file.with_name("arms.toml")
    arms.write_text(
        'name = "arms"\nsummary = "both"\npool = "train"\nmeasures = ["iou"]\n'
        '[[arm]]\nname = "all"\nreal = 1.0\n[[arm]]\nname = "some"\nreal = 0.25\n'
    )
    before = {f for f in home.rglob("scores/*/entry.json")}
    words = ["run", "-g", "noise", "-t", "cam16-seg", "--experiment", str(arms), "--seeds", "0,1", *SMALL]
    done = bench(*words, "--out", str(home.parent / "arms"), home=home)
    found = list(schema.read([Path(done.stdout.strip().splitlines()[-1]) / "results.jsonl"]))
    assert {f for f in home.rglob("scores/*/entry.json")} == before, "the same models, whatever arms are called"
    values = {(r.measure, r.mix, r.seed): r.value for r in found}
    for line in lines:
        difference = values["iou", "all", line.seed] - values["iou", "some", line.seed]  # type: ignore[operator]
        assert line.value == pytest.approx(difference)
        assert line.value == values["headroom", line.mix, line.seed]


@pytest.mark.parametrize(
    ("low", "high", "direction", "words"),
    [
        (0.02, 0.06, "higher", "headroom: +0.0400 [+0.0200, +0.0600] iou"),
        (-0.02, 0.10, "higher", "headroom: none, +0.0400 [-0.0200, +0.1000] iou"),
        (0.02, 0.06, "lower", "headroom: none, +0.0400"),
        (None, None, "higher", "headroom: +0.0400 iou without an interval"),
    ],
)
def test_the_first_line_says_whether_there_is_headroom(
    low: float | None, high: float | None, direction: str, words: str
) -> None:
    described = {"headroom": {"measure": "iou", "direction": direction}}
    record = ResultRecord(
        "g", "d", "none", "t", "headroom", "none", "p", mix="100 % real - 25 % real", value=0.04, low=low, high=high,
        n=80, groups=40, described=described,
    )  # fmt: skip
    assert experiment_tables.headroom("iou", [record]).startswith(words)
    assert experiment_tables.headroom("iou", []) == "headroom: not measured"
    failed = replace(record, value=None, low=None, high=None, status="skipped", reason="missing: not one patch.")
    assert experiment_tables.headroom("iou", [failed]) == "headroom: not known (skipped, missing: not one patch)"


def test_an_experiment_sets_options_of_runs_on_embedded_data_that_are_not_given_them(file: Path) -> None:
    small = file.with_name("sized.toml")
    small.write_text(MINE.replace("[[arm]]", '[embedded]\n"task.patches" = 12\n"task.steps" = 3\n[[arm]]', 1))

    def sizes(**given: object) -> tuple[int, int]:
        components = load_components(RunConfig("noise", "cam16-seg", experiment=str(small), **given))  # type: ignore[arg-type]
        return components.task.config.patches, components.task.config.steps  # type: ignore[attr-defined]

    assert sizes() == (12, 3)
    assert sizes(options={"task.steps": "5"}) == (12, 5) and sizes(options={"steps": "6"}) == (12, 6)
    (file.parent / "real.py").write_text(
        "from bench.types import Card\nclass Real:\n    card = Card('real-data', '1', 'Data of somebody.')\n"
        "    provides = frozenset({'masks'})\n    def split(self, name): raise NotImplementedError\n"
    )
    assert sizes(dataset=f"{file.parent / 'real.py'}:Real") == (800, 300), "real data keep their sizes"


def test_the_table_says_mixes_reported_numbers_and_verdicts(made: tuple[str, list[ResultRecord]]) -> None:
    text = made[0]
    assert "mine (flat-colour, cam16-seg on phantom-cam16): flat colours instead of tissue" in text
    row = next(line for line in text.splitlines() if line.startswith("half real "))
    assert "0.4321" in row and "[" in row
    assert "never ranked with ours" in text
    assert "not inferior (asked: non-inferior, margin 0.9)" in text
    assert "equivalent (asked: equivalent, margin 0.9)" in text


def test_verdicts_are_adjusted_for_their_number_and_the_table_says_so(made: tuple[str, list[ResultRecord]]) -> None:
    assert "after Holm over 2 comparisons" in made[0] and "verdicts hold together at 5%, adjusted by Holm" in made[0]


def difference(arm: str, seed: int, value: float, half: float) -> ResultRecord:
    described = {"experiment": {"name": "many"}}
    return ResultRecord(
        "g", "d", "none", "t", "dice-difference", "higher", f"p {arm}", mix=f"{arm} - base", seed=seed, value=value,
        low=value - half, high=value + half, n=80, groups=40, described=described,
    )  # fmt: skip


def test_of_eight_comparisons_one_that_is_hardly_beyond_0_decides_nothing() -> None:
    """Alone it is better at 5 %; of eight such the least p-value is below .05 in a third of experiments of nothing."""
    arms = [f"arm {i}" for i in range(8)]
    comparisons = tuple(Comparison(arm, "base", "superior") for arm in arms)
    records = [
        difference(arm, s, 0.021 if i == 0 else 0.3 if i == 1 else 0.0, 0.02) for i, arm in enumerate(arms) for s in (0, 1)
    ]
    records.append(replace(records[0], measure="dice", mix="base", described={"experiment": {"name": "many"}}))

    def verdicts(asked: tuple[Comparison, ...]) -> str:
        experiment = Experiment("many", "many arms", "train", ("dice",), (Arm("base"),), asked)
        return "\n".join(experiment_tables.make_table(experiment, records).notes)

    alone, among = verdicts(comparisons[:1]), verdicts(comparisons)
    assert "arm 0 against base: dice +0.0210 [+0.0010, +0.0410]: better" in alone and "after Holm over 1 comparison" in alone
    assert "arm 0 against base: dice +0.0210 [+0.0010, +0.0410]: inconclusive" in among
    assert "arm 1 against base: dice +0.3000 [+0.2800, +0.3200]: better" in among, "a clear one stays"


def test_started_again_nothing_is_trained_twice(made: tuple[str, list[ResultRecord]], home: Path, file: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in home.rglob("entry.json")}
    done = bench("run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "0,1", *SMALL, home=home)
    assert done.stdout.splitlines()[1:-1] == made[0].splitlines()[1:-1]
    assert {f: f.stat().st_mtime_ns for f in home.rglob("entry.json")} == before


def test_a_pool_that_the_dataset_lacks_is_refused_before_anything_is_computed(home: Path, file: Path) -> None:
    other = file.with_name("other.toml")
    other.write_text(MINE.replace('pool = "train"', 'pool = "R2"'))
    done = bench("run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(other), *SMALL, home=home)
    assert done.returncode == 2 and "pool R2, which phantom-cam16 does not have" in done.stderr


def test_a_mix_that_fails_loses_its_own_cells_only(home: Path, file: Path) -> None:
    other = file.with_name("starved.toml")
    other.write_text(
        MINE.replace(
            'name = "half real, copied"\nreal = 0.5\nsynthetic = 0.5',
            'name = "half real, copied"\nreal = 0.001\nsynthetic = 0.5',
        )
    )
    done = bench("run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(other), "--seeds", "0", *SMALL, home=home)
    assert "half real, half generated against half real: iou" in done.stdout
    starved = next(line for line in done.stdout.splitlines() if line.startswith("half real, copied "))
    assert "skipped(missing)" in starved


def test_the_leaderboard_prints_the_same_table_from_the_records(
    made: tuple[str, list[ResultRecord]], home: Path, file: Path
) -> None:
    out = str(home.parent / "out")
    done = bench("leaderboard", "cam16-seg", "--results", out, "--experiment", str(file), home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "\n".join(made[0].strip().splitlines()[:-1])
    marked = bench("leaderboard", "cam16-seg", "--results", out, "--experiment", str(file), "--format", "markdown", home=home)
    assert "| training mix | " in marked.stdout and "| --- | " in marked.stdout
    tabled = bench("leaderboard", "cam16-seg", "--results", out, "--experiment", str(file), "--format", "csv", home=home)
    assert tabled.stdout.splitlines()[0].startswith("generator,") and "iou-difference" in tabled.stdout
    plain = bench("leaderboard", "--results", out, home=home)
    assert plain.returncode == 3 and "--experiment NAME" in plain.stderr  # experiments have tables of their own
    nothing = bench("leaderboard", "cam16-seg", "--results", out, "--experiment", "addition", home=home)
    assert nothing.returncode == 2 and "has no experiment 'addition'" in nothing.stderr
    homeless = bench("leaderboard", "--results", out, "--experiment", str(file), home=home)
    assert homeless.returncode == 2 and "bench leaderboard TASK" in homeless.stderr


def test_an_experiment_without_mixes_is_refused(home: Path, file: Path) -> None:
    done = bench(
        "run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(file), "--no-downstream", *SMALL, home=home
    )
    assert done.returncode == 2 and "leave out --no-downstream" in done.stderr


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [("Crashes", "RuntimeError: out of generate"), ("CannotFit", "RuntimeError: out of memory")],
)
def test_a_generator_that_fails_leaves_a_record_of_each_number_of_the_experiment_and_no_other(
    plugin: str, reason: str, made: tuple[str, list[ResultRecord]], home: Path, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "plugin.py").write_text(CRASHES)
    words = ["-g", f"{tmp_path / 'plugin.py'}:{plugin}", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "0,1"]
    done = bench("run", *words, *SMALL, "--out", str(tmp_path / "out"), home=home)
    assert done.returncode == 4 and reason in done.stderr
    lines = list(schema.read([Path(done.stdout.strip().splitlines()[-1]) / "results.jsonl"]))
    lost = [r for r in lines if "half generated" in r.mix]
    assert {(r.status, r.reason) for r in lost} == {("error", reason)}
    assert {r.status for r in lines if r not in lost} == {"ok"}, "an arm without generated patches needs none"
    assert all(r.described["experiment"] == {"name": "mine"} for r in lines)

    def key(r: ResultRecord) -> tuple[object, ...]:
        what = {name: r.described.get(name) for name in ("task", "comparison", "experiment")}
        return r.measure, r.mix, r.seed, r.protocol, r.direction, r.n, r.n_real, r.groups, str(what)

    # values of single classes are known of arms that were scored
    planned = ("iou", "iou-patch", "iou-difference")
    sound = {key(r) for r in made[1] if r.measure in planned}
    assert len(sound) == 2 * (3 * 2 + 2)
    found = sorted(key(r) for r in lines if r.measure in planned)
    assert found == sorted(sound), "the same numbers as of a generator that works, each once"

    assert "half real, half generated  error(RuntimeError)" in done.stdout and reason in done.stdout
    out = str(tmp_path / "out")
    shown = bench("leaderboard", "cam16-seg", "--results", out, "--experiment", str(file), home=home)
    assert shown.stdout.strip() == "\n".join(done.stdout.strip().splitlines()[:-1])
    plain = bench("leaderboard", "--results", out, home=home)
    assert plain.returncode == 3 and "--experiment NAME" in plain.stderr, "nothing of it is in ordinary tables"


def test_what_prompts_show_is_marked_and_its_seed_is_not_one_of_the_experiments(
    home: Path, file: Path, tmp_path: Path
) -> None:
    words = ["-g", "crop-paste", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "1"]
    done = bench("run", *words, *SMALL, "--out", str(tmp_path), home=home)
    lines = list(schema.read([Path(done.stdout.strip().splitlines()[-1]) / "results.jsonl"]))
    assert "prompt-coverage" in {r.measure for r in lines}
    assert all(r.described["experiment"] == {"name": "mine"} for r in lines)
    assert "6 slides, 1 seeds" in done.stdout


def test_metrics_beside_an_experiment_are_not_measured_and_the_run_says_so(home: Path, file: Path) -> None:
    words = ["run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", str(file), "--seeds", "0", *SMALL, "--plan"]
    plain, asked = (bench(*words, *more, home=home) for more in ([], ["-m", "fd"]))
    assert plain.returncode == asked.returncode == 0
    text = "the metrics that were asked for are not measured"
    assert text not in plain.stderr and text in asked.stderr

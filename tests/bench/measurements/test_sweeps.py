"""Sweeps through the command line: generators are run on altered conditions, and tables say which ignore them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contracts import check_metric
from bench.errors import UsageError
from bench.measurements.sweeps.altering import option_value, with_option
from bench.measurements.sweeps.measurement import slope_tally
from bench.pipeline.generation import TrainedGenerator
from bench.pipeline.plugins import Plugin, WeightsRef
from bench.pipeline.training import Weights
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.statistics import group_bootstrap
from bench.types import Conditions, ImageSet
from metrics.faithfulness.use import ConditionUse
from tests.command_run import bench

GREY = """
import numpy as np
from bench.types import Card
class Grey:
    card = Card("grey", "1", "Is shown prompts and ignores them.", needs=("prompts",))
    def generate(self, conditions, seeds):
        return np.full((len(conditions), conditions.size, conditions.size, 3), 200, np.uint8)
class Elsewhere(Grey):
    card = Card("elsewhere", "1", "Images made elsewhere.", needs=("prompts",))
    def check_conditions(self, ids): ...
"""
SMALL = [
    word
    for o in ("train_slides=2", "validation_slides=1", "test_slides=10", "per_slide=3", "metric.only=stain,share")
    for word in ("-o", o)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "mine.py").write_text(GREY)
    return folder / "home"


def run(home: Path, *words: str) -> tuple[str, list[ResultRecord]]:
    controls = f"{home.parent / 'mine.py'}:Grey,{home.parent / 'mine.py'}:Elsewhere,noise"
    done = bench(
        *("run", "-g", "crop-paste", "-t", "cam16-seg", "-m", "condition-use,fd", "--controls", controls, "--seeds", "0"),
        *(
            *SMALL,
            "-e",
            "stain",
            "-o",
            "metric.segmenter_steps=2",
            "--no-downstream",
            "--out",
            str(home.parent / "out"),
            *words,
        ),
        home=home,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, list(schema.read([Path(done.stdout.strip().splitlines()[-1]) / "results.jsonl"]))


@pytest.fixture(scope="module")
def made(home: Path) -> tuple[str, list[ResultRecord]]:
    return run(home, "-o", "metric.patches=20")


def test_pasted_crops_follow_their_stain_and_a_grey_generator_ignores_it(made: tuple[str, list[ResultRecord]]) -> None:
    found = {(record.generator, record.measure): record for record in made[1]}
    pasted, grey = found["crop-paste", "use-stain"], found["grey", "use-stain"]
    assert pasted.value == pytest.approx(1, abs=0.1) and pasted.low is not None and pasted.low > 0.8
    assert (grey.value, grey.low, grey.high) == (0, 0, 0)
    assert (pasted.n, pasted.groups) == (20, 10), "two patches of each slide"
    assert pasted.protocol == grey.protocol, "ranked together"
    ignoring = [line for line in made[0].splitlines() if "ignores its condition" in line]
    assert any(
        line.startswith("grey ignores its condition, as it is read: the interval of use-stain holds 0") for line in ignoring
    )
    assert any(
        line.startswith("noise ignores its condition, as it is read: the interval of use-share holds 0") for line in ignoring
    )
    assert not any(line.startswith("crop-paste ignores") and "use-stain" in line for line in ignoring)


def test_the_leaderboard_has_the_slopes_and_the_verdict(made: tuple[str, list[ResultRecord]], home: Path) -> None:
    folder = made[0].strip().splitlines()[-1]
    shown = bench("leaderboard", "cam16-seg", "--results", folder, "--measures", "use-stain", home=home)
    row = next(line for line in shown.stdout.splitlines() if line.startswith("crop-paste"))
    assert "[" in row and "n: 20 patches of 10 slides" in shown.stdout
    assert "grey ignores its condition, as it is read: the interval of use-stain holds 0." in shown.stdout


def test_a_sweep_that_is_not_offered_is_skipped_with_its_reason(made: tuple[str, list[ResultRecord]]) -> None:
    found = {(record.generator, record.measure): record for record in made[1]}
    assert found["grey", "use-share"].status == "skipped" and "takes none" in found["grey", "use-share"].reason
    assert found["noise", "use-stain"].status == "skipped" and "is shown none" in found["noise", "use-stain"].reason
    elsewhere = found["elsewhere", "use-stain"]
    assert elsewhere.status == "skipped" and "were made elsewhere" in elsewhere.reason
    assert found["crop-paste", "use-share"].status == "ok"


def test_more_patches_are_another_number(made: tuple[str, list[ResultRecord]], home: Path) -> None:
    more = {(r.generator, r.measure): r for r in run(home, "-o", "metric.patches=30")[1]}
    found = {(r.generator, r.measure): r for r in made[1]}
    key = "crop-paste", "use-stain"
    assert more[key].n == 30 and more[key].protocol != found[key].protocol and more[key].value != found[key].value


def test_a_slope_of_counts_and_its_interval_over_slides() -> None:
    rng = np.random.default_rng(0)
    asked = rng.uniform(1, 2, 60)
    counts = np.stack([asked, asked * rng.normal(0.5, 0.1, 60)], axis=1)
    slides = np.array([f"s{i // 3}" for i in range(60)])
    found = group_bootstrap(slope_tally("use-share", counts), slides, seed=0)["use-share"]
    assert found.value == pytest.approx(counts[:, 1].sum() / asked.sum())
    assert found.low is not None and found.high is not None and 0.4 < found.low < found.value < found.high < 0.6
    nothing = group_bootstrap(slope_tally("use-share", np.zeros((60, 2))), slides, seed=0)["use-share"]
    assert np.isnan(nothing.value) and "no test patch was asked" in nothing.reason


class Shifted(ConditionUse):
    """Alters the conditions of other patches."""

    def alter(self, sweep: str, level: float, conditions: Conditions) -> Conditions:
        made = super().alter(sweep, level, conditions)
        return replace(made, ids=np.roll(made.ids, 1))


class Drifts(ConditionUse):
    """Says that images change which do not."""

    def respond(self, sweep: str, made: Sequence[ImageSet], segmenter: Path | None) -> NDArray[np.float64]:
        return super().respond(sweep, made, segmenter) + 1.0


class Still(ConditionUse):
    """Asks the same twice."""

    def levels(self, sweep: str) -> tuple[float, ...]:
        return 1.0, 1.0


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (ConditionUse, ""),
        (Shifted, "use-shuffle at 1: alter gives conditions of other patches"),
        (Drifts, "use-stain: images that do not change have a slope that is not 0"),
        (Still, "not two different ones"),
    ],
)
def test_the_contract_of_a_metric_that_alters_conditions(cls: type[ConditionUse], reason: str) -> None:
    outcome = {outcome.name: outcome for outcome in check_metric(cls, size=32)}["measures"]
    assert (outcome.status == "failed") == bool(reason) and reason in outcome.reason, outcome


def test_an_option_of_sampling_is_changed_without_another_training() -> None:
    trained = TrainedGenerator(Plugin("generators", "nasdm"), Weights("none", WeightsRef()))
    assert option_value(trained.generator, "guidance") == 1.0
    assert option_value(with_option(trained, "guidance", 1.5).generator, "guidance") == 1.5
    assert option_value(trained.generator, "nothing") is None
    with pytest.raises(UsageError, match="another steps would need another training"):
        with_option(trained, "steps", 7)

"""Diversity and morphometry through the command line: seeds that are ignored, sets of images, one set, options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import check_metric
from bench.files.names import file_stem
from bench.measurements.sweeps.repeats import repeat_seeds
from bench.registry import load
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.types import Conditions, Features, Tally
from metrics.diversity import Diversity
from tests.command_run import bench

ELSEWHERE = """
import numpy as np
from bench.types import Card
class Elsewhere:
    card = Card("elsewhere", "1", "Images made elsewhere.", licence="MIT")
    def check_conditions(self, ids): ...
    def generate(self, conditions, seeds):
        return np.full((len(conditions), conditions.size, conditions.size, 3), 200, np.uint8)
"""
SIZES = {"train_slides": 2, "validation_slides": 1, "test_slides": 5, "per_slide": 3}
Found = dict[tuple[str, str], ResultRecord]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside it `sets`, with the real test patches as seed 0 and the next of each as seed 1."""
    folder = tmp_path_factory.mktemp("repeats")
    test = load("datasets", "phantom-cam16", **SIZES).split("test")
    (folder / "mine.py").write_text(ELSEWHERE)
    for name, step in (("sets/seed0", 0), ("sets/seed1", 1)):
        (folder / name / "samples").mkdir(parents=True)
        for i, patch in enumerate(test.conditions.ids.tolist()):
            shown = np.asarray(test.images[(i + step) % len(test)])
            Image.fromarray(shown).save(folder / name / "samples" / f"{file_stem(patch)}.png")
    return folder / "home"


def run(home: Path, *options: str) -> Found:
    sizes = [f"dataset.{name}={value}" for name, value in SIZES.items()]
    given = [word for option in (*sizes, "metric.readers=classical", *options) for word in ("-o", option)]
    done = bench(
        *("run", "-g", f"folder:{home.parent / 'sets'}", "-t", "cam16-seg", "-m", "diversity,morphometry"),
        *("--controls", f"real,noise,shuffle,{home.parent / 'mine.py'}:Elsewhere" if not options else "noise", "--seeds", "0"),
        *("-e", "texture", "--no-downstream", "--out", str(home.parent / "out"), *given),
        home=home,
    )
    assert done.returncode == 0, done.stderr
    records = schema.read([Path(done.stdout.strip().splitlines()[-1]) / "results.jsonl"])
    return {(record.generator, record.measure): record for record in records}


@pytest.fixture(scope="module")
def made(home: Path) -> Found:
    return run(home)


def test_ignored_seeds_have_no_diversity_and_sets_have_that_of_their_images(made: Found) -> None:
    for measure in ("diversity-same-slide", "diversity-other-slides"):
        ignored = made["shuffle", measure]
        assert (ignored.value, ignored.low, ignored.high, ignored.direction) == (0, 0, 0, "higher")
        of_sets = made["folder", measure]
        assert of_sets.value is not None and of_sets.value > 0.1 and of_sets.low is not None and of_sets.low > 0
        assert of_sets.protocol == ignored.protocol and (of_sets.n, of_sets.groups) == (15, 5)
    one = made["elsewhere", "diversity-same-slide"]
    assert one.status == "skipped" and "were made elsewhere" in one.reason


def test_tables_take_the_numbers_of_some_of_the_patches(made: Found, home: Path) -> None:
    run(home, "metric.patches=10")
    shown = bench("leaderboard", "--results", home.parent / "out", "--measures", "diversity-same-slide", home=home).stdout
    assert "n: 10 patches" in shown and "invalid" not in shown, shown


def test_real_patches_have_the_morphometry_of_real_patches_and_noise_has_not(made: Found) -> None:
    for name in ("folder", "shuffle"):
        assert made[name, "nucleus-area"].value == pytest.approx(0, abs=1e-9), (
            "the same patches in another order, or their own"
        )
    noise = made["noise", "nucleus-density"]
    assert noise.value is not None and noise.value > 500 and noise.direction == "lower"
    effect = made["noise", "nucleus-density-effect"]
    assert (
        effect.direction == "none" and effect.value is not None and effect.low is not None and -1 <= effect.low <= effect.value
    )


def test_every_interval_holds_its_value(made: Found) -> None:
    held = [one for one in made.values() if one.value is not None and one.low is not None and one.high is not None]
    assert len(held) > 10
    assert not [one.measure for one in held if not one.low <= one.value <= one.high]  # type: ignore[operator]


@pytest.mark.slow
def test_options_change_the_numbers_and_the_protocol(made: Found, home: Path) -> None:
    other = run(home, "metric.images=2", "metric.like=2", "metric.patches=6")
    key = "noise", "diversity-same-slide"
    assert other[key].n == 6 and other[key].value != made[key].value and other[key].protocol != made[key].protocol


def test_runs_of_other_seeds_share_no_image() -> None:
    noise, held = load("generators", "noise"), [repeat_seeds(load("generators", "noise"), seed, 5) for seed in range(4)]
    assert len(set().union(*held)) == 20 and all(seeds[0] == i for i, seeds in enumerate(held))
    assert repeat_seeds(noise, 7, 2)[0] == 7


class Mixed(Diversity):
    """Counts the conditions in the order of their ids."""

    def tally_repeats(self, made: np.ndarray, asked: Conditions, real: Features, shown: Conditions) -> Tally:
        found = super().tally_repeats(made, asked, real, shown)
        return Tally(found.columns, found.counts[np.argsort(asked.ids)], found.measures, found.bounds, found.undefined)


class Unnamed(Diversity):
    """Declares a measure that its tally has not."""

    measures = {"variety": "higher"}


class Once(Diversity):
    """Asks for one image."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 1


@pytest.mark.parametrize(
    ("cls", "reason"),
    [(Diversity, ""), (Mixed, "another order of conditions"), (Unnamed, "differ in names"), (Once, "at least two")],
)
def test_the_contract_of_a_metric_of_repeated_conditions(cls: type[Diversity], reason: str) -> None:
    outcome = {outcome.name: outcome for outcome in check_metric(cls, size=32)}["measures"]
    assert (outcome.status == "failed") == bool(reason) and reason in outcome.reason, outcome

"""The scripts under benchmarks/: what they simulate, time and lay out, at sizes of seconds."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from benchmarks import candidates, coverage, metric_costs, published_nasdm, reader_studies, reader_studies_simulation, speed
from benchmarks.coverage_simulation import Setting, settings, simulate
from metrics.frechet.gaussians import frechet_distance

SMALL = Setting(16, 24, 16, 0.1, "power", "other", candidates.CHOSEN, 30)


def test_the_simulated_truth_is_the_distance_of_large_samples() -> None:
    sides = replace(SMALL, slides=400, per_slide=50, icc=0.0).draw(np.random.default_rng(0))
    assert sides.whole == pytest.approx(SMALL.truth, rel=0.1)
    moments = [(side.mean(axis=0), np.cov(side, rowvar=False)) for side in (sides.real, sides.fake)]
    assert sides.whole == pytest.approx(frechet_distance(*moments[0], *moments[1]), rel=1e-9)


def test_intra_slide_correlation_is_what_was_asked_for() -> None:
    sides = replace(SMALL, slides=400, icc=0.3).draw(np.random.default_rng(0))
    means = np.array([sides.real[sides.slide == s].mean(axis=0) for s in range(400)])
    between = means.var(axis=0, ddof=1) - sides.real.var(axis=0) * 0.7 / 16
    assert (between / sides.real.var(axis=0)).mean() == pytest.approx(0.3, abs=0.03)


def test_the_chosen_way_holds_the_truth_and_the_plain_one_does_not() -> None:
    ours = simulate(SMALL)
    assert ours.given >= 25 and 0.85 <= ours.held / ours.given
    plain = simulate(replace(SMALL, d=64, candidate="slides, no extrapolation"))
    assert plain.held / plain.given < 0.7 and plain.value is not None and plain.value > plain.truth


@pytest.mark.parametrize("name", sorted(candidates.ALL))
def test_every_candidate_gives_an_estimate(name: str) -> None:
    found = simulate(replace(SMALL, candidate=name, trials=4))
    assert found.value is not None and 0.3 * found.truth < found.value < 5 * found.truth
    assert found.given == 4 or name == candidates.CHOSEN, "only the chosen way refuses"


def test_the_intervals_that_the_page_shows_hold_the_truth() -> None:
    kept = coverage.STUDY.held()
    assert set(kept) == set(settings())
    official = [s for s in kept if s.candidate == candidates.CHOSEN and s.generator == "other" and s.slides >= 20]
    assert {(s.d, s.slides, s.icc) for s in official} >= {(64, g, i) for g in (20, 40, 100) for i in (0.0, 0.1, 0.3)}
    for setting in official:
        finding = kept[setting]
        if finding.given >= 10:  # two standard errors of a share of so many
            few = 2 * (0.95 * 0.05 / finding.given) ** 0.5
            assert 0.90 - few <= finding.held / finding.given <= 0.99 + few, setting


def test_the_truths_of_simulated_readers_are_those_of_many() -> None:
    many = reader_studies_simulation.Setting(300, 200, 1, 1.0, 0.4, 1)
    *_, answers = reader_studies_simulation.draw(many, np.random.default_rng(0))
    expected = reader_studies_simulation.truths(many)
    assert expected["d'"] == pytest.approx(1.0) and 0.5 < expected["accuracy"] < 0.7
    for name, kind in reader_studies_simulation.KINDS.items():
        counts = reader_studies_simulation.count(answers[kind.of], reader_studies_simulation.ANSWERS[kind.of])
        found = kind.measure(counts.sum(axis=1)).mean()
        assert found == pytest.approx(expected[name], abs=0.1 if kind.most > 1 else 0.03), name


def test_the_intervals_of_reader_studies_that_the_page_shows_hold_the_truth() -> None:
    kept = reader_studies.STUDY.held()
    assert set(kept) == set(reader_studies_simulation.settings())
    for setting, finding in kept.items():
        for name, found in finding.found.items():
            if setting.numbers == "all" and not name.startswith("rate") and found["held"] is not None:
                chance = 2 * math.sqrt(0.95 * 0.05 / setting.trials)  # of the simulation itself
                assert 0.93 - chance <= found["held"] / setting.trials, (setting, name)


def test_speed_tables_have_a_ratio_in_every_row() -> None:
    rows = speed.frechet_rows(300, 16)
    assert len(rows) == 4 and all(row.ours > 0 and row.ratio > 0 for row in rows)
    assert speed.table(rows).count("\n") == 5


def test_blocks_of_cdist_say_what_the_metrics_say() -> None:
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(size=(n, 9)).astype(np.float32) for n in (1200, 1100))
    assert speed.four_measures(real, fake) == pytest.approx(speed.four_of_blocks(real, fake), abs=1e-12)


def test_the_tables_of_costs_have_every_metric_and_every_encoder() -> None:
    costs = metric_costs.interval_costs(slides=8, per_slide=5, width=12)
    text = metric_costs.interval_table(costs)
    assert all(f"| `{name}` |" in text for name in metric_costs.CHEAP)
    seconds, memory = metric_costs.encoder_cost(12, 12, 5)
    assert set(seconds) == set(metric_costs.ALL) and min(seconds.values()) > 0 and memory > 0
    assert [width for _, width in metric_costs.panel_widths()] == [384, 1536, 1536, 384, 2048, 1024, 1536, 1024]


def test_a_published_models_output_is_laid_out_for_the_folder_generator(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lizard = tmp_path / "lizard"
    for part in ("images", "type"):
        (lizard / part).mkdir(parents=True)
    patches = []
    for source in (f"s{i}" for i in range(6)):
        types = rng.integers(0, 7, (256, 256), dtype=np.uint8)
        Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(lizard / "images" / f"{source}.png")
        Image.fromarray(types).save(lizard / "type" / f"{source}.png")
        patches += [{"source": source, "y": y, "x": x, "size": 128} for y in (0, 128) for x in (0, 128)]
    with (lizard / "patches128.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ("source", "x", "y", "size"))
        writer.writeheader()
        writer.writerows(patches)
    np.savez(tmp_path / "generated.npz", images=rng.integers(0, 256, (3, 128, 128, 3), dtype=np.uint8))
    published_nasdm.write_folders(lizard, tmp_path / "generated.npz", tmp_path / "out")
    test = published_nasdm.dataset(tmp_path / "out" / "real").split("test")
    generated = registry.load("generators", f"folder:{tmp_path / 'out' / 'generated'}")
    generated.check_conditions(test.conditions.ids)
    assert generated.generate(test.conditions, np.zeros(3, np.uint64)).shape == (3, 128, 128, 3)
    assert json.dumps(sorted(p.name for p in (tmp_path / "out" / "generated" / "samples").iterdir())).count(".png") == 3

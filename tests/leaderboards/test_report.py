"""The report without a browser: what is on the page, what it is made of, and that nothing from outside becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from jinja2 import UndefinedError

from bench.jobs.store import Store
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.tables import cells
from leaderboards.cli.report import command
from leaderboards.report import data, figures, patches, provenance, templating, training_mixes
from tests.leaderboards.small_report import Material, built, material, record

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("report"), ["alike", "other", HOSTILE], copies=True)


def gallery(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="gallery">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_what_comes_from_outside_is_escaped(made: Material, tmp_path: Path) -> None:
    page, _ = built(made, tmp_path / "out", title="</title><script>alert(1)</script>")
    assert HOSTILE not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<script>alert(1)" not in page


class Elements(HTMLParser):
    """Every element with its attributes, as a browser's parser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


BREAKOUTS = ("\"'><img src=x onerror=alert(1)>", "</script><!--<script>alert(1)", "{{ 7 * 7 }}{% raw %}")


@pytest.mark.parametrize("text", BREAKOUTS)
def test_no_text_of_a_record_or_manifest_becomes_markup(text: str, tmp_path: Path) -> None:
    """The page has the same elements and the same names of attributes whether its texts are harmless or not."""
    pages = []
    for number, word in enumerate(("harmless", text)):
        run = tmp_path / f"run{number}"
        about = {
            "generator": {"name": word, "version": word, "options": {word: word}},
            "metric": {"name": word, "version": word},
            "experiment": {"name": ""},
        }
        held = {"dataset": word, "prompt_source": word, "task": word, "described": about, "flags": ("underpowered", "suspect")}
        held |= {"keys": {"weights": word, "test": word, "train": word, "samples": word}}
        held |= {"stamp": {"made": "2026-01-01T10:00:00+00:00", word: word}}
        records = [
            record(word, 1.0, **held, encoder=word, protocol=word),
            record(f"{word}2", None, **held, encoder=word, protocol=word, status="error", reason=word),
            record(word, 0.3, **held, measure="fd-normalised", encoder=word, protocol="n"),
            record(
                f"{word}2", None, **held, measure="fd-normalised", encoder=word, protocol="n", status="skipped", reason=word
            ),
            record(word, 9.0, **held, encoder=word, state="reported", source=word, suspect=word, protocol="r"),
        ]
        schema.write(records, run / "results.jsonl")
        (run / "manifest.json").write_text(json.dumps({word: word}))
        source = Material(run, Store(tmp_path / "none"), *[None] * 2)  # type: ignore[list-item]
        pages.append(built(source, tmp_path / f"out{number}", title=word)[0])
    harmless, hostile = (Elements(page).found for page in pages)
    assert [(tag, list(values)) for tag, values in hostile] == [(tag, list(values)) for tag, values in harmless]
    assert escape(text) == text or text not in pages[1]
    assert text in {values.get("data-value") for _, values in hostile} & {values.get("title") for _, values in hostile}


@pytest.mark.parametrize("text", BREAKOUTS)
def test_no_text_of_a_patch_ends_the_data_of_the_script(text: str, tmp_path: Path) -> None:
    shown = material(tmp_path / "more", [text], test_ids=[f"{text}{i}" for i in range(12)])
    page, _ = built(shown, tmp_path / "out")
    (exhibit,) = gallery(page)["exhibits"]
    assert all(patch["id"].startswith(text) for patch in exhibit["patches"]) and text in exhibit["name"]


def test_no_template_turns_escaping_off() -> None:
    files = list((Path(templating.__file__).parent / "templates").iterdir())
    assert files and all(file.name.endswith(".html.j2") for file in files)
    for file in files:
        source = file.read_text()
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", source), file.name
        assert not re.search(r"=\{\{", source), f"{file.name}: an attribute without quotes"


def test_a_template_that_asks_for_what_nobody_gave_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        templating.render("page.html.j2", policy="", style="")


def test_the_policy_names_the_one_style_and_the_one_script_and_forbids_all_else(made: Material, tmp_path: Path) -> None:
    page, _ = built(made, tmp_path / "out")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy and unescape(policy[1]).startswith("default-src 'none'")
    for kind in ("style", "script"):
        (source,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() in unescape(policy[1])
    assert not re.search(r'(src|href)="(https?:|//)', page) and " style=" not in page


def test_a_generated_copy_is_no_distance_from_its_real_patch(made: Material, tmp_path: Path) -> None:
    page, _ = built(made, tmp_path / "out")
    alike, other, _ = gallery(page)["exhibits"]
    assert all(one["values"][patches.TO_REAL] == 0 for one in alike["patches"])
    assert all(one["values"][patches.TO_REAL] > 0 for one in other["patches"])


def test_pictures_are_the_patches_themselves(made: Material, tmp_path: Path) -> None:
    from PIL import Image

    page, _ = built(made, tmp_path / "out")
    shown = gallery(page)["exhibits"][1]["patches"][0]
    row = made.test.conditions.ids.tolist().index(shown["id"])
    assert set(shown["images"]) == {"generated", "real", "map", "prompt", "nearest"}
    pictures = {name: np.asarray(Image.open(tmp_path / "out" / file)) for name, file in shown["images"].items()}
    assert np.array_equal(pictures["real"], made.test.images[row])
    near = made.train.conditions.ids.tolist().index(shown["nearestId"])
    assert np.array_equal(pictures["nearest"], made.train.images[near])


def test_the_nearest_row_is_what_a_loop_finds() -> None:
    rng = np.random.default_rng(1)
    asked, among = (rng.standard_normal((n, 5)).astype(np.float32) for n in (patches.CHUNK + 9, 40))
    rows, far = patches.find_nearest_rows(asked, among)
    gaps = np.linalg.norm(asked[:, None].astype(np.float64) - among[None], axis=2)
    assert np.array_equal(rows, gaps.argmin(axis=1)) and np.allclose(far, gaps.min(axis=1))


def test_both_ends_of_every_measure_are_shown_and_patches_that_no_measure_picked(made: Material) -> None:
    from bench import registry

    (one, *_) = patches.list_wanted(schema.read([made.runs / "one" / "results.jsonl"]))
    encoder = registry.load("encoders", "texture")
    found = patches.load_exhibit(one, patches.find_sets(made.store), encoder, made.store)
    assert isinstance(found, patches.Exhibit)
    rows = set(patches.choose_rows(found, 2).tolist())
    for values in found.measures.values():
        assert {*np.argsort(values, kind="stable")[[0, 1, -2, -1]].tolist()} <= rows
    assert set(patches.choose_spread_rows(found, 2).tolist()) <= rows


def test_the_encoder_and_the_number_of_patches_change_the_gallery(made: Material, tmp_path: Path) -> None:
    usual, _ = built(made, tmp_path / "a")
    measured, _ = built(made, tmp_path / "b", encoder="stain")
    fewer, _ = built(made, tmp_path / "c", patches=1)
    assert gallery(usual)["encoder"] == "texture" and gallery(measured)["encoder"] == "stain"
    assert gallery(usual)["exhibits"][1] != gallery(measured)["exhibits"][1]
    assert len(gallery(fewer)["exhibits"][1]["patches"]) < len(gallery(usual)["exhibits"][1]["patches"])
    none, text = built(made, tmp_path / "d", patches=0)
    assert gallery(none) == {} and not text and not (tmp_path / "d" / "images").exists()


def test_generated_sets_that_are_not_here_are_listed_as_missing(made: Material, tmp_path: Path) -> None:
    elsewhere = replace(made, store=Store(tmp_path / "empty"))
    page, text = built(elsewhere, tmp_path / "out")
    assert len(text) == 3 and "The generated sets of alike on d are not in the store of this machine" in page


@pytest.mark.parametrize("key", ["../../runs", "", "no-such"])
def test_a_key_leads_nowhere_but_into_the_store(made: Material, key: str) -> None:
    asked = patches.Wanted("g", "d", "none", key, "train")
    assert isinstance(patches.load_exhibit(asked, {}, None, made.store), str)  # type: ignore[arg-type]


def test_reported_numbers_have_their_own_columns_and_no_rank() -> None:
    ours = [record("b", 2.0), record("a", 3.0)]
    printed = record("paper", 0.5, state="reported", source="Paper, Table 1", suspect="N is not stated", dataset="cam16")
    (shown,) = data.build_tables(ours, [printed])
    assert [who for who, _ in shown.rows] == ["b", "a", "paper"]
    assert [(c.name, c.reported) for c in shown.columns] == [
        ("fd texture", False),
        ("fd texture (reported on cam16, prompts: slide)", True),
    ]
    assert shown.printed == ("Reported: Paper, Table 1.", "? paper, fd texture: N is not stated")


def test_what_is_reported_of_other_data_is_marked_as_not_comparable(made: Material, tmp_path: Path) -> None:
    printed = record("nasdm", 7.0, state="reported", flags=("not-comparable",), dataset="colon", low=None, high=None)
    schema.write([printed], tmp_path / "published" / "paper.jsonl")
    page, _ = built(made, tmp_path / "out", published=tmp_path / "published")
    assert "7.000<sup>≠</sup>" in page and "≠ reported for other data" in page


def test_a_scale_serves_the_many_and_what_dwarfs_them_lies_beyond() -> None:
    (shown,) = data.build_tables([record("a", 1.0), record("b", 2.0), record("noise", 100.0)], [])
    assert shown.columns[0].most == 2.25
    shapes = [figures.place_whisker(found["fd texture"], 0.0, 2.25) for _, found in shown.rows]
    assert [shape is not None and shape.dot is None for shape in shapes] == [False, False, True]


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.008217, 0.005603, 0.01083, ("0.0082", "0.0056 to 0.0108")),
        (1e-15, -4.6e-14, 4.9e-14, ("0", "0 to 0")),
        (-0.000029, -0.000537, 0.000479, ("−0.0000".lstrip("−"), "−0.0005 to 0.0005")),
        (1.0, 0.99999999, 1.00000001, ("1.000", "1.000 to 1.000")),
        (123.4, 90.0, 160.0, ("123", "90 to 160")),
        (0.5, None, None, ("0.5000", "no interval")),
    ],
)
def test_digits_end_where_the_interval_makes_them_idle(
    value: float, low: float | None, high: float | None, text: tuple[str, str]
) -> None:
    (cell,) = cells([record("a", value, low=low, high=high)])
    assert data.round_to_interval(cell) == text


def test_the_map_has_a_row_a_generator_and_a_column_an_encoder() -> None:
    records = [record(g, 0.1, measure="fd-normalised", encoder=e, protocol=e) for g in ("a", "b") for e in ("x", "y")]
    (shown,) = data.build_tables([*records, record("a", 9.0)], [])
    drawn = data.build_heat_map(shown)
    assert drawn and drawn.encoders == ("x", "y") and [who for who, _ in drawn.rows] == ["a", "b"]
    assert data.build_heat_map(data.build_tables([record("a", 9.0)], [])[0]) is None


def test_mixes_stand_at_the_shares_of_patches() -> None:
    records = [
        record("a", 0.5 + i / 10, measure="iou", mix=name, encoder="", protocol=name)
        for i, name in enumerate(("real", "synthetic", "real+synthetic"))
    ]
    (chart,) = training_mixes.build_charts(records)
    assert [(score.mix, score.real, score.synthetic) for score in chart.scores] == [
        ("real", 1, 0),
        ("synthetic", 0, 1),
        ("real+synthetic", 1, 1),
    ]
    assert [figures.name_mixture(score) for score in chart.scores] == ["real alone", "generated alone", "real + generated"]
    assert training_mixes.build_charts([replace(one, task="nowhere") for one in records]) == []


def two_class_maps() -> list[ResultRecord]:
    """One generator on one folder, read with four classes and with two: each column has one number of either run."""
    records = []
    for classes in (4, 2):
        about = {"generator": {"name": "a"}, "dataset": {"options": {"class_map": f"{classes}.toml"}}}
        held = {"described": about, "keys": {"test": f"t{classes}", "train": f"r{classes}"}, "low": None, "high": None}
        for i, name in enumerate(("real", "synthetic", "real+synthetic")):
            protocol = f"{(classes * (i + 1)) % 5}-{classes}"
            records.append(record("a", classes / 10, measure="iou", mix=name, encoder="", protocol=protocol, **held))
    return records


def test_figures_of_training_mixes_hold_one_protocol_set() -> None:
    found = training_mixes.build_charts(two_class_maps())
    assert sorted([score.cell.value for score in chart.scores] for chart in found) == [[0.2] * 3, [0.4] * 3]
    assert len({chart.where for chart in found}) == 2 and len({chart.title for chart in found}) == 2


def test_the_page_says_in_what_its_protocol_sets_differ(tmp_path: Path) -> None:
    schema.write(two_class_maps(), tmp_path / "run" / "results.jsonl")
    page, _ = built(Material(tmp_path / "run", Store(tmp_path), *[None] * 2), tmp_path / "out", patches=0)  # type: ignore[list-item]
    assert "protocol set 1" in page and "Not comparable with protocol set 1: dataset.options.class_map" in page


def test_an_experiment_shows_what_the_paper_reported() -> None:
    about = {"generator": {"name": "nasdm"}, "experiment": {"name": "addition"}}
    named = {"task": "lizard-nuclei", "measure": "dice", "encoder": "", "described": about, "direction": "higher"}
    names = ("25 % real", "25 % real + 75 % generated")
    (chart,) = training_mixes.build_charts([record("nasdm", 0.6, mix=name, protocol=name, **named) for name in names])
    assert [score.reported for score in chart.scores] == [0.7713, 0.8092] and "NASDM++" in chart.reported_by


@pytest.mark.parametrize(("low", "high"), [(0.86, 0.9), (0.0, 1.0), (-0.02, 37.0), (0.5, 0.5)])
def test_axes_end_at_round_numbers_around_the_values(low: float, high: float) -> None:
    least, most, step = figures.choose_axis(low, high)
    assert least <= low + 1e-9 and high <= most + 1e-9 and least < most
    assert (most - least) / step == pytest.approx(round((most - least) / step)) and (most - least) / step < 6


def test_licences_are_those_of_the_cards() -> None:
    described = {"generator": {"name": "noise", "version": "1"}, "encoder": {"name": "uni", "version": "1"}}
    found = {one.name: one.licence for one in provenance.list_used([record("noise", 1.0, described=described)])}
    assert found["noise"] == "Apache-2.0" and "CC" in found["uni"]
    layouts = {"generator": {"name": "nasdm", "version": "1"}, "layouts": {"name": "nasdm-masks", "version": "1"}}
    (sampler,) = [one for one in provenance.list_used([record("nasdm", 1.0, described=layouts)]) if one.name == "nasdm-masks"]
    assert (sampler.kind, sampler.licence) == ("layout generators", "Apache-2.0")
    (mine, *_) = provenance.list_used([record("mine", 1.0)])
    assert mine.licence == "unknown: not installed here"


def test_manifests_that_runs_wrote_are_shown(made: Material, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    schema.write([record("a", 1.0)], tmp_path / "run" / "results.jsonl")
    (tmp_path / "run" / "manifest.json").write_text('{"note": "<b>bold</b>"}')
    page, _ = built(replace(made, runs=tmp_path / "run"), tmp_path / "out")
    assert "run/manifest.json" in page and "&lt;b&gt;bold&lt;/b&gt;" in page


def test_the_command_prints_where_the_page_is(made: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", str(made.store.root))
    done = CliRunner().invoke(command, [str(made.runs), "--out", str(tmp_path / "out"), "--patches", "1", "--title", "Mine"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / "index.html")
    assert "<h1>Mine</h1>" in (tmp_path / "out" / "index.html").read_text()

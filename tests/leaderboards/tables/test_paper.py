"""The papers' numbers as they were printed, and their tables with ours beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import registry
from bench.measurements import experiment_files
from bench.results.schema import ResultRecord
from bench.results.terms import Status
from leaderboards.suites import suite
from leaderboards.suites.suite import Cell, Pick, Preset, Suite, Table
from leaderboards.tables import build, paper, reading
from leaderboards.tables.sheets import Sheet
from tests.small_run import bench

PANEL = ("lunit-vits8", "gigapath", "h-optimus-0", "pathdino", "lunit-rn50-bt", "dinov2-l", "uni2-h", "uni")


def found(**wanted: object) -> ResultRecord:
    (one,) = [r for r in reading.reported() if all(getattr(r, name) == value for name, value in wanted.items())]
    return one


def test_the_published_numbers_are_all_there() -> None:
    lines = reading.reported()
    assert Counter((r.task, r.measure) for r in lines) == {
        ("cam16-seg", "fd"): 24,
        ("panda-seg", "fd"): 16,
        ("tcga-seg", "fd"): 16,
        ("cam16-seg", "iou"): 4,
        ("panda-seg", "iou"): 4,
        ("lizard-nuclei", "fd"): 7,
        ("lizard-nuclei", "is"): 5,
        ("lizard-nuclei", "dice"): 11,
        ("lizard-nuclei", "miou"): 11,
        ("reader-study", "reader-accuracy"): 2,
        ("reader-study", "reader-score"): 4,
    }
    assert {r.state for r in lines} == {"reported"} and all(r.source and r.value is not None for r in lines)
    assert {r.encoder for r in lines if r.task == "tcga-seg"} == set(PANEL)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"task": "cam16-seg", "generator": "ldm-prompt", "encoder": "lunit-rn50-bt"}, 72.0),
        ({"task": "cam16-seg", "generator": "ldm-embed", "encoder": "pathdino"}, 4331.1),
        ({"task": "panda-seg", "generator": "ldm-semantic", "encoder": "gigapath", "measure": "fd"}, 347.3),
        ({"task": "tcga-seg", "generator": "ldm-prompt", "encoder": "uni"}, 527.9),
        ({"task": "panda-seg", "generator": "ldm-prompt", "measure": "iou"}, 0.95),
        ({"task": "cam16-seg", "generator": "real", "measure": "iou"}, 0.72),
        ({"generator": "nasdm + nasdm-masks", "measure": "fd"}, 15.2),
        ({"generator": "BigGAN"}, 158.4),
        ({"mix": "25 % real + 75 % generated", "measure": "miou"}, 0.6889),
        ({"mix": "75 % real, 25 % generated", "measure": "dice"}, 0.8098),
    ],
)
def test_published_numbers_are_the_papers(wanted: dict[str, object], value: float) -> None:
    assert found(**wanted).value == value


def test_rows_of_other_tissues_name_their_tissue() -> None:
    tissues = {r.generator: r.dataset for r in reading.reported() if r.task == "lizard-nuclei" and r.measure == "fd"}
    wanted = {"BigGAN": "bladder", "AttributeGAN": "bladder", "ProGAN": "glioma", "Morph-Diffusion": "glioma"}
    assert {name: tissues[name] for name in wanted} == wanted and "not stated" not in tissues.values()


@pytest.mark.parametrize(
    ("experiment", "mix", "patches"),
    [
        ("addition", "25 % real", 2159),
        ("addition", "25 % real + 50 % generated", 6478),
        ("replacement", "50 % real, 50 % generated", 8639),
        ("annotation", "100 % real", 8201),
    ],
)
def test_published_scores_state_their_patches(experiment: str, mix: str, patches: int) -> None:
    scores = [r for r in reading.reported() if r.measure in ("dice", "miou") and r.task == "lizard-nuclei"]
    mine = [r for r in scores if r.mix == mix and r.described["experiment"]["name"] == experiment]
    assert len(scores) == 22 and {r.n for r in scores} == {2750}
    assert [r.described["training"]["patches"] for r in mine] == [patches] * 2


def test_doubtful_numbers_say_why() -> None:
    known = [r for r in reading.reported() if r.suspect]
    doubtful = {(r.dataset, r.generator, r.encoder): r.suspect for r in known if r.task != "reader-study"}
    assert set(doubtful) == {("cam16", "ldm-semantic", "uni"), ("cam16", "ldm-semantic", "dinov2-l")}
    assert "misprint" in doubtful["cam16", "ldm-semantic", "uni"]


def test_numbers_of_readers_say_what_is_not_known() -> None:
    ours = [r for r in reading.reported() if r.task == "reader-study"]
    assert all("only the range over data sets is known" in r.suspect and r.low is None and r.n == 0 for r in ours)
    shares = sorted(r.value or 0 for r in ours if r.measure == "reader-accuracy")
    assert shares == [0.45, 0.525]
    assert all((value * 40) == pytest.approx(round(value * 40)) for value in shares), "of 40 images each"
    assert all("public summary" in r.source for r in ours)


def test_published_and_experiments_report_the_same() -> None:
    folder = registry.find("tasks", "lizard-nuclei")[0].experiments
    for name in ("addition", "replacement", "annotation"):
        training = {s.name: s.reported for s in experiment_files.find(name, folder, "lizard-nuclei").arm}
        lines = [r for r in reading.reported() if r.described.get("experiment") == {"name": name}]
        assert lines and all(training[r.mix][r.measure] == r.value for r in lines)


def test_published_numbers_enter_no_table_of_ours() -> None:
    assert build.boards(reading.reported()) == []


def record(generator: str, value: float | None, **more: object) -> ResultRecord:
    base = ResultRecord(
        *(generator, "phantom-d", "none", "t", "fd", "lower", "p"),
        encoder="e",
        value=value,
        n=4,
        groups=2,
        flags=("embedded",),
        described={"metric": {"k": 3}},
    )
    return replace(base, **more)  # type: ignore[arg-type]


ROWS = (Pick("A", generator="a", task="t"), Pick("B", generator="b", task="t"), Pick("C", generator="c", task="t"))
TABLE = Table("T", ROWS, (Pick("E", measure="fd", encoder="e"), Pick("F", measure="fd", encoder="f")))
SUITE = Suite("s", "", {"tiny": Preset((0,))}, (), (TABLE,), "the paper")
PAPER = [
    record("a", 7.0, state="reported", dataset="d", described={}, flags=(), suspect="odd"),
    record("b", 8.0, flags=("not-comparable",)),
]


def shown(*made: ResultRecord, cells: tuple[Cell, ...] = ()) -> Sheet:
    (sheet,) = paper.sheets(SUITE, cells, made, [replace(r, state="reported") for r in PAPER])
    return sheet


def test_reported_stands_beside_measured() -> None:
    sheet = shown(record("a", 1.0), record("b", 2.0))
    assert sheet.rows == [
        ["", "data", "E ↓", "reported"],
        ["A", "phantom-d", "1.000", "7‡"],
        ["B", "phantom-d", "2.000", "not-comparable(8)"],
        ["C", "–", "–", "–"],
    ]
    text = "\n".join(sheet.notes)
    assert "never ranked" in text and "‡ d, a, e: odd." in text and "several tissues" in text and "phantom tissue" in text
    assert [row["state"] for row in sheet.records] == ["measured", "reported", "measured", "reported"]


def test_runs_without_numbers_say_how_they_ended() -> None:
    half = "1 of 2 numbers skipped: why"
    done = Cell("a--t", "a", "t", "slide", {}, "ok", half, "x")
    cells = (Cell("c--t", "c", "t", "slide", {}, "skipped", "gated: ask"), done)
    sheet = shown(record("a", 1.0), cells=cells)
    assert [row[2] for row in sheet.rows[1:]] == ["1.000", "–", "skipped(gated)"]
    assert "c--t: skipped: gated: ask" in sheet.notes
    assert half not in "".join(sheet.notes), "which numbers and why is stated number by number"


def test_columns_of_which_everything_was_skipped_leave_their_reported_numbers_and_one_note() -> None:
    layout = replace(TABLE, columns=(*TABLE.columns, Pick("G", measure="fd", encoder="g")))
    absent = {"encoder": "e", "protocol": "e", "status": Status.SKIPPED, "low": None, "high": None}
    made = [record(name, None, reason=f"gated: ask for {name}.", **absent) for name in "ab"] + [record("a", 1.0, encoder="g")]
    cells = (Cell("c--t", "c", "t", "slide", {}, "skipped", "missing: no weights"),)
    (sheet,) = paper.sheets(replace(SUITE, table=(layout,)), cells, made, [replace(r, state="reported") for r in PAPER])
    assert sheet.rows == [
        ["", "data", "E ↓ reported", "G ↓"],
        ["A", "phantom-d", "7‡", "1.000"],
        ["B", "phantom-d", "not-comparable(8)", "–"],
        ["C", "–", "–", "skipped(missing)"],
    ]
    (note,) = (note for note in sheet.notes if "gated" in note)
    assert note.startswith("not shown, skipped(gated) everywhere: fd of e (e.g. gated: ask for a)")
    assert "To fill them: bench suite s --weights DIR; bench doctor --encoders" in note
    assert [row["measure"] for row in sheet.records if row.get("status") == "skipped"] == ["fd e", "fd e"]


def test_rarer_protocols_stand_in_a_table_of_their_own_with_the_difference() -> None:
    rare = record("c", 0.1, protocol="q", described={"metric": {"k": 5}})
    usual, other = paper.sheets(SUITE, (), [record("a", 1.0), record("b", 2.0), rare], PAPER[:1])
    assert [row[2] for row in usual.rows[1:]] == ["1.000", "2.000", "–"]
    assert [row[2] for row in other.rows[1:]] == ["–", "–", "0.1000"] and "reported" not in other.rows[0]
    assert other.title.endswith("protocol set 2") and any("metric.k: 5 and 3" in note for note in other.notes)


def test_one_row_never_holds_numbers_of_two_protocol_sets() -> None:
    """Each column has as many numbers of either set: no column alone can say which protocol is the usual one."""
    layout = Table("T", (Pick("A", generator="a"),), tuple(Pick(mix, measure="iou", mix=mix) for mix in ("x", "y", "z")))
    made = [
        record("a", 0.1 * number, measure="iou", encoder="", mix=mix, protocol=protocol, keys={"test": f"test-{number}"})
        for number, protocols in ((1, "paq"), (2, "qzb"))
        for mix, protocol in zip("xyz", protocols, strict=True)
    ]
    sheets = paper.sheets(replace(SUITE, table=(layout,)), (), made, ())
    assert sorted(sheet.rows[1][2:] for sheet in sheets) == [["0.1000"] * 3, ["0.2000"] * 3]


def test_other_data_is_no_other_protocol() -> None:
    sheet = shown(record("a", 1.0), record("b", 2.0), record("c", 3.0, protocol="q", dataset="other"))
    assert sheet.rows[3][1:3] == ["other", "3.000"]


def test_seeds_are_combined() -> None:
    sheet = shown(record("a", 1.0), record("a", 3.0, seed=1))
    assert sheet.rows[1][2] == "2.000"


def test_experiments_have_a_row_a_mix_and_their_verdicts() -> None:
    experiment = {"experiment": {"name": "annotation"}}
    made = [
        record("nasdm", v, task="lizard-nuclei", measure="dice", encoder="", mix=d, direction="higher", described=experiment)
        for d, v in (("100 % real", 0.7), ("100 % generated", 0.6))
    ]
    difference = replace(
        made[0], measure="dice-difference", mix="100 % generated - 100 % real", value=-0.1, low=-0.2, high=-0.05
    )
    (sheet,) = paper.sheets(suite.find("nasdm-annotation"), (), [*made, difference], reading.reported())
    assert sheet.rows[1][:4] == ["100 % real", "phantom-d", "0.7000", "0.8065"]
    assert sheet.rows[3][:4] == ["100 % under wrong masks", "–", "–", "–"]
    assert any("inferior" in note and "-0.1000 [-0.2000, -0.0500]" in note for note in sheet.notes)


@pytest.mark.parametrize("name", [name for name in suite.names() if name not in ("embedded", "evidence")])
def test_every_paper_has_its_layout_even_before_anything_is_measured(name: str) -> None:
    sheets = paper.sheets(suite.find(name), (), (), reading.reported())
    assert sheets and all("reported" in sheet.rows[0] for sheet in sheets)
    assert any(row["state"] == "reported" for row in sheets[0].records)


def test_table_one_of_heterotissue_is_complete() -> None:
    first, _ = paper.sheets(suite.find("heterotissue-fd"), (), (), reading.reported())
    assert first.rows[0].count("reported") == 8 and len(first.rows) == 8
    assert sum(row["state"] == "reported" for row in first.records) == 56
    assert first.rows[1][-1] == "70‡"


@pytest.mark.parametrize("style", ["text", "markdown", "json"])
def test_before_any_run_the_reported_numbers_stand_with_the_command_that_fills_the_rest(tmp_path: Path, style: str) -> None:
    words = ("--results", tmp_path / "none", "--format", style)
    done = bench("leaderboard", "heterotissue-fd", *words, home=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "72" in done.stdout and "430.1" in done.stdout
    if style == "text":
        assert f"bench suite heterotissue-fd --out {tmp_path / 'none'}" in done.stdout
    assert bench("leaderboard", "embedded", *words, home=tmp_path).exit_code == 3, "a suite of no paper has nothing to show"


def test_each_row_that_was_not_run_says_so() -> None:
    asked = suite.find("heterotissue-fd")
    cells = [cell for cell, _ in suite.plans(asked, "tiny", {})]
    for sheet in paper.sheets(asked, cells, (), reading.reported()):
        measured = [i for i, head in enumerate(sheet.rows[0]) if i > 1 and head != "reported"]
        assert {row[i].partition("(")[0] for row in sheet.rows[1:] for i in measured} == {"skipped"}

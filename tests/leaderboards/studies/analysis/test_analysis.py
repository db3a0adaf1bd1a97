"""The analysis through its command: what is found, what is written, and what is refused in a sentence."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from pandas import DataFrame, concat
from scipy.stats import t

from bench.errors import BenchError, DamagedError, MissingError, UsageError
from bench.results import schema
from leaderboards.cli.study_analyse import command
from leaderboards.studies import questionnaires
from leaderboards.studies import schema as studies
from leaderboards.studies.analysis.analysis import POOLED, Analysis, Margins, analyse
from leaderboards.studies.analysis.reading import _question
from leaderboards.studies.analysis.tabulation import Kind
from leaderboards.studies.answers import table_text
from leaderboards.tables import build, reading
from tests.leaderboards.studies.analysis.simulated import simulate_answers
from tests.small_run import bench

KINDS = {"synthetic": Kind.REAL}
SAMPLES = "de4e284b6aaa9fc7b80c"
"""Key of a generated set of the run."""
RUN = Path(__file__).parents[4] / "leaderboards" / "measured" / "quick"


@pytest.fixture(scope="module")
def answers() -> DataFrame:
    return simulate_answers(repeats=10)


@pytest.fixture(scope="module")
def found(answers: DataFrame) -> Analysis:
    return analyse(answers, margins=Margins(score=0.2, accuracy=0.6), kinds=KINDS)


def analysed(*words: str) -> str:
    """What `bench study analyse` prints; raises its errors."""
    done = CliRunner().invoke(command, list(words), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def write_csv(frame: DataFrame, path: Path) -> str:
    frame.drop(columns=["regions"]).to_csv(path, index=False)
    return str(path)


def test_discrimination_scores_rates_and_agreement_are_all_there(found: Analysis) -> None:
    for question, measure, arm in [
        ("synthetic", "accuracy", "crop-paste"),
        ("synthetic", "d'", "crop-paste"),
        ("overall", "mean", "real"),
        ("overall", "difference", "crop-paste"),
        ("overall", "superiority", "crop-paste"),
        ("overall", "Cliff's delta", "crop-paste"),
        ("overall", "odds ratio", "crop-paste"),
        ("hallucination", "rate", "crop-paste"),
        ("overall", "alpha ordinal", ""),
        ("overall", "kappa quadratic", ""),
        ("synthetic", "AC1", ""),
    ]:
        row = found.of(question, measure, arm)
        assert row is not None and row.value is not None and row.low is not None and row.high is not None, (question, measure)
        assert row.low <= row.value <= row.high
    delta, share = (found.of("overall", name, "crop-paste") for name in ("Cliff's delta", "superiority"))
    assert delta and share and delta.value == pytest.approx(2 * (share.value or 0) - 1)
    assert found.of("overall", "alpha nominal") and not found.of("synthetic", "alpha ordinal"), "no order in real or generated"


def test_every_reader_has_numbers_of_their_own(found: Analysis) -> None:
    each = [found.of("synthetic", "accuracy", "crop-paste", f"r{i}") for i in range(3)]
    assert all(row is not None and row.low is not None for row in each)
    whole = found.of("synthetic", "accuracy", "crop-paste")
    assert whole and sum(row.value or 0 for row in each if row) / 3 == pytest.approx(whole.value)


def test_repeats_are_for_agreement_within_a_reader_alone(answers: DataFrame, found: Analysis) -> None:
    row = found.of("overall", "within a reader: kappa quadratic", reader="r0")
    assert row and row.value == pytest.approx(1) and row.images == 10
    once = analyse(answers[answers["repeat"] == 0], kinds=KINDS)
    ours, theirs = (one.of("overall", "difference", "crop-paste") for one in (found, once))
    assert ours and theirs and (ours.value, ours.low, ours.images) == (theirs.value, theirs.low, 40)
    missing = once.of("overall", "within a reader")
    assert missing and "no image was shown twice" in missing.reason


def test_answers_by_slide_are_those_of_the_table(answers: DataFrame, found: Analysis) -> None:
    (row,) = [r for r in found.rows if (r.question, r.slide, r.arm) == ("overall", "s3", "real")]
    own = answers[(answers["question"] == "overall") & (answers["image"] == "real-3") & (answers["repeat"] == 0)]
    assert row.value == pytest.approx(own["value"].mean())


def test_margins_decide(found: Analysis, answers: DataFrame) -> None:
    score, right = found.of("overall", "difference", "crop-paste"), found.of("synthetic", "accuracy", "crop-paste")
    assert score and right and (score.verdict, right.verdict) == ("different", "equivalent")
    unstated = analyse(answers, kinds=KINDS).of("overall", "difference", "crop-paste")
    assert unstated and unstated.verdict == ""
    wide = analyse(answers, margins=Margins(score=9), kinds=KINDS).of("overall", "difference", "crop-paste")
    near = analyse(answers, margins=Margins(score=1.1), kinds=KINDS).of("overall", "difference", "crop-paste")
    assert wide and near and (wide.verdict, near.verdict) == ("equivalent", "inconclusive")


def test_one_reader_gets_numbers_about_this_reader() -> None:
    one = analyse(simulate_answers(readers=1), kinds=KINDS)
    for question, measure in (("synthetic", "accuracy"), ("overall", "difference"), ("overall", "odds ratio")):
        row = one.of(question, measure, "crop-paste")
        assert row and row.low is None and row.low_these is not None
    agreement = one.of("overall", "alpha ordinal")
    assert agreement and agreement.value is None and "agreement between readers needs two" in agreement.reason


def test_several_generators_are_also_taken_together(answers: DataFrame) -> None:
    more = answers.copy()
    odd = more["image"].str.startswith("crop-paste") & more["slide"].str[-1].isin(list("13579"))
    more.loc[odd, "arm"] = "noise"
    row = analyse(more, kinds=KINDS).of("synthetic", "accuracy", POOLED)
    whole = analyse(answers, kinds=KINDS).of("synthetic", "accuracy", "crop-paste")
    assert row and whole and row.value == pytest.approx(whole.value)


def test_answers_that_are_all_one_value_are_no_agreement_and_no_model(answers: DataFrame) -> None:
    same = answers.assign(value=answers["value"].where(answers["question"] != "overall", 4.0))
    once = analyse(same, kinds=KINDS)
    for measure, arm in (("alpha ordinal", ""), ("odds ratio", "crop-paste"), ("difference", "crop-paste")):
        row = once.of("overall", measure, arm)
        assert row and row.low is None and row.reason, measure


def test_a_graded_question_has_an_area_under_the_curve(answers: DataFrame) -> None:
    graded = analyse(answers, kinds={**KINDS, "overall": Kind.GRADED})
    row = graded.of("overall", "AUC", "crop-paste")
    assert row and row.value and 0.5 < row.value < 1 and graded.of("overall", "mean", "real") is None


def test_an_ordered_question_of_a_study_that_discriminates_is_graded(tmp_path: Path) -> None:
    labels = {str(value): f"{value}" for value in range(1, 6)}
    asked = studies.Question.model_validate(
        {"id": "sure", "text": "?", "kind": "ordered", "labels": labels, "discriminates": True}
    )
    found = _question(asked)
    assert (found.kind, found.values) == (Kind.GRADED, tuple(labels))
    with pytest.raises(ValueError, match="only yes/no questions about the image have them"):
        studies.Question.model_validate({**asked.model_dump(), "regions": True})


def test_unknown_slides_give_values_without_intervals(answers: DataFrame, tmp_path: Path) -> None:
    unknown = answers.assign(slide="", arm=answers["arm"].replace("crop-paste", "ldm-prompt"))
    rows = [row for row in analyse(unknown, kinds=KINDS).rows if row.value is not None and not row.reader]
    assert {"accuracy", "odds ratio", "alpha ordinal", "seconds"} <= {row.measure for row in rows}
    assert all(row.low is None and row.low_these is None and "sources-unknown" in row.reason for row in rows)
    table = write_csv(unknown, tmp_path / "answers.csv")
    analysed(table, "--out", str(tmp_path / "out"), "--kind", "synthetic=real", "--run", f"ldm-prompt={RUN}")
    assert all("sources-unknown" in record.flags for record in schema.read([tmp_path / "out" / "results.jsonl"]))


def test_the_command_writes_tables_figure_paragraph_and_records(answers: DataFrame, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    renamed = answers.assign(arm=answers["arm"].replace("crop-paste", "ldm-prompt"))
    words = [
        write_csv(renamed, table),
        "--out",
        str(tmp_path / "out"),
        "--kind",
        "synthetic=real",
        "--run",
        f"ldm-prompt={RUN}",
    ]
    shown = json.loads(analysed(*words, "--json", "--margin", "0.5", "--margin-accuracy", "0.1", "--level", "0.9"))
    assert shown["level"] == 0.9 and shown["margins"] == {"score": 0.5, "accuracy": 0.1}
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("analysis.md", "analysis.json", "numbers.csv", "paragraph.txt", "figure.svg", "figure.png", "results.jsonl")
    }
    assert json.loads((out / "analysis.json").read_text()) == shown
    assert (
        "3 readers answered for 40 images (20 of real, 20 of ldm-prompt) from 20 slides" in (out / "paragraph.txt").read_text()
    )
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (out / "figure.svg").read_text()
    made = {(r.generator, r.measure): r for r in schema.read([out / "results.jsonl"])}
    ours = {measure for name, measure in made if name == "ldm-prompt"}
    assert ours == {"reader-accuracy", "reader-dprime", "reader-overall", "reader-hallucination"}
    assert {measure for name, measure in made if name == "real"} == {"reader-overall", "reader-hallucination"}
    (row,) = [r for r in analyse(renamed, kinds=KINDS).rows if r.measure == "accuracy" and not r.reader]
    record = made["ldm-prompt", "reader-accuracy"]
    assert (record.low, record.high, record.n, record.groups) == (row.low, row.high, 20, 20), "at 95 %, whatever the level"
    assert record.direction == "lower" and record.described["metric"]["options"]["readers"] == 3


def test_records_stand_beside_the_metrics_of_the_run(answers: DataFrame, tmp_path: Path) -> None:
    renamed = answers.assign(arm=answers["arm"].replace("crop-paste", "ldm-prompt"))
    table = write_csv(renamed, tmp_path / "answers.csv")
    analysed(table, "--out", str(tmp_path / "out"), "--kind", "synthetic=real", "--run", f"ldm-prompt={RUN}")
    (board,) = build.boards(reading.read_records([RUN, tmp_path / "out"]))
    rows = dict(board.rows)
    assert set(rows) == {"ldm-prompt", "real"}, "one row each: no variant of the generator"
    columns = set(rows["ldm-prompt"])
    assert {"reader-accuracy", "reader-dprime", "reader-overall"} < columns and any(c.startswith("fd ") for c in columns)
    assert board.others == 0, "no protocol set of its own"


def test_arms_of_a_study_are_compared_in_pairs_over_slides_and_readers(answers: DataFrame, tmp_path: Path) -> None:
    """`bench compare` gives the difference of both arms, with an error of slides and readers together."""
    other = answers[answers["arm"] != "real"].assign(arm="noise", image=lambda frame: frame["image"] + "-noise")
    scored = other["question"] == "overall"
    other.loc[scored, "value"] = (other.loc[scored, "value"] - (other.loc[scored, "reader"] == "r0") - 1).clip(1, 5)
    table = write_csv(concat([answers, other]), tmp_path / "answers.csv")
    runs = {}
    for arm in ("crop-paste", "noise"):
        runs[arm] = tmp_path / "runs" / arm / "results.jsonl"
        held = [
            replace(record, generator=arm) for record in schema.read(schema.files([RUN])) if record.generator == "ldm-prompt"
        ]
        schema.write(held[:1], runs[arm])
    named = [word for arm, file in runs.items() for word in ("--run", f"{arm}={file.parent}")]
    analysed(table, "--out", str(tmp_path / "out"), "--kind", "synthetic=real", *named)
    made = [record for record in schema.read([tmp_path / "out" / "results.jsonl"])]
    assert {len(record.replicates) for record in made} == {20 + 3}, "slides, and readers"
    done = bench(
        "compare", "crop-paste", "noise", "--results", tmp_path / "out", "-m", "reader-overall", "--json", home=tmp_path
    )
    (row,) = json.loads(done.stdout)["compared"]
    found = analyse(concat([answers, other]), kinds=KINDS)
    gap = [found.of("overall", "mean", arm).value for arm in ("crop-paste", "noise")]  # type: ignore[union-attr]
    assert row["difference"] == pytest.approx(gap[0] - gap[1]) and row["low"] < row["difference"] < row["high"]
    by_reader = [
        found.of("overall", "mean", "crop-paste", name).value - found.of("overall", "mean", "noise", name).value  # type: ignore
        for name in ("r0", "r1", "r2")
    ]
    assert (row["high"] - row["low"]) / 2 > t.ppf(0.975, 19) * np.std(by_reader, ddof=1) / 3**0.5
    assert "slides with 3 readers" in row["sentence"]


def test_another_study_is_another_protocol(answers: DataFrame, tmp_path: Path) -> None:
    protocols = []
    for name, frame in (("one", answers), ("two", answers[answers["slide"] != "s0"])):
        renamed = frame.assign(arm=frame["arm"].replace("crop-paste", "ldm-prompt"))
        table = write_csv(renamed, tmp_path / f"{name}.csv")
        analysed(table, "--out", str(tmp_path / name), "--kind", "synthetic=real", "--run", f"ldm-prompt={RUN}")
        protocols.append({r.protocol for r in schema.read([tmp_path / name / "results.jsonl"])})
    assert not protocols[0] & protocols[1]


def test_the_level_changes_what_is_printed(answers: DataFrame, tmp_path: Path) -> None:
    table = write_csv(answers, tmp_path / "answers.csv")
    first, level = (
        json.loads(analysed(table, "--out", str(tmp_path / "out"), "--json", *words)) for words in ((), ("--level", "0.8"))
    )

    def low(shown: dict[str, Any], measure: str) -> float:
        return next(row["low"] for row in shown["rows"] if (row["question"], row["measure"]) == ("overall", measure))

    assert all(low(level, measure) > low(first, measure) for measure in ("alpha ordinal", "difference"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame[frame["arm"] == "real"], "about one arm, real: a comparison needs two"),
        (lambda frame: frame.assign(arm=frame["arm"].replace("real", "noise")), "no arm 'real' to compare with"),
        (lambda frame: frame.drop(columns="slide"), "lacks the column slide"),
        (lambda frame: frame.iloc[:0], "has no answer"),
        (lambda frame: frame.assign(repeat=2), "repeat is 0 or 1"),
        (lambda frame: frame.assign(repeat=0), "has two answers to"),
        (lambda frame: frame.assign(value="perhaps"), "known are real or generated, yes or no, and whole numbers"),
        (lambda frame: frame.assign(image="same"), "is in two arms or of two slides"),
    ],
)
def test_tables_that_cannot_be_analysed_are_refused(answers: DataFrame, change: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        analyse(change(answers))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--margin", "-1"], UsageError, "above 0"),
        (["--level", "95"], UsageError, "between 0.5 and 1"),
        (["--kind", "synthetic=perhaps"], UsageError, "QUESTION=KIND"),
        (["--kind", "overal=scale"], UsageError, "no question 'overal'.*overall"),
        (["--kind", "overall=real"], UsageError, "not those of a question real"),
        (["--run", "crop-paste"], UsageError, "ARM=FOLDER"),
        (["--run", f"noise={RUN}"], UsageError, "no arm 'noise' of generated images"),
        (["--run", f"crop-paste={RUN}"], UsageError, "no records of the generator 'crop-paste'"),
    ],
)
def test_wrong_options_are_refused(
    answers: DataFrame, tmp_path: Path, options: list[str], error: type[BenchError], words: str
) -> None:
    table = write_csv(answers, tmp_path / "answers.csv")
    with pytest.raises(error, match=words):
        analysed(table, "--out", str(tmp_path / "out"), *options)
    assert not (tmp_path / "out").exists()


def test_names_of_readers_are_no_formulas_and_no_table(answers: DataFrame, tmp_path: Path) -> None:
    hostile = answers.assign(reader=answers["reader"].replace("r0", "=1+1|\n# title"))
    (tmp_path / "answers.jsonl").write_text(table_text(hostile))
    analysed(str(tmp_path / "answers.jsonl"), "--out", str(tmp_path / "out"), "--kind", "synthetic=real")
    assert "\n# title" not in (tmp_path / "out" / "analysis.md").read_text()
    lines = list(csv.DictReader((tmp_path / "out" / "numbers.csv").open()))
    assert {line["reader"] for line in lines if "title" in line["reader"]} and not any(
        line["reader"].startswith("=") for line in lines
    )


def test_the_folder_of_a_study_says_what_was_asked(answers: DataFrame, tmp_path: Path) -> None:
    asked = {
        "format": studies.STUDY_FORMAT,
        "name": "small",
        "made": "2026-01-01T00:00:00+00:00",
        "commitment": "0" * 64,
        "questionnaire": questionnaires.load("quality").model_dump(mode="json"),
        "arms": [
            {"name": name, "generator": generator, "seed": 0, "samples": SAMPLES, "images": 20}
            for name, generator in (("real", ""), ("crop-paste", "ldm-prompt"))
        ],
        "design": {
            **{"rule": "r", "conditions": "shared", "images_per_arm": 20, "repeats": 10, "practice": 0, "readers": 3},
            **{"size": 64, "mpp": None},
        },
        "power": {},
        "embedded": True,
    }
    study = {**asked, "id": studies.study_id(asked), "pages": {}}
    (tmp_path / studies.STUDY).write_text(json.dumps(study))
    same = [answers] + [answers[answers["question"] == "overall"].assign(question=name) for name in ("structure", "nuclei")]
    (tmp_path / "unblinded.jsonl").write_text("".join(map(table_text, same)))
    shown = json.loads(analysed(str(tmp_path), "--out", str(tmp_path / "out"), "--run", f"crop-paste={RUN}", "--json"))
    kinds = {question["name"]: (question["kind"], question["direction"]) for question in shown["questions"]}
    assert kinds["synthetic"] == ("real", "none") and kinds["hallucination"] == ("yes-no", "lower")
    assert kinds["structure"] == ("scale", "higher")
    made = list(schema.read([tmp_path / "out" / "results.jsonl"]))
    assert {r.generator for r in made} == {"ldm-prompt", "real"}, "the arm's generator, not its name"
    assert {r.described["metric"]["options"]["study"] for r in made} == {study["id"]}
    analysed(str(tmp_path), "--out", str(tmp_path / "looked-up"), "--results", str(RUN))
    found = list(schema.read([tmp_path / "looked-up" / "results.jsonl"]))
    control = replace(found[0], generator="real", keys={"method": "m"})
    schema.write([*schema.read(schema.files([RUN])), control], tmp_path / "more" / "results.jsonl")
    analysed(str(tmp_path), "--out", str(tmp_path / "beside"), "--results", str(tmp_path / "more"))
    of_real = [r for r in schema.read([tmp_path / "beside" / "results.jsonl"]) if r.generator == "real"]
    assert of_real and all(r.keys == {"method": "m"} for r in of_real), "in the row of the control"
    assert [(r.generator, r.measure, r.value, r.keys["samples"]) for r in found if r.generator != "real"] == [
        (r.generator, r.measure, r.value, SAMPLES) for r in made if r.generator != "real"
    ]


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    for place, error in (
        (tmp_path / "empty.csv", DamagedError),
        (tmp_path, MissingError),
        (tmp_path / "no.csv", MissingError),
    ):
        with pytest.raises(error, match="no table of answers"):
            analysed(str(place), "--out", str(tmp_path / "out"))
    assert isinstance(command, click.Command)

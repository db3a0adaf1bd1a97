"""Tables from records: a pure function, prompt sources apart, protocols apart, seeds together."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from click.testing import CliRunner

from bench import registry
from bench.errors import MissingError, UsageError
from bench.results import schema, tables
from bench.results.schema import ResultRecord
from bench.results.terms import Status
from leaderboards.cli.leaderboard import leaderboard
from leaderboards.tables import build, controls


def record(generator: str, value: float | None, seed: int = 0, **more: object) -> ResultRecord:
    base = ResultRecord(
        generator=generator,
        dataset="d",
        prompt_source="slide",
        task="t",
        measure="fd",
        encoder="e",
        direction="lower",
        protocol="p1",
        seed=seed,
        value=value,
        low=None if value is None else value - 1,
        high=None if value is None else value + 1,
        n=10,
        groups=5,
        stamp={"made": "2026-01-01"},
    )
    return replace(base, **more)  # type: ignore[arg-type]


def only(records: list[ResultRecord]) -> build.Board:
    (board,) = build.boards(records)
    return board


def test_rows_stand_in_the_order_of_their_rank() -> None:
    board = only([record("b", 2.0), record("c", 3.0), record("a", 1.0)])
    assert [name for name, _ in board.rows] == ["a", "b", "c"]


def test_order_of_records_changes_nothing() -> None:
    records = [record(g, float(v), s, measure=m) for g, v in (("a", 1), ("b", 2)) for s in (0, 1) for m in ("fd", "iou")]
    shown = build.as_text(only(records))
    random.Random(0).shuffle(records)
    assert build.as_text(only(records)) == shown


def test_prompt_sources_never_share_a_table_and_generators_without_prompts_stand_in_both() -> None:
    records = [
        record("a", 1.0, prompt_source="self"),
        record("a", 2.0, prompt_source="slide"),
        record("n", 9.0, prompt_source="none"),
    ]
    boards = build.boards(records)
    assert [b.prompt_source for b in boards] == ["self", "slide"]
    assert [[name for name, _ in b.rows] for b in boards] == [["a", "n"], ["a", "n"]]
    assert [b.rows[0][1]["fd e"].value for b in boards] == [1.0, 2.0]


def test_datasets_never_share_a_table() -> None:
    assert len(build.boards([record("a", 1.0), record("a", 1.0, dataset="other")])) == 2


def test_rarer_protocol_stands_in_a_table_of_its_own() -> None:
    usual, rare = build.boards([record("a", 5.0), record("b", 6.0), record("cheat", 0.1, protocol="p2")])
    assert [name for name, _ in usual.rows] == ["a", "b"] and [name for name, _ in rare.rows] == ["cheat"]
    assert rare.rows[0][1]["fd e"].value == 0.1 and "cheat" not in build.as_text(usual)
    assert "p2" in rare.difference and "p1" in rare.difference
    assert "1 other protocol set are in tables of their own" in build.as_text(usual)


MIXES = ("real", "synthetic", "real+synthetic")


def scored(classes: int, generator: str = "g", offset: float = 0.0) -> list[ResultRecord]:
    """Distances and downstream scores of one run on one folder, read with so many classes."""
    described = {"dataset": {"name": "d", "options": {"class_map": f"{classes}.toml"}}, "task": {"name": "t"}}
    more = {"described": described, "keys": {"test": f"test-{classes}"}, "stamp": {"made": f"2026-01-0{classes}"}}
    made = [record(generator, classes + offset, encoder=e, protocol=f"{e}-{classes}", **more) for e in "ef"]
    for place, mix in enumerate(MIXES):
        # the order of the keys differs from column to column, so that no choice by column alone finds one run
        protocol = f"{(classes * (place + 1)) % 5}-{mix}-{classes}"
        score = {"measure": "iou", "encoder": "", "mix": mix, "direction": "higher", "low": 0.0, "high": 1.0}
        made.append(record(generator, (classes + offset) / 10, protocol=protocol, **{**more, **score}))
    return made


def test_one_folder_scored_with_two_class_maps_gives_two_tables(tmp_path: Path) -> None:
    """The row of `bench compare` refuses this pair; the table gave `both` of one run beside `real` of the other."""
    folder = written(tmp_path, [*scored(4), *scored(2), *scored(4, "h", 0.5), *scored(2, "h", 0.5)])
    done = CliRunner().invoke(leaderboard, ["--results", str(folder), "--json"])
    found = [json.loads(text) for text in done.output.splitlines()]
    for number in (1, 2):
        own = [one for one in found if one["protocol_set"] == number and one["generator"] == "g"]
        values = {one["measure"]: one["value"] for one in own if one["measure"] != "mean rank fd"}
        assert len(values) == 5 and len({round(v * (10 if "iou" in m else 1)) for m, v in values.items()}) == 1, values
        assert sum(one["measure"] == "mean rank fd" for one in found if one["protocol_set"] == number) == 2
    message = CliRunner().invoke(leaderboard, ["--results", str(folder)]).output
    assert (
        "dataset.options.class_map: 2.toml and 4.toml" in message or "dataset.options.class_map: 4.toml and 2.toml" in message
    )
    assert "protocol set 1" in message and "protocol set 2" in message


def test_options_of_a_task_never_mix_within_a_row() -> None:
    """The test patches are the same, and only some training mixes were measured with both options."""

    def made(steps: int, mixes: tuple[str, ...], value: float, hour: int) -> list[ResultRecord]:
        held = {"described": {"task": {"name": "t", "options": {"steps": steps}}}, "stamp": {"made": f"2026-01-01T{hour}"}}
        score = {"measure": "iou", "encoder": "", "direction": "higher", "keys": {"test": "k"}}
        return [record("g", value, mix=mix, protocol=f"{mix}-{steps}", **{**held, **score}) for mix in mixes]

    boards = build.boards([*made(100, MIXES[:2], 1.0, 10), *made(200, MIXES[1:], 2.0, 11)])
    rows = [{column: cell.value for column, cell in board.rows[0][1].items()} for board in boards]
    assert {"iou real": 1.0, "iou synthetic": 1.0} in rows and {"iou synthetic": 2.0, "iou real+synthetic": 2.0} in rows
    assert len(rows) == 2
    assert "task.options.steps" in boards[1].difference


def test_what_two_sets_share_stands_in_the_first_table_alone() -> None:
    """A metric with other options opens a table for its own numbers; the distance that both runs share is ranked once."""
    made = [record(g, v, stamp={"made": g}) for g, v in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    made += [
        record(g, 0.1, measure="kid", protocol=f"k{size}", stamp={"made": g}) for g, size in (("a", 50), ("b", 50), ("c", 9))
    ]
    usual, rare = build.boards(made)
    assert [name for name, _ in usual.rows] == ["a", "b", "c"] and [name for name, _ in rare.rows] == ["c"]
    assert list(rare.rows[0][1]) == ["kid e"] and "kid e" not in dict(usual.rows)["c"]


def test_a_number_that_is_missing_stays_in_its_row() -> None:
    """Where weights are missing the protocol of the encoder is not known: the reason is shown, and no table made for it."""
    skipped = record("a", None, encoder="f", status="skipped", reason="no weights", protocol="unknown")
    board = only([record("a", 1.0), record("b", 2.0), record("b", 3.0, encoder="f", protocol="f"), skipped])
    assert dict(board.rows)["a"]["fd f"].reason == "no weights"


def test_weights_of_one_training_config_are_distinguished() -> None:
    made = [record("a", v, keys={"weights": w}) for v, w in ((1.0, "first"), (3.0, "second"))]
    assert [name for name, _ in only(made).rows] == ["a (weights=first)", "a (weights=second)"]


def test_seeds_are_combined_and_widen_the_interval() -> None:
    cell = only([record("a", v, s) for s, v in enumerate((1.0, 2.0, 3.0))]).rows[0][1]["fd e"]
    assert cell.value == pytest.approx(2.0) and cell.seeds == 3
    assert cell.low < 1.0 and cell.high > 3.0


def test_interval_is_cut_to_what_the_measure_can_be() -> None:
    cell = only([record("a", 0.5, least=0.0, most=1.0)]).rows[0][1]["fd e"]
    assert (cell.low, cell.high) == (0.0, 1.0)


def test_reasons_and_conflicts_are_stated() -> None:
    records = [
        record("a", None, status="skipped", reason="no weights"),
        record("b", 1.0, flags=("encoder-conflict", "embedded")),
    ]
    shown = build.as_text(only(records))
    assert "skipped(no weights)" in shown and "1.000* [0, 2.000]" in shown
    assert "not an independent encoder" in shown and "embedded phantom tissue" in shown


def test_an_encoder_that_conditioned_the_generator_does_not_rank_it() -> None:
    records = [record("knew", 0.1, flags=("encoder-conflict",)), record("knew", 9.0, encoder="other")]
    records += [record("fair", 1.0), record("fair", 8.0, encoder="other")]
    assert [name for name, _ in only(records).rows] == ["fair", "knew"]


@pytest.mark.parametrize("value", [0.0, 0.0123456, 1.5, 123.456, 98765.4])
def test_numbers_have_four_digits_and_no_exponent(value: float) -> None:
    shown = tables.number(value)
    assert "e" not in shown
    assert float(shown) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(("value", "shown"), [(-1e-15, "0"), (4.9e-7, "0"), (3e-6, "0.000003")])
def test_what_is_less_than_six_places_is_nothing(value: float, shown: str) -> None:
    assert tables.number(value) == shown


def test_what_differs_between_protocols_is_stated() -> None:
    described = {"metric": {"options": {"k": 3}}}
    records = [record("a", 5.0, described=described), record("b", 6.0, described=described)]
    other = record("cheat", 0.1, protocol="p2", described={"metric": {"options": {"k": 5}}})
    assert "metric.options.k: 5 and 3" in build.boards([*records, other])[1].difference


def test_reported_records_are_never_ranked() -> None:
    board = only([record("a", 2.0), record("b", 3.0), record("paper", 0.1, state="reported")])
    assert [name for name, _ in board.rows] == ["a", "b"]


def test_options_of_one_generator_are_distinguished() -> None:
    def settings(steps: int) -> dict[str, object]:
        return {"generator": {"name": "a", "digest": f"d{steps}", "options": {"steps": steps, "eta": 0}}}

    board = only([record("a", 1.0, described=settings(5)), record("a", 3.0, described=settings(9)), record("b", 2.0)])
    assert [name for name, _ in board.rows] == ["a (steps=5)", "b", "a (steps=9)"]


REPLICATES = tuple(float(x) for x in range(10))


def shifted(by: float, spread: float = 0.0) -> tuple[float, ...]:
    return tuple(unshuffle + by + spread * (i % 3) for i, unshuffle in enumerate(REPLICATES))


def test_ties_are_by_pairs_where_replicates_exist() -> None:
    """The intervals overlap widely; what both share cancels in the pair."""
    made = [
        record("a", 5.0, replicates=shifted(0)),
        record("b", 5.5, replicates=shifted(0.5, 0.01)),
        record("c", 5.51, replicates=shifted(0, 1.0)),
    ]
    wide = [replace(one, groups=10, low=0.0, high=99.0) for one in made]
    assert only(wide).order["fd e"] == "a, b = c"


def test_ties_are_by_intervals_where_there_are_no_replicates() -> None:
    made = [record("a", 1.0), record("b", 2.5), record("c", 9.0), record("d", 10.0, low=None, high=None)]
    board = only(made)
    assert board.order["fd e"] == "a ≈ b, c ? d"
    message = build.as_text(board)
    assert "fd e: a ≈ b, c ? d." in message and "intervals overlap" in message and "without intervals" in message


def test_the_best_is_the_highest_where_higher_is_better() -> None:
    made = [record("a", 0.1, direction="higher"), record("b", 9.0, direction="higher")]
    assert only(made).order["fd e"] == "b, a"


def test_states_are_stated() -> None:
    assert "a: verified." in build.as_text(only([record("a", 1.0, state="verified"), record("b", 2.0)]))


def written(tmp_path: Path, records: list[ResultRecord]) -> Path:
    schema.write(records, tmp_path / "run" / "results.jsonl")
    return tmp_path


def test_command_prints_each_format(tmp_path: Path) -> None:
    folder = written(tmp_path, [record("a|x", 1.0), record("b", 2.0, measure="iou", direction="higher")])
    call = lambda *words: CliRunner().invoke(leaderboard, ["--results", str(folder), *words])  # noqa: E731
    assert "fd e ↓" in call().output and "iou e ↑" in call().output
    assert "| a\\|x |" in call("--format", "markdown").output
    assert call("--format", "csv").output.splitlines()[0].startswith("task,dataset,board,generator")
    objects = [json.loads(text) for text in call("--json").output.splitlines()]
    assert {o["measure"] for o in objects} == {"fd e", "iou e"}
    assert "iou" not in call("--measures", "fd").output
    assert r"\begin{tabular}" in call("--format", "latex").output
    assert "<caption>" in call("--format", "html").output
    assert call("--format", "json").output == call("--json").output


def test_latex_has_a_table_for_each_metric_and_marks_generators_not_controls(tmp_path: Path) -> None:
    close, far = {"low": 1.9, "high": 2.9}, {"low": 8.0, "high": 9.0}
    records = [record("real", 0.1), record("a", 2.0, low=1.5, high=2.5), record("b", 2.4, **close), record("c", 8.5, **far)]
    records += [record("a", 0.5, measure="iou", direction="higher"), record("c", 0.9, measure="iou", direction="higher")]
    text = CliRunner().invoke(leaderboard, ["--results", str(written(tmp_path, records)), "--format", "latex"]).output
    distances, overlaps = text.split(r"\begin{table}")[1:]
    assert ": fd}" in distances and ": iou}" in overlaps and "iou" not in distances
    marked = {line.partition(" &")[0]: line for line in distances.splitlines() if line.endswith(r"\\")}
    assert r"\bfseries 2.000" in marked["a"] and "$^{=}$" in marked["b"]
    assert all(sign not in marked[name] for name in ("real", "c") for sign in (r"\bfseries", "$^{=}$"))
    assert "Bold: the best generator that is no control." in distances and r"\bfseries 0.9" in overlaps


def test_controls_of_tables_are_those_that_are_registered() -> None:
    values = {name: registry.entry("generators", name).value for name in registry.names("generators")}
    found = {name for name, value in values.items() if value.startswith(("generators.controls:", "generators.corruptions."))}
    assert found == controls.CONTROLS and controls.is_control("blur (sigma=2)") and not controls.is_control("blurred")


def test_metric_class_encoder_and_mix_are_columns_of_their_own(tmp_path: Path) -> None:
    records = [record("a", 1.0), record("a", 0.5, measure="iou:tumour", encoder="", mix="real", direction="higher")]
    words = ["--results", str(written(tmp_path, records)), "--format", "csv", "--measures", "fd,iou:tumour"]
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(leaderboard, words).output)))
    assert {tuple(row[name] for name in ("measure", "metric", "class", "encoder", "mix")) for row in rows} == {
        ("fd e", "fd", "", "e", ""),
        ("iou:tumour real", "iou", "tumour", "", "real"),
    }


def test_command_answers_wrong_names_and_empty_folders(tmp_path: Path) -> None:
    folder = written(tmp_path, [record("a", 1.0)])
    wrong = CliRunner().invoke(leaderboard, ["u", "--results", str(folder)])
    assert "no results of a task 'u'" in str(wrong.exception)
    wrong = CliRunner().invoke(leaderboard, ["--measures", "fid", "--results", str(folder)])
    assert "Did you mean 'fd'" in str(wrong.exception)
    (tmp_path / "empty").mkdir()
    wrong = CliRunner().invoke(leaderboard, ["--results", str(tmp_path / "empty")])
    assert "bench run" in str(wrong.exception)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    records = [record("a", 1.0, flags=("embedded",)), record("b", None, status="error", reason="why")]
    schema.write(records, tmp_path / "lines.jsonl")
    assert list(schema.read([tmp_path / "lines.jsonl"])) == records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: "{", "not JSON"),
        (lambda held: {**held, "schema": 99}, "schema 1: found 99"),
        (lambda held: {**held, "replicates": 3}, "replicates is a list, not 3"),
        (lambda held: {**held, "extra": 1}, "extra"),
        (lambda held: {k: v for k, v in held.items() if k != "protocol"}, "protocol"),
        (lambda held: {**held, "status": "fine"}, "status 'fine'"),
        (lambda held: {**held, "value": None}, "exactly when its status is ok"),
    ],
)
def test_broken_lines_are_named_with_file_and_number(tmp_path: Path, change, message: str) -> None:
    good = schema.to_json(record("a", 1.0))
    changed = change(json.loads(good))
    (tmp_path / "l.jsonl").write_text(f"{good}\n{changed if isinstance(changed, str) else json.dumps(changed)}\n")
    with pytest.raises(MissingError, match="l.jsonl:2") as caught:
        list(schema.read([tmp_path / "l.jsonl"]))
    assert message in str(caught.value)


def test_columns_of_nothing_but_skipped_cells_are_collapsed_for_people_and_kept_for_machines(tmp_path: Path) -> None:
    absent = {"status": Status.SKIPPED, "encoder": "uni", "protocol": "u", "reason": "missing: no file."}
    records = [record("a", 1.0), record("b", 2.0), *(record(name, None, **absent) for name in "ab")]
    schema.write(records, tmp_path / "r.jsonl")

    def shown(*words: str) -> str:
        return CliRunner().invoke(leaderboard, ["--results", str(tmp_path), *words]).output

    for style in ("text", "markdown", "latex", "html"):
        text = shown("--format", style)
        assert "skipped(missing)" in text and "bench run -g NAME -t t -e uni --weights DIR" in text, style
        assert text.replace("siunitx", "").count("uni") == 2, text  # in the note alone
    assert "fd uni" in shown("--format", "csv") and "fd uni" in shown("--json")


def test_binary_formats_ask_for_a_file(tmp_path: Path) -> None:
    schema.write([record("a", 1.0), record("b", 2.0)], tmp_path / "r.jsonl")
    words = ["--results", str(tmp_path), "--format", "parquet"]
    refused = CliRunner().invoke(leaderboard, words)
    assert isinstance(refused.exception, UsageError) and "--out FILE.parquet" in str(refused.exception)
    done = CliRunner().invoke(leaderboard, [*words, "--out", str(tmp_path / "t.parquet")])
    assert done.exit_code == 0 and done.output.strip() == str(tmp_path / "t.parquet")
    table = pandas.read_parquet(tmp_path / "t.parquet")
    assert table[table["measure"].str.startswith("fd")]["value"].tolist() == [1.0, 2.0]
    assert set(table["encoder"].dropna()) == {"e"}

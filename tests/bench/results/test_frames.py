"""Records as a frame: a row each, typed; what is no record is named with its line, whatever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_

import bench
from bench.errors import BenchError, MissingError
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.results.terms import State, Status
from leaderboards.tables import reading
from tests.leaderboards import runs

FLAWED = ResultRecord(
    "g", "d", "slide", "t", "iou:tumour", "higher", "p", Status.SKIPPED, "missing: no weights", mix="real", flags=("embedded",)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = runs.run(seeds=2)
    schema.write(
        [replace(made[0], described={**made[0].described, "experiment": {"name": "x"}}), *made[1:]], tmp_path / "a.jsonl"
    )
    schema.write([FLAWED], tmp_path / "b" / "c.jsonl")
    return tmp_path


def test_a_row_a_record_with_types(folder: Path) -> None:
    table = bench.load_results(folder)
    written = [*schema.read([folder / "a.jsonl"]), FLAWED]
    assert len(table) == len(written) == 7
    assert table["value"].tolist()[:-1] == [record.value for record in written[:-1]]  # the same bits
    assert table["replicates"].tolist() == [record.replicates for record in written]
    last = table.iloc[-1]
    assert (last["metric"], last["class"], last["mix"], last["status"]) == ("iou", "tumour", "real", "skipped")
    assert pandas.isna(last["value"]) and pandas.isna(last["encoder"]) and last["flags"] == ("embedded",)
    assert last["embedded"] and not last["encoder_conflict"] and last["line"] == 1 and last["file"].endswith("c.jsonl")
    assert table["experiment"].tolist()[0] == "x" and table["experiment"].isna().sum() == 6
    assert json.loads(table["described.generator.options"].iloc[0]) == {"steps": 12}
    kinds = {name: str(table[name].dtype) for name in ("value", "seed", "encoder", "status", "embedded", "made")}
    assert kinds["made"].startswith("datetime64") and kinds["made"].endswith("UTC]")
    assert {**kinds, "made": ""} == {
        **{"value": "float64", "seed": "int64", "encoder": "string", "status": "category"},
        **{"embedded": "bool", "made": ""},
    }
    assert table["state"].max() == "measured" and table["state"].cat.categories.tolist() == list(State)


def test_means_by_metric_and_encoder_need_one_line(folder: Path) -> None:
    means = bench.load_results([str(folder / "a.jsonl")]).groupby(["metric", "encoder"], observed=True)["value"].mean()
    assert set(means.index) == {("precision", "conv"), ("fd", "conv")}


def test_records_that_verify_confirmed_stand_for_those_of_the_run(folder: Path) -> None:
    schema.write([FLAWED], folder / "run" / "results.jsonl")
    schema.write([replace(FLAWED, state=State.VERIFIED)], folder / "run" / "verified.jsonl")
    assert bench.load_results(folder / "run")["state"].tolist() == ["verified"]


def test_what_cannot_be_read_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="bench run"):
        bench.load_results(tmp_path)
    (tmp_path / "bad.jsonl").write_text(schema.to_json(FLAWED) + "\n" + schema.to_json(replace(FLAWED, n="many")))  # type: ignore[arg-type]
    with pytest.raises(MissingError, match=r"bad.jsonl:2: n is a whole number from 0 to"):
        bench.load_results(tmp_path)


def test_bench_is_imported_without_pandas() -> None:
    code = "import bench, sys; assert not {'pandas', 'torch', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


CHECKED = ("options", "name", "version", "digest", "unit", "population")
TEXT = any_.text(any_.characters(exclude_categories=["Cs"]), max_size=12)
FINITE = any_.floats(allow_nan=False, allow_infinity=False)
JSON = any_.recursive(
    any_.none() | any_.booleans() | any_.integers(-(2**60), 2**60) | FINITE | TEXT,
    lambda inner: any_.lists(inner, max_size=3) | any_.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ENTRY = any_.dictionaries(TEXT.filter(lambda name: name not in CHECKED), JSON, max_size=3)
RECORDS = any_.builds(
    ResultRecord,
    **{name: TEXT for name in ("generator", "dataset", "prompt_source", "task", "measure", "protocol", "reason", "mix")},
    direction=any_.sampled_from(["lower", "higher", "none"]),
    state=any_.sampled_from(State),
    value=FINITE,
    low=any_.none() | FINITE,
    seed=any_.integers(0, 2**40),
    flags=any_.lists(TEXT, max_size=2).map(tuple),
    replicates=any_.lists(FINITE, max_size=3).map(tuple),
    described=any_.dictionaries(TEXT, ENTRY, max_size=3),
    keys=any_.dictionaries(TEXT, TEXT, max_size=2),
)
ANYWHERE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANYWHERE
@given(found=any_.lists(RECORDS, min_size=1, max_size=3), escaped=any_.booleans())
def test_every_record_comes_back_as_it_was_written(found: list[ResultRecord], escaped: bool, tmp_path: Path) -> None:
    """Also where another program wrote it, which leaves letters unescaped that some take for ends of lines."""
    path = tmp_path / "any.jsonl"
    text = "".join(json.dumps(asdict(record), ensure_ascii=escaped) + "\n" for record in found)
    path.write_text(text, encoding="utf-8", newline="")
    assert list(schema.read([path])) == found
    table = bench.load_results(path)
    assert table["value"].tolist() == [record.value for record in found]
    assert table["generator"].fillna("").tolist() == [record.generator for record in found]


@ANYWHERE
@given(field=any_.sampled_from([field.name for field in fields(ResultRecord)]), value=JSON)
def test_no_value_of_any_field_ends_as_an_internal_error(field: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "any.jsonl").write_text(json.dumps({**asdict(FLAWED), field: value}), encoding="utf-8")
    for read in (lambda: reading.read_records([tmp_path]), lambda: bench.load_results(tmp_path)):
        try:
            read()
        except BenchError as error:
            assert "any.jsonl" in str(error)


@ANYWHERE
@given(held=any_.binary(max_size=40))
def test_no_file_ends_as_an_internal_error(held: bytes, tmp_path: Path) -> None:
    (tmp_path / "any.jsonl").write_bytes(held)
    try:
        list(schema.read([tmp_path / "any.jsonl"]))
    except MissingError as error:
        assert "any.jsonl" in str(error)

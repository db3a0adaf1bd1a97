"""Records from strangers: what is no record is named by file and line, by every command in the same way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as any_

import bench as package
from bench.errors import BenchError, DamagedError
from bench.results import schema
from leaderboards.tables import reading
from tests.hostile import FUZZ, NOT_FILES, damage, put, within
from tests.leaderboards import runs
from tests.small_run import bench

RECORD = runs.run(seeds=1)[0]
LINE = schema.to_json(RECORD)
HELD: dict[str, Any] = json.loads(LINE)


def changed(**values: Any) -> str:
    return json.dumps({**HELD, **values})


def described(**values: Any) -> str:
    return changed(described={**HELD["described"], **values})


DEEP = 100_000
BAD: dict[str, tuple[bytes, str]] = {
    "binary": (b"\x00\x01\xff\xfe\x80", "UTF-8"),
    "latin-1": (LINE.replace('"ldm"', '"Münch"').encode("latin-1"), "UTF-8"),
    "utf-16": (LINE.encode("utf-16"), "UTF-8"),
    "cut": (LINE[:-20].encode(), "is not JSON"),
    "no object": (b"[1, 2]", "found list"),
    "two records": (f"{LINE} {LINE}".encode(), "is not JSON"),
    "NaN": (changed(value=float("nan")).encode(), "NaN is no number of JSON"),
    "Infinity": (changed(value=float("inf")).encode(), "Infinity is no number of JSON"),
    "1e400": (changed(value=12345.5).replace("12345.5", "1e400").encode(), "value is a finite number"),
    "beyond a float": (changed().replace('"least": null', '"least": -1e400').encode(), "least is a finite number"),
    "400 digits": (changed(value=10**400).encode(), "value is a finite number or null, not a number of more than"),
    "5,000 digits": (changed(n=1).replace('"n": 1', '"n": ' + "1" * 5000).encode(), "is not JSON"),
    "n of 1e30": (changed(n=1e30).encode(), "n is a whole number"),
    "n of 10^30": (changed(n=10**30).encode(), "n is a whole number"),
    "negative n": (changed(n=-1).encode(), "n is a whole number from 0"),
    "negative seed": (changed(seed=-1).encode(), "seed is a whole number from 0"),
    "n a text": (changed(n="640").encode(), "n is a whole number"),
    "n true": (changed(n=True).encode(), "n is a whole number"),
    "value a text": (changed(value="0.5").encode(), "value is a finite number"),
    "value true": (changed(value=True).encode(), "value is a finite number"),
    "generator a list": (changed(generator=["g"]).encode(), "generator is a text"),
    "measure missing": (json.dumps({k: v for k, v in HELD.items() if k != "measure"}).encode(), "missing fields 'measure'"),
    "unknown field": (changed(worth=1).encode(), "unknown or missing fields 'worth'"),
    "status unknown": (changed(status="fine").encode(), "status 'fine'; known are ok"),
    "status a list": (changed(status=["ok"]).encode(), r"status \['ok'\]"),
    "state unknown": (changed(state="signed").encode(), "state 'signed'"),
    "direction": (changed(direction="up").encode(), "direction 'up'"),
    "no value and ok": (changed(value=None).encode(), "exactly when its status is ok"),
    "replicates a number": (changed(replicates=1).encode(), "replicates is a list"),
    "replicates of texts": (changed(replicates=["1"] * 20).encode(), "replicates is a list of finite numbers"),
    "replicates of 1e400": (
        changed(replicates=[1.5]).replace("[1.5]", "[1.5, 1e400]").encode(),
        "replicates is a list of finite",
    ),
    "100,000 replicates": (changed(replicates=[0.5] * 100_000).encode(), "replicates has 100000 numbers"),
    "flags a text": (changed(flags="embedded").encode(), "flags is a list"),
    "keys of numbers": (changed(keys={"test": 1}).encode(), "keys is an object of texts"),
    "stamp a list": (changed(stamp=[]).encode(), "stamp is an object of texts"),
    "fit without origin": (changed(fit={"seed": "1"}).encode(), "fit.origin None"),
    "described a text": (changed(described="x").encode(), "described is an object"),
    "described of numbers": (described(generator=7).encode(), "described.generator is an object"),
    "options a list": (described(generator={"options": [1]}).encode(), "described.generator.options is an object"),
    "name a number": (described(generator={"name": 1}).encode(), "described.generator.name is a text"),
    "described beyond a float": (changed().replace('"steps": 12', '"steps": 1e400').encode(), "not finite"),
    "deep lists": (changed(described={}).replace("{}", '{"a": ' + "[" * DEEP + "]" * DEEP + "}", 1).encode(), "levels"),
    "deep objects": (changed(described={}).replace("{}", '{"a":' * DEEP + "1" + "}" * DEEP, 1).encode(), "levels"),
    "100 levels": (changed(described={}).replace("{}", '{"a":' * 100 + "{}" + "}" * 100, 1).encode(), "40 levels"),
    "half a pair": (LINE.replace('"ldm"', '"\\ud800"').encode(), "half of a surrogate pair"),
    "half a pair inside": (LINE.replace('"steps": 12', '"steps": "\\udfff"').encode(), "half of a surrogate pair"),
    "twice": (LINE.replace('"generator"', '"generator": "x", "generator"', 1).encode(), "'generator' occurs twice"),
    "twice inside": (LINE.replace('"steps": 12', '"steps": 12, "steps": 13').encode(), "'steps' occurs twice"),
    "twice, escaped": (LINE.replace('"steps": 12', '"steps": "\\u003a", "steps": 13').encode(), "'steps' occurs twice"),
    "twice, spaced": (LINE.replace('"seed": 0', '"seed" : 1, "seed"\t: 0').encode(), "'seed' occurs twice"),
    "another schema": (changed(schema=2).encode(), "schema 1: found 2"),
    "schema true": (changed(schema=True).encode(), "schema 1: found True"),
    "no schema": (json.dumps({k: v for k, v in HELD.items() if k != "schema"}).encode(), "schema 1: found None"),
    "20 MB": (b'{"generator": "' + b"x" * 20_000_000 + b'"}', "line of more than"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_record_is_named_by_file_and_line(kind: str, tmp_path: Path) -> None:
    line, message = BAD[kind]
    (tmp_path / "r.jsonl").write_bytes(LINE.encode() + b"\n\n" + line + b"\n" + LINE.encode())
    for read in (lambda: list(schema.read([tmp_path / "r.jsonl"])), lambda: package.load_results(tmp_path)):
        with within(10), pytest.raises(DamagedError, match=message) as text:
            read()
        assert f"{tmp_path / 'r.jsonl'}:3" in str(text.value) and len(str(text.value)) < 600 and text.value.exit_code == 3
        assert str(text.value).isprintable()


GOOD = {
    "byte order mark": b"\xef\xbb\xbf" + LINE.encode(),
    "CRLF": LINE.encode() + b"\r\n" + schema.to_json(replace(RECORD, seed=1)).encode() + b"\r\n",
    "blank lines": b"\n \n" + LINE.encode() + b"\n\t\n",
    "U+2028": json.dumps({**HELD, "source": "one\u2028two\u0085three"}, ensure_ascii=False).encode(),
    "spaces before colons": LINE.replace('":', '" :').encode(),
    "names in texts": changed(reason='{"a": 1, "a": 2}').encode(),
    "escaped": changed(source="Münch \U0001f600").encode(),
    "whole numbers": changed(value=1, least=0, replicates=[1, 2.5]).encode(),
    "large, and no nonsense": changed(seed=2**53).encode(),
    "no end of line": LINE.encode(),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_a_record_is_read_however_it_is_written(kind: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(GOOD[kind])
    found = list(schema.read([tmp_path / "r.jsonl"]))
    assert found[0].generator == "ldm" and type(found[0].value) is float and all(type(r) is float for r in found[0].replicates)
    assert reading.read_records([tmp_path])[0].protocol == RECORD.protocol


def test_equal_parts_of_records_are_kept_once(tmp_path: Path) -> None:
    schema.write(runs.run(), tmp_path / "r.jsonl")
    found = list(schema.read([tmp_path / "r.jsonl"]))
    assert found == runs.run()
    assert (
        len({id(record.described["generator"]) for record in found}) == 1 and len({id(record.stamp) for record in found}) == 1
    )


VERBS: dict[str, tuple[str, ...]] = {
    "leaderboard": ("leaderboard", "--results", "DIR"),
    "compare": ("compare", "DIR", "GOOD"),
    "gate": ("gate", "--baseline", "GOOD", "--candidate", "DIR"),
    "gate, baseline": ("gate", "--baseline", "DIR", "--candidate", "GOOD"),
    "gate accept": ("gate", "accept", "--baseline", "NEW", "--candidate", "DIR", "--reason", "x"),
    "merge": ("merge", "DIR", "--out", "NEW"),
    "report": ("report", "DIR", "--out", "PAGE", "--patches", "0"),
    "export samples": ("export", "samples", "DIR", "--out", "PAGE"),
}


def ask(verb: str, folder: Path, tmp_path: Path) -> Any:
    schema.write(runs.run(), tmp_path / "good.jsonl")
    places = {"DIR": folder, "GOOD": tmp_path / "good.jsonl", "NEW": tmp_path / "new.jsonl", "PAGE": tmp_path / "page"}
    with within():
        return bench(*(places.get(word, word) for word in VERBS[verb]), home=tmp_path / "home")


@pytest.mark.parametrize("kind", ["latin-1", "NaN", "n of 1e30", "deep lists", "half a pair", "twice"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_command_refuses_a_bad_line_alike(verb: str, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "results.jsonl").write_bytes(LINE.encode() + b"\n" + BAD[kind][0] + b"\n")
    done = ask(verb, folder, tmp_path)
    assert done.exit_code == 3, done.output
    assert f"{folder / 'results.jsonl'}:2" in done.stderr and not done.stdout
    assert not (tmp_path / "new.jsonl").exists() and not (tmp_path / "page").exists()


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_command_names_what_is_no_file_and_waits_for_nothing(verb: str, kind: str, tmp_path: Path) -> None:
    put(kind, tmp_path / "run" / "results.jsonl")
    done = ask(verb, tmp_path / "run", tmp_path)
    assert done.exit_code == 3 and "results.jsonl" in done.stderr, done.output


VALUES = any_.recursive(
    any_.none() | any_.booleans() | any_.integers() | any_.floats() | any_.text(max_size=8),
    lambda inner: any_.lists(inner, max_size=3) | any_.dictionaries(any_.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@FUZZ
@given(fields=any_.dictionaries(any_.sampled_from(sorted(HELD)), VALUES, min_size=1, max_size=3))
def test_no_value_in_any_field_is_more_than_a_refusal(
    fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "r.jsonl").write_text("\n".join([*map(schema.to_json, runs.run(seeds=2)), changed(**fields)]), encoding="utf-8")
    for verb in ("leaderboard", "compare", "gate"):
        with within(10):
            done = ask(verb, folder, folder.parent / f"{folder.name}-out")
        assert done.exit_code in (0, 2, 3, 4, 5, 6, 7), done.output


@FUZZ
@given(
    places=any_.lists(any_.tuples(any_.integers(0, 10**6), any_.integers(0, 255)), max_size=4),
    cut=any_.none() | any_.integers(0),
)
def test_no_bytes_are_more_than_a_refusal(
    places: list[tuple[int, int]], cut: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = "".join(schema.to_json(record) + "\n" for record in runs.run(seeds=1)).encode()
    (folder / "r.jsonl").write_bytes(damage(whole, places, cut))
    for read in (lambda: reading.read_records([folder]), lambda: package.load_results(folder)):
        try:
            with within(10):
                read()
        except BenchError as error:
            assert error.exit_code in (3, 7)

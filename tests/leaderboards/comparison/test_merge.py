"""`bench merge`: each number once, none in place of another without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.provenance.digests import digest_of
from bench.results import schema
from bench.results.schema import ResultRecord
from tests.small_run import WORDS, bench, run

DESCRIBED = {"generator": {"name": "g", "version": "1", "options": {"steps": 5}}}
LINE = ResultRecord(
    "g", "d", "none", "t", "fd", "lower", "p", encoder="e", value=2.0, low=1.0, high=3.0, n=10, n_real=10, groups=5,
    replicates=(1.5, 2.5), described=DESCRIBED, keys={"weights": "w"}, stamp={"made": "2026-01-02", "machine": "one"},
)  # fmt: skip


def merged(tmp_path: Path, *sets: list[ResultRecord], words: tuple[str, ...] = ()) -> tuple[int, list[ResultRecord], str]:
    """Exit code, merged lines and what was stated, of one file a set."""
    files = [tmp_path / f"{name}.jsonl" for name, _ in zip("abcde", sets, strict=False)]
    for file, lines in zip(files, sets, strict=True):
        schema.write(lines, file)
    out = tmp_path / "out" / "lines.jsonl"
    done = bench("merge", *files, "--out", out, *words, home=tmp_path)
    return done.exit_code, list(schema.read([out])) if out.exists() else [], done.stderr


def test_lines_of_different_numbers_all_stay(tmp_path: Path) -> None:
    other = replace(LINE, seed=1)
    assert merged(tmp_path, [LINE], [other])[:2] == (0, [LINE, other])


def test_equal_numbers_stand_once_with_the_first_stamp_in_any_order(tmp_path: Path) -> None:
    later = replace(LINE, stamp={"made": "2026-02-01", "machine": "two"})
    assert merged(tmp_path, [later], [LINE])[1] == merged(tmp_path, [LINE], [later])[1] == [LINE]


def test_the_furthest_state_of_an_equal_number_stays(tmp_path: Path) -> None:
    later = replace(LINE, stamp={"made": "2026-02-01"}, state="verified")
    assert merged(tmp_path, [LINE], [later])[1] == merged(tmp_path, [later], [LINE])[1] == [later]


@pytest.mark.parametrize(
    "change",
    [{"value": 2.01}, {"low": 0.9}, {"high": None}, {"replicates": (1.5, 2.4)}, {"replicates": ()}, {"n": 11, "n_real": 11}],
)
def test_equal_keys_with_different_numbers_are_an_error(tmp_path: Path, change: dict[str, object]) -> None:
    other = replace(LINE, **change)  # type: ignore[arg-type]
    code, lines, text = merged(tmp_path, [replace(LINE, seed=4), LINE], [other])
    assert code == 7 and not lines and not (tmp_path / "out").exists()
    assert f"{tmp_path / 'a.jsonl'}:2" in text and f"{tmp_path / 'b.jsonl'}:1" in text


@pytest.mark.parametrize(
    "change",
    [
        {"generator": "h"},
        {"dataset": "f"},
        {"prompt_source": "self"},
        {"task": "u"},
        {"measure": "kid"},
        {"encoder": "f"},
        {"mix": "real"},
        {"seed": 1},
        {"protocol": "q"},
        {"keys": {"weights": "v"}},
        {"described": {"generator": {"name": "g", "version": "1", "options": {"steps": 6}}}},
        {"described": {**DESCRIBED, "experiment": {"name": "addition"}}},
    ],
)
def test_each_part_of_the_key_tells_numbers_apart(tmp_path: Path, change: dict[str, object]) -> None:
    other = replace(LINE, value=2.5, **change)  # type: ignore[arg-type]
    assert merged(tmp_path, [LINE], [other])[:2] == (0, [LINE, other])


def test_tolerance_lets_small_differences_pass_and_keeps_the_largest(tmp_path: Path) -> None:
    other = replace(LINE, value=2.0 * (1 - 1e-7), stamp={"made": "2026-03-01"})
    code, lines, text = merged(tmp_path, [LINE], [other], words=("--tolerance", "1e-6"))
    assert code == 0 and lines == [LINE] and "differ by up to 1e-07" in text
    held = json.loads((tmp_path / "out" / "merged.json").read_text())
    assert held["tolerance"] == 1e-6 and held["farthest"] == pytest.approx(1e-7, rel=1e-3)
    assert merged(tmp_path, [LINE], [other], words=("--tolerance", "1e-8"))[0] == 7
    assert merged(tmp_path, [LINE], [other])[:2] == (0, [LINE]), "what another machine rounds differently is the same number"
    assert merged(tmp_path, [LINE], [other], words=("--tolerance", "0"))[0] == 7
    assert merged(tmp_path, [LINE], [other], words=("--tolerance", "2"))[0] == 2


def test_a_line_without_a_number_gives_way_and_that_is_stated(tmp_path: Path) -> None:
    bare = {"value": None, "low": None, "high": None, "replicates": ()}
    skipped = replace(LINE, status="skipped", reason="missing: weights", stamp={"made": "2026-01-01"}, **bare)  # type: ignore[arg-type]
    for sets in ([skipped], [LINE]), ([LINE], [skipped]):
        code, lines, text = merged(tmp_path, *sets)
        assert code == 0 and lines == [LINE] and "one has no number" in text
    assert len(json.loads((tmp_path / "out" / "merged.json").read_text())["filled"]) == 1
    assert merged(tmp_path, [skipped], [skipped])[:2] == (0, [skipped])


def test_a_line_that_cannot_be_true_gives_way_too(tmp_path: Path) -> None:
    impossible = replace(LINE, value=-2.0, low=-3.0, high=-1.0)
    code, lines, text = merged(tmp_path, [impossible], [LINE])
    assert code == 0 and lines == [LINE] and "one has no number" in text
    assert merged(tmp_path, [impossible], [])[:2] == (0, [impossible]), "alone it stays as it was written"


def test_what_is_not_there_and_what_is_no_line_are_refused(tmp_path: Path) -> None:
    assert bench("merge", tmp_path / "absent", "--out", tmp_path / "o.jsonl", home=tmp_path).exit_code == 3
    assert bench("merge", tmp_path, "--out", tmp_path / "o.jsonl", home=tmp_path).exit_code == 3
    (tmp_path / "x.jsonl").write_text("\n{}\n")
    done = bench("merge", tmp_path, "--out", tmp_path / "o.jsonl", home=tmp_path)
    assert done.exit_code == 3 and "x.jsonl:2" in done.stderr


def test_an_earlier_output_is_not_merged_into_itself(tmp_path: Path) -> None:
    schema.write([LINE], tmp_path / "a.jsonl")
    for _ in range(2):
        done = bench("merge", tmp_path, "--out", tmp_path / "out.jsonl", home=tmp_path)
        assert done.stdout.startswith("1 lines of 1 files, 0 that were there already")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs of two generators with the same control, in caches of their own."""
    place = tmp_path_factory.mktemp("merge")
    for name, generator in (("one", "blur"), ("two", "shuffle")):
        words = ["-g", generator, *WORDS, "--controls", "real", "--seeds", "0"]
        run(*words, home=place / f"home-{name}", out=place / name)
    return lambda name: place / name


def test_two_machines_share_their_control(machines: Callable[[str], Path], tmp_path: Path) -> None:
    files = [next(machines(name).glob("*/results.jsonl")) for name in ("one", "two")]
    each = [list(schema.read([file])) for file in files]
    done = bench("merge", machines("one"), machines("two"), "--out", tmp_path / "all.jsonl", home=tmp_path)
    assert done.exit_code == 0, done.stderr
    lines = list(schema.read([tmp_path / "all.jsonl"]))
    assert lines == each[0] + [line for line in each[1] if line.generator == "shuffle"]
    held = json.loads((tmp_path / "merged.json").read_text())
    assert held["digest"] == digest_of(tmp_path / "all.jsonl") and held["lines"] == len(lines)
    assert held["again"] == sum(line.generator == "real" for line in each[1]) > 0
    assert held["sources"] == [
        {"file": str(f), "digest": digest_of(f), "lines": len(e), "manifest": digest_of(f.parent / "manifest.json")}
        for f, e in zip(files, each, strict=True)
    ]


def test_lines_that_are_not_those_of_their_manifest_are_refused(machines: Callable[[str], Path], tmp_path: Path) -> None:
    folder = next(machines("one").glob("*"))
    for name in ("manifest.json", "results.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = list(schema.read([tmp_path / "results.jsonl"]))
    schema.write([replace(lines[0], value=0.5), *lines[1:]], tmp_path / "results.jsonl")
    done = bench("merge", tmp_path, "--out", tmp_path / "out" / "all.jsonl", home=tmp_path)
    assert done.exit_code == 3 and "has not the digest of its manifest.json" in done.stderr

"""What a run would do and how long it would take, before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.jobs.store import EntryRef, Store
from bench.measurements.workload import Work, Workload, headline, rates_of, text
from tests.small_run import OPTIONS, bench

ASKED = ["-g", "crop-paste", "-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd,precision", "--controls", "noise"]
ASKED += ["--workers", "1", *(word for option in OPTIONS for word in ("-o", option))]


def plan(home: Path, *words: str) -> dict[str, Any]:
    done = bench("run", *ASKED, *words, "--plan", "--json", home=home)
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_is_made_and_what_would_be_is_counted(tmp_path: Path) -> None:
    found = plan(tmp_path / "home", "--seeds", "0,1", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists() and not (tmp_path / "home" / "generated").exists()
    works = {(work["what"], work["plugin"]): work for work in found["works"]}
    assert works["generate", "crop-paste"]["images"] == works["generate", "noise"]["images"] == 48
    assert all(work["waiting"] == work["jobs"] and work["seconds"] is None for work in works.values())
    assert found["seconds"] == 0 and found["unknown"] == sum(work["jobs"] for work in works.values())


def test_earlier_runs_say_how_long_and_what_is_there_counts_no_more(tmp_path: Path) -> None:
    home, out = tmp_path / "home", ["--out", str(tmp_path / "out")]
    done = bench("run", *ASKED, "--seeds", "0", *out, home=home)
    assert done.exit_code == 0 and "no earlier job of these kinds says how long" in done.stderr
    same = bench("run", *ASKED, "--seeds", "0", *out, "--plan", home=home)
    assert same.stdout.splitlines()[-1] == "nothing to do: every number is in the store"
    more = plan(home, "--seeds", "0,1,2")
    works = {(work["what"], work["plugin"]): work for work in more["works"]}
    generate = works["generate", "crop-paste"]
    assert (generate["jobs"], generate["waiting"], generate["images"]) == (3, 2, 48)
    assert more["unknown"] == 0 and more["seconds"] == pytest.approx(sum(work["seconds"] for work in works.values()))
    rate = rates_of(["generated"], Store(home))["generated", "crop-paste"]
    assert generate["seconds"] == pytest.approx(48 * rate) and 0 < rate < 1


def test_a_plugin_that_never_ran_is_not_known_by_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert bench("run", *ASKED, "--seeds", "0", "--out", str(tmp_path / "out"), home=home).exit_code == 0
    found = bench("run", *ASKED, "--seeds", "0", "-e", "texture", "--plan", home=home)
    row = next(line for line in found.stdout.splitlines() if line.startswith("encode"))
    assert "texture" in row and row.endswith("not known")
    assert "jobs of which nothing is known" in found.stdout.splitlines()[-1]


def test_what_lacks_weights_is_named_before_anything_starts(tmp_path: Path) -> None:
    found = bench("run", *ASKED, "--seeds", "0", "-e", "stain,uni", "--plan", home=tmp_path / "home")
    (line,) = (line for line in found.stdout.splitlines() if line.startswith("skipped for lack of weights"))
    assert "uni (uni is gated" in line
    alone = plan(tmp_path / "home", "--seeds", "0")
    both = plan(tmp_path / "home", "--seeds", "0", "-e", "stain,uni")
    assert both["unknown"] == alone["unknown"], "what is skipped is no work"
    strict = bench("run", *ASKED, "--seeds", "0", "-e", "stain,uni", "--plan", "--strict", home=tmp_path / "home")
    assert strict.exit_code == 3


def test_a_plugin_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('out of order')")
    words = [*ASKED, "--seeds", "0", "-e", f"stain,{tmp_path / 'broken.py'}:E", "--plan"]
    found = bench("run", *words, home=tmp_path / "home")
    (line,) = (line for line in found.stdout.splitlines() if line.startswith("error, cannot be used"))
    assert "broken.py" in line and "out of order" in line
    assert bench("run", *words, "--strict", home=tmp_path / "home").exit_code == 4


def test_seconds_count_by_row_and_by_options(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key, rows, seconds, steps in (("a" * 20, 10, 2.0, 1), ("b" * 20, 30, 2.0, 1), ("c" * 20, 10, 50.0, 100)):
        spec = {"generator": {"name": "mine", "options": {"steps": steps}}, "rows": [0, rows]}
        store.write(EntryRef("generated", key), spec, lambda work: None)
        file = tmp_path / "generated" / key / "entry.json"
        held = {name: value for name, value in json.loads(file.read_text()).items() if name != "checksum"}
        file.write_text(json.dumps({**held, "seconds": seconds}))
    (tmp_path / "generated" / "broken").mkdir()
    for name, rows in (("large", [0, 10**400]), ("odd", ["a", "b"]), ("none", [5, 5])):  # of a hostile store
        file = tmp_path / "generated" / name / "entry.json"
        file.parent.mkdir()
        spec = {"generator": {"name": name, "options": {}}, "rows": rows}
        file.write_text(json.dumps({"spec": spec, "files": {}, "bytes": 0, "made": 1.0, "seconds": 1.0}))
    rates = rates_of(["generated", "encoded"], store)
    assert rates["generated", "mine"] == pytest.approx(54 / 50)
    assert rates["generated", "mine", '{"steps": 1}'] == pytest.approx(0.1)
    assert rates["generated", "mine", '{"steps": 100}'] == pytest.approx(5.0)


def test_words_of_the_summary() -> None:
    some = Workload((Work("generate", "a", 4, 3, 192, 120.0), Work("encode", "b", 2, 2, 0, None)), ())
    assert headline(some) == (
        "to do: 5 jobs, 192 images to generate; about 2 min of one process, by earlier jobs in the store, and 2 jobs of which "
        "nothing is known"
    )
    assert "not known" in text(some) and "2 min" in text(some)

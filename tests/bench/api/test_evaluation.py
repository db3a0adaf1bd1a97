"""`bench.evaluate`, `bench.compare` and `Results`, against what the command does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

import bench
from bench.errors import BenchError, MissingError, UsageError
from tests import small_run

SIZES = {"dataset.train_slides": 6, "dataset.validation_slides": 2, "dataset.test_slides": 6, "dataset.per_slide": 4}
SETTINGS: dict[str, Any] = {
    "task": "cam16-seg",
    "encoders": ["stain"],
    "metrics": "fd,precision",
    "controls": [],
    "seeds": 0,
    "downstream": False,
    "options": SIZES,
}
MINE = """
import numpy as np

from bench.types import Card


class Mine:
    card = Card("mine", "1", "Colours of a map.", needs=("masks",))

    def __init__(self, level: int = 90, name: str = "plain") -> None:
        self.level, self.name = level, name

    def generate(self, conditions, seeds):
        draws = [np.random.default_rng(int(seed)).integers(0, 60, (conditions.size, conditions.size, 3)) for seed in seeds]
        return (np.stack(draws) + self.level * (1 + conditions.masks[..., None] % 2)).astype(np.uint8)


class Forgets:
    card = Card("forgets", "1", "Keeps no parameter.")

    def __init__(self, level: int = 90) -> None:
        pass

    def generate(self, conditions, seeds):
        raise NotImplementedError


class Holds(Forgets):
    card = Card("holds", "1", "Holds a model.")

    def __init__(self, model: object = None) -> None:
        self.model = model


class Fails:
    card = Card("fails", "1", "Raises.")

    def generate(self, conditions, seeds):
        raise RuntimeError("out of generate")


class NoGenerator:
    pass
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("api")
    (place / "api_plugin.py").write_text(MINE)
    return place


@pytest.fixture
def mine(place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, imported as a script would, and a store."""
    monkeypatch.setenv("BENCH_HOME", str(place / "home"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.syspath_prepend(place)
    import api_plugin  # type: ignore[import-not-found]

    return api_plugin


def test_the_numbers_are_those_of_the_command(mine: Any, place: Path, tmp_path: Path) -> None:
    found = bench.evaluate("flat-colour", out=tmp_path / "python", **SETTINGS)
    words = ["-g", "flat-colour", *small_run.WORDS, "--controls", "none", "--seeds", "0"]
    folder = small_run.run(*words, home=place / "home", out=tmp_path / "command")
    assert found.folder.name == folder.name

    def records(place: Path) -> list[dict[str, Any]]:
        held = [json.loads(line) for line in (place / "results.jsonl").read_text(encoding="utf-8").splitlines()]
        return [{name: value for name, value in record.items() if name != "stamp"} for record in held]

    assert records(found.folder) == records(folder)
    assert found.table() + "\n" == (folder / "table.txt").read_text(encoding="utf-8")


def test_classes_and_objects_are_generators(mine: Any, tmp_path: Path) -> None:
    plain = bench.evaluate(mine.Mine, out=tmp_path, **SETTINGS)
    same = bench.evaluate(mine.Mine(), out=tmp_path, **SETTINGS)
    dark = bench.evaluate(mine.Mine(level=70), out=tmp_path, **SETTINGS)
    one, other = ([replace(record, stamp={}) for record in found.records] for found in (plain, same))
    assert one == other and plain.value("fd") != dark.value("fd")
    assert plain.records[0].generator == "mine" and dark.records[0].described["generator"]["options"]["level"] == 70
    from generators.controls import Blur

    assert bench.evaluate(Blur(sigma=3.0), out=tmp_path, **SETTINGS).records[0].generator == "blur"


def test_results(mine: Any, tmp_path: Path) -> None:
    settings = {**SETTINGS, "controls": ["noise"], "seeds": (0, 1)}
    found = bench.evaluate(mine.Mine(), out=tmp_path, **settings)
    assert repr(found).startswith("<Results of mine on cam16-seg (phantom-cam16): ")
    assert str(found.folder) in repr(found) and len(repr(found)) < 100 + len(str(found.folder))
    frame = found.frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(found.records)
    of_mine = frame[(frame["generator"] == "mine") & (frame["measure"] == "fd")]
    assert found.value("fd") == pytest.approx(of_mine["value"].mean()) and found.value("fd", generator="noise") > found.value(
        "fd"
    )
    with pytest.raises(KeyError, match="no number fd of absent: no such record"):
        found.value("fd", generator="absent")
    assert found.errors == []
    assert found.report(tmp_path / "page", patches=0) == tmp_path / "page" / "index.html"
    assert "mine" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")


def test_two_results_are_compared_as_by_the_command(mine: Any, place: Path, tmp_path: Path) -> None:
    first, second = (bench.evaluate(mine.Mine(level=level), out=tmp_path, **SETTINGS) for level in (70, 90))
    found = bench.compare(first, second)
    printed = small_run.bench("compare", first.folder, second.folder, home=place / "home").stdout
    assert str(found) == printed.rstrip("\n") and str(bench.compare(first.folder, str(second.folder))) == str(found)
    frame = found.frame()
    assert set(frame["measure"]) == {"fd stain", "precision stain"} and len(repr(found)) < 150
    assert set(bench.compare(first, second, ["fd*"]).frame()["measure"]) == {"fd stain"}
    with pytest.raises(MissingError, match="share no measure"):
        bench.compare(first, second, ["recall*"])


def test_numbers_that_failed_do_not_raise(mine: Any, tmp_path: Path) -> None:
    found = bench.evaluate(mine.Fails, out=tmp_path, **SETTINGS)
    assert any("out of generate" in text and text.startswith("fd stain: ") for text in found.errors)
    with pytest.raises(KeyError, match="out of generate"):
        found.value("fd")


REFUSALS: list[tuple[Any, dict[str, Any], str]] = [
    ("flat-colours", {}, "Did you mean 'flat-colour'"),
    ("flat-colour", {"metric": ["fd"]}, "takes no 'metric'. Did you mean 'metrics'"),
    ("flat-colour", {"options": {"generator.sigma": object()}}, "an option is text, a number"),
    ("flat-colour", {"options": {"stpes": 1}}, "stpes"),
    (3, {}, "int is no generator"),
    ("NoGenerator", {}, "needs a `card` and a method"),
    ("Forgets()", {}, "does not keep the parameter 'level'"),
    ("Holds(object())", {}, "not object: it stands in the records"),
]


@pytest.mark.parametrize(("generator", "settings", "message"), REFUSALS, ids=[text for _, _, text in REFUSALS])
def test_refusals(mine: Any, tmp_path: Path, generator: Any, settings: dict[str, Any], message: str) -> None:
    if isinstance(generator, str) and generator[0].isupper():
        generator = eval(generator, vars(mine))
    with pytest.raises(BenchError) as raised:
        bench.evaluate(generator, out=tmp_path, **{**SETTINGS, **settings})
    assert message in str(raised.value) and raised.value.exit_code == 2


def test_a_class_without_a_file_is_refused(mine: Any, tmp_path: Path) -> None:
    class Local(mine.Mine):  # type: ignore[misc,name-defined]
        pass

    with pytest.raises(UsageError, match="not at the top of a file"):
        bench.evaluate(Local, out=tmp_path, **SETTINGS)


SCRIPT = """
import sys
import bench
from bench.types import Card
import numpy as np

class Grey:
    card = Card("grey", "1", "Grey.")

    def generate(self, conditions, seeds):
        noise = [np.random.default_rng(int(seed)).integers(90, 160, (conditions.size, conditions.size, 3)) for seed in seeds]
        return np.stack(noise).astype(np.uint8)

GUARD:
    small = {"train_slides": 6, "validation_slides": 2, "test_slides": 6, "per_slide": 4}
    found = bench.evaluate(
        Grey, "cam16-seg", encoders="stain", metrics="fd", controls=(), seeds=0, downstream=False, workers=int(sys.argv[1]),
        options={f"dataset.{name}": value for name, value in small.items()},
    )
    print(found.value("fd"))
"""


def run_script(folder: Path, guard: str, workers: int) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT.replace("GUARD", guard))
    command = [sys.executable, "script.py", str(workers)]
    given = {**os.environ, "BENCH_HOME": str(folder / f"home{workers}")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=given)


def test_a_script_may_define_and_evaluate(tmp_path: Path) -> None:
    guarded = 'if __name__ == "__main__"'
    one, two = (run_script(tmp_path, guarded, workers) for workers in (1, 2))
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert float(one.stdout) > 0 and one.stdout == two.stdout
    without = run_script(tmp_path, "if True", 1)
    assert without.returncode != 0 and '`if __name__ == "__main__":`' in without.stderr


def test_a_folder_beside_the_script_that_hides_a_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text("")
    done = run_script(tmp_path, 'if __name__ == "__main__"', 1)
    assert done.returncode != 0 and "the package 'metrics' of histobench is hidden" in done.stderr

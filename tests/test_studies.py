"""The simulated pages, made from nothing at sizes of seconds; results of older code are refused."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOTH_SIDES = '"icc": 0.0, "spectrum": "power", "generator": "other", "candidate": "slides, both sides, second order"'
ONE = {
    "coverage": f'"slides": 40, "per_slide": 16, {BOTH_SIDES}',
    "fits": '"slides": 12, "per_slide": 8, "fits": 3, "spread": "large", "mode": "same-method", "worse": 0.0',
    "ranks": '"generators": 4, "encoders": 3, "slides": 12, "gaps": "close", "shared": true',
    "gate": '"slides": 12, "per_slide": 8, "seeds": 2, "change": "none", "margins": "zero"',
    "subspace": '"fd-pca16", "slides": 40, "d": 0, "power": 1.0, "icc": 0.3, "generator": "other"',
    "reader_studies": '"readers": 3, "slides": 20, "per_slide": 1, "ability": 1.0, "spread": 0.4, "trials": 1000, '
    '"numbers": "all", "sizes": "equal"',
    "validity": '"paired iou:common", "sizes": "few large", "effective": 10',
}
PAGES = {"reader_studies": "reader-statistics.md"}
"""Where the page has another name than the study."""
FEW = ("--only", ONE["coverage"], "--trials", "2")
Done = subprocess.CompletedProcess[str]
Study = Callable[..., Done]


def started(folder: Path, name: str, what: str, *words: str, code: Path = ROOT) -> Done:
    """A study's command line, with results and page in a folder, by the code of a folder."""
    places = ["--kept", str(folder / f"{name}.jsonl"), "--docs", str(folder / "docs")]
    program = [sys.executable, "-m", f"benchmarks.{name}", what, *places, *words]
    return subprocess.run(program, capture_output=True, text=True, cwd=code, env={**os.environ, "PYTHONPATH": str(code)})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "docs").mkdir()
    return partial(started, tmp_path)


@pytest.mark.parametrize("name", sorted(ONE))
def test_one_setting_of_each_page_is_made_from_nothing(name: str, study: Study, tmp_path: Path) -> None:
    words = ["--only", ONE[name], "--trials", "12"]
    for what in ("run", "page", "check"):
        done = study(name, what, *words)
        assert done.returncode == 0, done.stderr
    (line,) = [json.loads(text) for text in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    page = (tmp_path / "docs" / PAGES.get(name, f"{name}.md")).read_text()
    assert f"`{line['code']}`" in page
    found = line["finding"]
    if name == "coverage":
        assert 0.7 * found["truth"] < found["value"] < 1.4 * found["truth"]
        assert found["given"] == 12 and found["held"] >= 9
        assert f"| 64 | power | 40 x 16 | 0 | {found['truth']:.2%} | {found['value']:.2%} |" in page
        assert "Trials of each setting: 12 with 64 features" in page
        assert (tmp_path / "docs" / "coverage.png").stat().st_size > 10_000
    elif name == "reader_studies":
        right = found["found"]["accuracy"]
        assert abs(right["value"] - right["truth"]) < 0.1 and right["held"] >= 9 and right["held_these"] >= 9
        assert f"| 3 | 20 x 2 | 1 | 0.4 | {right['held'] / 12:.1%} |" in page
    elif name == "subspace":
        assert abs(found["value"] - found["truth"]) < 0.5 * found["truth"] and found["held"] >= 9
        assert f"| fd-pca16 | 40 | i^-1 | 0.3 | other | {found['truth']:.2%} | {found['value']:.2%} |" in page
    elif name == "validity":
        assert found["given"] == 12 and found["held"] >= 9 and found["refused"] == {}
        assert f"| paired iou:common | 26, few large | 10 | Student | 0 | {found['value']:.3g} | 0 |" in page
    elif name == "fits":
        assert found["alarms"] <= 3 and f"| 12 x 8 | large | 3 | same method | 12 | {found['alarms']} " in page
    elif name == "ranks":
        assert found["places"] == 48 == found["inside"]
        assert f"| 4 x 3 | 12 | close | alike | 12 | {found['held'] / 48:.1%} |" in page
    else:
        assert sum(found["verdicts"]["fd-0"].values()) == 12 and found["alarms"] <= 4
        assert f"| 12 x 8 | 2 | zero | 12 | {found['alarms']} " in page


@pytest.mark.parametrize("name", sorted(ONE))
def test_the_pages_in_docs_show_what_todays_code_gives(name: str) -> None:
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_results_of_other_code_are_refused_and_made_again(study: Study, tmp_path: Path) -> None:
    words = ["--only", ONE["gate"], "--trials", "3"]
    assert study("gate", "run", *words).returncode == 0
    kept = tmp_path / "gate.jsonl"
    made = kept.read_text()
    for older in (made.replace('{"code": "', '{"code": "0'), json.dumps({**json.loads(made), "code": None}) + "\n"):
        kept.write_text(older)
        for what in ("page", "check"):
            refused = study("gate", what, *words)
            assert refused.returncode == 7 and "Traceback" not in refused.stderr
            assert "1 of 1 results were made by other statistics code" in refused.stderr
            assert "python -m benchmarks.gate run" in refused.stderr
        assert not list((tmp_path / "docs").iterdir()), "nothing of it is shown"
        again = study("gate", "run", *words)
        assert "1 of 1 results are of other code and are removed" in again.stderr
        assert kept.read_text() == made


def test_a_page_is_not_written_from_a_part_of_its_settings(study: Study) -> None:
    assert study("gate", "run", "--only", ONE["gate"], "--trials", "3").returncode == 0
    refused = study("gate", "page", "--trials", "3")
    assert refused.returncode == 3 and "lacks 17 of 18 settings" in refused.stderr
    unknown = study("gate", "run", "--only", '"slides": 41')
    assert unknown.returncode == 2 and "no setting" in unknown.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and the page that it made of one setting."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("bench", "benchmarks", "metrics"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.jsonl"))
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "coverage.md", folder / "docs")
    for what in ("run", "page", "check"):
        done = started(folder, "coverage", what, *FEW, code=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bench/statistics/jackknife.py", "TRUSTED = 0.7", "TRUSTED = 0.8"),
        ("bench/statistics/blocks.py", "load.index(min(load))", "load.index(min(load)) + 0"),
        ("metrics/frechet/block_moments.py", "HALVINGS = 4", "HALVINGS = 5"),
        ("metrics/frechet/gaussians.py", "min(len(real), len(fake)) > real", "min(len(real), len(fake)) >= real"),
        ("metrics/features.py", "astype(np.float64), fake", "astype(np.float32), fake"),
        ("benchmarks/coverage_simulation.py", "SHARED = 0.5", "SHARED = 0.4"),
    ],
)
def test_code_that_a_number_depends_on_makes_it_stale(file: str, old: str, new: str, copy: Path) -> None:
    done = check_after_edit(copy, file, old, new)
    assert done.returncode == 7 and "made by other statistics code" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bench/statistics/bootstrap.py", "TOLERATED = 0.05", "TOLERATED = 0.06"),
        ("bench/statistics/estimates.py", '"""A value with its 95 % interval."""', '"""A value."""  # and more'),
        ("metrics/frechet/frechet_infinity.py", "Noisier than fd", "More noise than in fd"),
        ("bench/results/terms.py", 'GATED = "gated"', 'GATED = "gated"\n    OTHER = "other"'),
    ],
)
def test_other_code_makes_no_number_stale(file: str, old: str, new: str, copy: Path) -> None:
    done = check_after_edit(copy, file, old, new)
    assert done.returncode == 0 and "made by other statistics code" not in done.stderr, done.stderr


def check_after_edit(copy: Path, file: str, old: str, new: str) -> Done:
    """`check` of the study by a copy of the code with one edit, which is undone afterwards."""
    text = (copy / file).read_text()
    assert text.count(old) == 1
    (copy / file).write_text(text.replace(old, new))
    done = started(copy, "coverage", "check", *FEW, code=copy)
    (copy / file).write_text(text)
    return done


def test_no_benchmark_imports_what_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for path in (ROOT / "benchmarks").glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        inside = {alias.name for node in imports if node.module == "benchmarks" for alias in node.names}
        inside |= {node.module.partition(".")[2] for node in imports if (node.module or "").startswith("benchmarks.")}
        graph[path.stem] = inside
    assert {"coverage_page", "gate_page"} <= set(graph)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the cycle

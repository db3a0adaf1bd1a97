"""A plug-in of any kind that ends the program, or raises what no `except Exception` catches, costs its own records."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from bench.results.terms import Status
from tests import command_run, small_run
from tests.bench.broken_plugins import WORKING, Records, measure

WAYS = {
    "SysExit": ("sys.exit(0)", "SystemExit: 0"),
    "HardExit": ("os._exit(0)", "SystemExit: 0"),
    "Interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt: KeyboardInterrupt"),
    "Base": ("raise BaseException('out of order')", "BaseException: out of order"),
    "Closed": ("raise GeneratorExit('out of order')", "GeneratorExit: out of order"),
}
"""Name -> how it ends, and the reason that its records give."""
KINDS = {
    "Generate": ("Plain", "generate(self, conditions, seeds)"),
    "Fit": ("Plain", "fit(self, train, seed, progress, work)"),
    "Encode": ("Encoder", "encode(self, images)"),
    "Compare": ("Metric", "compare(self, real, fake, rng)"),
    "Agree": ("Kept", "agree(self, patches, segmenter)"),
    "Learn": ("Kept", "learn(self, train, validation, seed, progress, folder)"),
    "Score": ("Task", "score(self, mix, validation, test, seed, progress)"),
    "Measures": ("Task", "measures(self, classes)"),
    "Init": ("Plain", "__init__(self, level: int = 100)"),
    "EncoderInit": ("Encoder", "__init__(self)"),
    "MetricInit": ("Metric", "__init__(self)"),
}


def write_all() -> str:
    """A class for each kind of plug-in and way to end, called `GenerateSysExit`."""
    text = WORKING
    for kind, (base, head) in KINDS.items():
        for way, (statement, _) in WAYS.items():
            text += f"\n\nclass {kind}{way}({base}):\n    def {head}:\n        {statement}\n"
            if kind == "Fit":
                text += "    def save(self, folder): ...\n    def load(self, folder): ...\n"
    return text


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exits") / "exits.py"
    path.write_text(write_all())
    return path


@pytest.fixture(scope="module")
def healthy(broken: Path) -> Records:
    return measure(broken, out=broken.parent / "healthy", code=0)


def check(found: Records, healthy: Records, is_own: dict[tuple[str, ...], bool], reason: str) -> None:
    """Own records are errors with this reason, all others have the numbers of a run in which nothing broke."""
    assert any(is_own.values()) and not all(is_own.values())
    for key, record in found.items():
        if is_own[key]:
            assert (record.status, record.reason) == (Status.ERROR, reason), key
        else:
            assert record.status == Status.OK, key
            assert key not in healthy or record.value == healthy[key].value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["Generate", "Fit", "Init"])
def test_a_generator_that_exits(broken: Path, healthy: Records, tmp_path: Path, kind: str, way: str) -> None:
    found = measure(broken, "-g", f"{kind}{way}", out=tmp_path, code=4)
    own = {key: key[0] == "own" and key[1] != "fd-lower-reference" for key in found}
    check(found, healthy, own, WAYS[way][1])
    assert {key for key in found if key[0] == "real"} == {key for key in healthy if key[0] == "real"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["Encode", "EncoderInit"])
def test_an_encoder_that_exits(broken: Path, healthy: Records, tmp_path: Path, kind: str, way: str) -> None:
    found = measure(broken, "-e", f"Other,{kind}{way}", out=tmp_path, code=4)
    check(found, healthy, {key: key[2] == "own" for key in found}, WAYS[way][1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["Compare", "MetricInit", "Agree", "Learn"])
def test_a_metric_that_exits(broken: Path, healthy: Records, tmp_path: Path, kind: str, way: str) -> None:
    found = measure(broken, "-m", f"fd,{kind}{way}", out=tmp_path, code=4)
    check(found, healthy, {key: key[1] in ("own", "kept", "kept-of-real") for key in found}, WAYS[way][1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["Score", "Measures"])
def test_a_task_that_exits(broken: Path, healthy: Records, tmp_path: Path, kind: str, way: str) -> None:
    found = measure(broken, "-t", f"{kind}{way}", out=tmp_path, code=4)
    check(found, healthy, {key: bool(key[3]) for key in found}, WAYS[way][1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["generators", "encoders", "metrics"])
def test_check_names_what_exits(broken: Path, kind: str, way: str) -> None:
    name = {"generators": "Generate", "encoders": "Encode", "metrics": "Compare"}[kind]
    done = small_run.bench("check", f"{broken}:{name}{way}", "--kind", kind, "--json", home=broken.parent / "home")
    assert done.exit_code == 4
    failed = [line for line in map(json.loads, done.stdout.splitlines()) if line["status"] == "failed"]
    assert any(WAYS[way][1].partition(":")[0] in line["reason"] and "exits.py, line" in line["reason"] for line in failed)


@pytest.mark.parametrize("way", ["SysExit", "HardExit", "Interrupt"])
def test_a_suite_records_cells_of_what_exits_and_runs_the_others(broken: Path, tmp_path: Path, way: str) -> None:
    (tmp_path / "mine.toml").write_text(
        textwrap.dedent(
            f"""
            name = "mine"
            summary = "a generator, a metric and a task that exit, and cells of none of these"
            [preset.tiny]
            seeds = [0]
            [[cells]]
            generators = ["blur", "{broken}:Generate{way}", "{broken}:Init{way}"]
            tasks = ["cam16-seg"]
            encoders = ["{broken}:Encoder"]
            metrics = ["{broken}:Metric"]
            [[cells]]
            generators = ["flat-colour"]
            tasks = ["cam16-seg"]
            encoders = ["{broken}:Encoder"]
            metrics = ["fd", "{broken}:Compare{way}"]
            controls = []
            """
        )
    )
    words = ["suite", tmp_path / "mine.toml", "--allow-plugin", broken, "--out", tmp_path, *small_run.SMALL]
    done = small_run.bench(*words, home=broken.parent / "home")
    assert done.exit_code == 4, done.stderr
    cells = {c["generator"].rpartition(":")[2]: c for c in json.loads((tmp_path / "mine/suite.json").read_text())["cells"]}
    assert {name: cell["status"] for name, cell in cells.items()} == {
        "blur": "ok",
        f"Generate{way}": "error",
        f"Init{way}": "error",
        "flat-colour": "error",
    }
    assert all(WAYS[way][1] in cell["reason"] for cell in cells.values() if cell["status"] == "error")
    assert all((tmp_path / "mine" / cell["folder"] / "results.jsonl").is_file() for cell in cells.values())


@pytest.mark.parametrize("way", ["SysExit", "HardExit", "Interrupt"])
def test_workers_outlive_what_exits(broken: Path, tmp_path: Path, way: str) -> None:
    """`os._exit` ends a worker process; its job is given up after some tries."""
    words = [f"{broken}:{name}" for name in (f"Generate{way}", "Encoder", "Metric")]
    done = command_run.bench(
        *("run", "-t", "cam16-seg", "-g", words[0], "-e", words[1], "-m", words[2], "--no-downstream", "--seeds", "0"),
        *("--controls", "real", "--workers", "2", "--json", *small_run.SMALL),
        home=tmp_path / "home",
    )
    assert done.returncode == 4, done.stderr
    status = {line["generator"]: line["status"] for line in map(json.loads, done.stdout.splitlines())}
    assert status == {"own": "error", "real": "ok"}


@pytest.mark.parametrize("way", WAYS)
def test_fit_of_what_exits_is_no_success(broken: Path, tmp_path: Path, way: str) -> None:
    done = command_run.bench(
        *("fit", "-g", f"{broken}:Fit{way}", "-t", "cam16-seg", "--out", str(tmp_path / "out"), *small_run.SMALL),
        home=broken.parent / "home",
    )
    assert done.returncode in (1, 2) and done.stdout == "" and WAYS[way][1].partition(":")[0] in done.stderr

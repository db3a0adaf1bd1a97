"""Every option of every command is given once, on a tiny set, through the command line. An option in no call is a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.cli import group
from bench.results import schema
from tasks.datasets.slides.phantom_slides import write_phantom_slides
from tests.bench.test_experiment_runs import MINE
from tests.leaderboards.studies.analysis.simulated import simulate_answers
from tests.leaderboards.studies.small_study import answer_file, make
from tests.option_calls import CALLS, CASES, CODES, DOWN, ELSEWHERE, GREY, OUTLINE, REFUSED, SUITE
from tests.small_run import SMALL, bench
from tests.tasks.small_folder import halves, photo, write


def commands(asked: click.Command, context: click.Context, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Name and object of every command, those that only hold others left out unless they have options of their own."""
    if not isinstance(asked, click.Group) or (name and asked.params):
        yield name, asked
    if isinstance(asked, click.Group):
        for word in asked.list_commands(context):
            below = asked.get_command(context, word)
            assert below is not None
            yield from commands(below, context, f"{name} {word}".strip())


COMMANDS = dict(commands(group, click.Context(group)))


def given(command: click.Command, words: list[str]) -> set[str]:
    """Names of the parameters that the words give."""
    context = click.Context(command, allow_extra_args=True, allow_interspersed_args=True)
    found, _, order = command.make_parser(context).parse_args(list(words))
    return {parameter.name or "" for parameter in order if found.get(parameter.name or "") not in (None, ())}


def test_every_command_has_a_call() -> None:
    assert set(CASES) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_a_call(name: str) -> None:
    command = COMMANDS[name]
    declared = {parameter.name for parameter in command.params}
    calls = [*CASES[name], *([[*REFUSED[name], *ELSEWHERE]] if name in REFUSED else [])]
    assert declared - set().union(*(given(command, words) for words in calls)) == set()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the calls name: two runs, their samples, data, a suite, an experiment, a policy."""
    root = tmp_path_factory.mktemp("options")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("weights", "out"):
            Path(name).mkdir()
        write(Path("folder"), {f"p{i}": (photo(seed=i), halves()) for i in range(12)})
        rows = "\n".join(f"p{i},0.5" for i in range(6))
        scaled = {f"p{i}": (photo(128, 128, seed=i), halves(128, 128)) for i in range(6)}
        write(Path("scaled"), scaled, "id,mpp", rows)
        for kind, count in (("camelyon16", 3), ("panda", 3), ("tcga", 6)):
            write_phantom_slides(Path("slides", {"camelyon16": "cam"}.get(kind, kind)), count, 0, 512, 0.5, kind)
        Path("mpp.csv").write_text("slide,mpp\nnormal_001,0.6\n")
        for slide in Path("slides/cam/training/normal").glob("*.tif"):
            slide.with_suffix(".geojson").write_text(OUTLINE)
        Path("mine.toml").write_text(MINE)
        Path("suite.toml").write_text(SUITE)
        Path("mine.py").write_text("")
        Path("grey.py").write_text(GREY)
        save_file({"w": np.zeros(2, dtype=np.float32)}, "weights.safetensors")
        Path("policy.toml").write_text('[[margin]]\nmeasures = "*"\nabsolute = 0.1\n')
        ran = [
            "-g",
            "flat-colour",
            "-t",
            "cam16-seg",
            "-e",
            "stain",
            "-m",
            "fd,precision",
            "--controls",
            "noise",
            "--seeds",
            "0",
        ]
        made = done("run", *ran, "--no-downstream", "--out", "runs", *SMALL)
        Path(made).rename("ran")
        looked_up = "-g flat-colour -t cam16-seg -e stain -m memorization --controls none --seeds 0 --no-downstream".split()
        Path(done("run", *looked_up, "--out", "runs", *SMALL)).rename("looked-up")
        tried = done("run", "-g", "flat-colour", "-t", "cam16-seg", "--experiment", "mine.toml", "--out", "runs", *DOWN)
        Path(tried).rename("tried")
        done("export", "samples", "ran", "--out", "samples")
        done("features", "-e", "random-conv", "--data", "folder/images", "--out", "seen.npz")
        ladders = "-t cam16-seg -e stain -m fd --corruptions jpeg,blur --beside noise --out runs".split()
        Path(done("sensitivity", *ladders, *SMALL)).parent.rename("corrupted")
        measured = [one for one in schema.read([Path("corrupted/results.jsonl")]) if one.measure == "fd"]
        read = [
            replace(one, measure="reader-quality", encoder="", direction="higher", value=float(i))
            for i, one in enumerate(measured)
        ]
        schema.write([replace(one, low=None, high=None, replicates=()) for one in read], Path("readers.jsonl"))
        answer_file(make(Path("answered")), Path("answered/1.json"))
        simulate_answers(arm="flat-colour").drop(columns="regions").to_csv("read.csv", index=False)
    return root


def done(*words: str) -> str:
    """The last line that a call prints."""
    found = bench(*words, home=Path("home"))
    assert found.exit_code == 0, found.stderr
    return str(found.stdout.splitlines()[-1])


@pytest.mark.parametrize(("command", "words"), CALLS, ids=[f"{command} {i}" for i, (command, _) in enumerate(CALLS)])
def test_every_call_does_its_work(command: str, words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    found = bench(*command.split(), *words, home=Path("home"))  # an error that is not the user's is raised
    codes = CODES.get(command, (0, 4) if "--strict" in words else (0,))  # two slides are too few for some numbers
    assert found.exit_code in codes, found.stderr
    if "--json" in words:
        first = found.stdout if command in ("gate", "compare", "verify", "info") else found.stdout.splitlines()[0]
        assert json.loads(first)
    for file in (
        "out/gate.md",
        "out/gate.xml",
        "out/base.jsonl",
        "out/merged.jsonl",
        "out/table.csv",
        "out/asked/conditions.csv",
        "out/sensitivity.png",
        "out/flags.json",
        "out/kept.jsonl",
        "out/evidence.png",
    ):
        if file in words:
            assert Path(file).stat().st_size


@pytest.mark.parametrize("command", REFUSED)
def test_workers_of_two_kinds_are_refused_before_anything_is_written(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    found = bench(*command.split(), *REFUSED[command], *ELSEWHERE, home=Path("home"))
    assert found.exit_code == 2 and "give one of the two" in found.stderr
    assert not Path("refused").exists() and not Path("results").exists()


@pytest.mark.parametrize("command", ["run", "suite"])
def test_a_folder_of_weights_is_given_and_the_records_are_there(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    Path("suite.toml").write_text(SUITE)
    words = {
        "run": ["-g", "flat-colour", "-t", "cam16-seg", "-e", "stain", "-m", "fd", "--controls", "none", "--no-downstream"],
        "suite": ["suite.toml"],
    }[command]
    done = bench(command, *words, *SMALL, "--weights", "weights", "--out", "out", home=Path("home"))
    assert done.exit_code == 0, done.stderr
    (file,) = Path("out").rglob("results.jsonl")
    assert any(line.measure == "fd" and line.value is not None for line in schema.read([file]))
    held = json.loads(file.with_name("manifest.json").read_text())
    assert held["config"]["weights"] == "weights"


@pytest.mark.parametrize("command", ["run", "suite"])
@pytest.mark.parametrize("blocked", ["table.txt", "picture.png", "manifest.json"])
def test_records_outlive_a_table_picture_or_manifest_that_fails(
    command: str, blocked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder where a file should stand is what a full disk or a broken font is to whoever writes it."""
    monkeypatch.chdir(tmp_path)
    Path("suite.toml").write_text(SUITE)
    words = {
        "run": ["-g", "flat-colour", "-t", "cam16-seg", "-e", "stain", "-m", "fd", "--controls", "none", "--no-downstream"],
        "suite": ["suite.toml"],
    }[command]
    call = [command, *words, *SMALL, "--out", "out"]
    assert bench(*call, home=Path("home")).exit_code == 0
    (file,) = Path("out").rglob("results.jsonl")
    held = [(line.measure, line.value) for line in schema.read([file])]
    for made in file.parent.iterdir():
        made.unlink()
    (file.with_name(blocked) / "inside").mkdir(parents=True)
    done = bench(*call, home=Path("home"))
    assert done.exit_code == 4
    assert f"{blocked} could not be written" in done.stdout + done.stderr
    assert [(line.measure, line.value) for line in schema.read([file])] == held
    there = {path.name for path in file.parent.iterdir() if path.is_file()}
    assert {"results.jsonl", "table.txt", "picture.png", "manifest.json"} - {blocked} <= there
    if command == "suite":
        (cell,) = json.loads(Path("out/mine/suite.json").read_text())["cells"]
        assert cell["status"] == "error" and blocked in cell["reason"] and cell["folder"] == file.parent.name


def test_a_second_generator_that_is_wrong_costs_its_own_records_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shape.py").write_text(
        "import numpy as np\nfrom bench.types import Card\n\n\nclass Shape:\n"
        '    card = Card("shape", "1", "Images of a wrong size.")\n\n'
        "    def generate(self, conditions, seeds):\n        return np.zeros((len(conditions), 3, 3, 3), np.uint8)\n"
    )
    words = [
        "-g",
        "flat-colour",
        "-t",
        "cam16-seg",
        "-e",
        "stain",
        "-m",
        "fd",
        "--controls",
        "shape.py:Shape",
        "--no-downstream",
        *SMALL,
    ]
    done = bench("run", *words, "--out", "out", home=Path("home"))
    assert done.exit_code == 4 and "bench check" in done.stderr
    (file,) = Path("out").rglob("results.jsonl")
    lines = list(schema.read([file]))
    assert {line.status for line in lines if line.generator == "flat-colour"} <= {"ok", "skipped"}
    wrong = [line for line in lines if line.generator == "shape"]
    lost = [line for line in wrong if line.measure != "fd-lower-reference"]  # that one is of real patches alone
    assert lost and all(line.status == "error" and "shape returned uint8" in line.reason for line in lost)
    assert [line.measure for line in wrong] == [line.measure for line in lines if line.generator == "flat-colour"]

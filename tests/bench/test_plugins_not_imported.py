"""A plug-in that cannot be imported: exit code 2 with one message if nothing else was asked for, its own error records beside
others; an installed one breaks nothing that does not use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import registry
from bench.results.terms import Status
from tests import command_run, small_run
from tests.bench.broken_plugins import WORKING, Records, measure

IMPORTS = {
    "syntax": ("def (", "SyntaxError: invalid syntax (syntax.py, line 1)"),
    "absent": ("import no_such_module", "No module named 'no_such_module'"),
    "raises": ("raise RuntimeError('out of order')", "RuntimeError: out of order (raises.py, line 1)"),
    "refuses": ("from bench.errors import UsageError\nraise UsageError('not today')", "not today"),
    "exits": ("import sys\nsys.exit(0)", "SystemExit: 0 (exits.py, line 2)"),
    "ends": ("import os\nos._exit(0)", "SystemExit: 0 (ends.py, line 2)"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "nocard": ("class Mine: pass", "no plug-in class 'Mine'"),
    "badcard": ("from bench.types import Card\nclass Mine:\n    card = Card('mine', 1, 'x')", "version of its card is 1"),
    "badneeds": (
        "from bench.types import Card\nclass Mine:\n    card = Card('mine', '1', 'x', needs='masks')",
        "needs of its card",
    ),
    "textcard": ("class Mine:\n    card = 'mine'", "no attribute card = Card(...)"),
    "strange": (
        "class Meta(type):\n    @property\n    def card(cls):\n        raise RuntimeError('no')\n"
        "class Mine(metaclass=Meta): pass",
        "RuntimeError: no",
    ),
    "options": (
        "from bench.types import Card\nclass Mine:\n    card = Card('mine', '1', 'x')\n"
        "    def __init__(self, level: 'Undefined' = 1): ...\n    def generate(self, conditions, seeds): ...",
        "NameError: name 'Undefined' is not defined",
    ),
}
"""Name of a file -> its content, and the reason that is given."""
BESIDE = [name for name in IMPORTS if name != "nocard"]
"""A class that does not exist is a wrong name, which is refused before anything is measured."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("imports")
    (found / "working.py").write_text(WORKING)
    for name, (text, _) in IMPORTS.items():
        (found / f"{name}.py").write_text(text)
    return found


@pytest.fixture(scope="module")
def healthy(folder: Path) -> Records:
    return measure(folder / "working.py", out=folder / "healthy", code=0)


@pytest.mark.parametrize("name", IMPORTS)
@pytest.mark.parametrize(
    "words", ["info NAME", "check NAME", "run -t cam16-seg -g NAME", "run -t NAME -g noise", "fit -t cam16-seg -g NAME"]
)
def test_alone_it_is_a_usage_error_with_the_place(folder: Path, name: str, words: str) -> None:
    done = small_run.bench(*words.replace("NAME", f"{folder / name}.py:Mine").split(), home=folder / "home")
    reason = "no attribute 'embedded'" if (words, name) == ("run -t NAME -g noise", "options") else IMPORTS[name][1]
    assert done.exit_code == 2 and reason in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name", ["raises", "exits"])
@pytest.mark.parametrize("words", ["-e NAME", "-m NAME", "-e NAME,NAME -m NAME", "--layout-generator NAME"])
def test_of_several_of_which_none_can_be_imported_as_well(folder: Path, name: str, words: str) -> None:
    words = words.replace("NAME", f"{folder / name}.py:Mine")
    done = small_run.bench("run", "-t", "cam16-seg", "-g", "noise", *words.split(), home=folder / "home")
    assert done.exit_code == 2 and IMPORTS[name][1] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", BESIDE)
def test_beside_others_it_costs_its_own_records(folder: Path, healthy: Records, tmp_path: Path, name: str) -> None:
    broken = f"{folder / name}.py:Mine"
    found = measure(
        *(folder / "working.py", "--controls", f"real,{broken}", "-e", f"Encoder,{broken}", "-m", f"fd,Metric,{broken}"),
        out=tmp_path,
        code=4,
    )
    own = [key for key in found if {key[0], key[1], key[2]} & {"Mine", "mine"} and key[1] != "fd-lower-reference"]
    assert {key for key in found if key not in own} >= healthy.keys()
    for key, record in found.items():
        if key in own:
            assert record.status == Status.ERROR and IMPORTS[name][1] in record.reason, record.reason
        elif key in healthy:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)
    for position in range(3):
        assert any(key[position] in ("Mine", "mine") for key in own), "generator, metric and encoder have records of their own"


def test_workers_do_not_import_it_again(folder: Path, tmp_path: Path) -> None:
    done = command_run.bench(
        *(
            "run",
            "-t",
            "cam16-seg",
            "-g",
            "blur",
            "--no-downstream",
            "--seeds",
            "0",
            "--controls",
            f"real,{folder}/ends.py:Mine",
        ),
        *(
            "-e",
            f"{folder}/working.py:Encoder,{folder}/ends.py:Mine",
            "-m",
            "kid",
            "--workers",
            "2",
            "--json",
            *small_run.SMALL,
        ),
        home=tmp_path / "home",
    )
    assert done.returncode == 4, done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert {(r["generator"], r["encoder"]) for r in lines if r["status"] == "ok" and r["measure"] == "kid"} == {
        ("blur", "own"),
        ("real", "own"),
    }
    assert all("SystemExit" in r["reason"] for r in lines if r["status"] == "error")


def test_a_suite_has_an_error_for_its_cell_and_runs_the_others(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nsummary = "one of two"\n[preset.tiny]\nseeds = [0]\n[[cells]]\n'
        f'generators = ["{folder}/syntax.py:Mine", "{folder}/exits.py:Mine", "blur"]\n'
        f'tasks = ["cam16-seg"]\nencoders = ["{folder}/working.py:Encoder"]\nmetrics = ["fd"]\ncontrols = []\n'
    )
    allowed = [word for name in ("syntax", "exits", "working") for word in ("--allow-plugin", folder / f"{name}.py")]
    words = ["suite", tmp_path / "mine.toml", "--out", tmp_path, *allowed, *small_run.SMALL]
    done = small_run.bench(*words, home=folder / "home")
    assert done.exit_code == 4, done.stderr
    cells = json.loads((tmp_path / "mine/suite.json").read_text())["cells"]
    assert [cell["status"] for cell in cells] == ["error", "error", "ok"]
    assert "SyntaxError" in cells[0]["reason"] and "SystemExit" in cells[1]["reason"]


@pytest.fixture(scope="module")
def installed(folder: Path) -> dict[str, str]:
    """The environment of a process in which packages with broken entry points are installed."""
    place = folder / "installed"
    for number, text in enumerate(
        (
            "[bench.generators]\nbroken = syntax:Mine\nexiting = exits:Mine\nblur2 = one:Mine\nnonsense = not a module!\n"
            "[bench.encoders]\nabsent-encoder = no_such_module:Mine\n[bench.metrics]\nbroken-metric = raises:Mine\n"
            "[bench.commands]\nbroken-command = syntax:command\nno-command = working:Plain\nodd-command = not a module!\n"
            "[bench.panels]\nbroken-panel = raises:PANEL\nodd-panel = working:Plain\n",
            "[bench.generators]\nblur2 = two:Mine\nnoise = two:Mine\n[bench.commands]\ntwice = one:Mine\n",
            "[bench.commands]\ntwice = two:Mine\n",
        )
    ):
        info = place / f"broken{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: broken{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(text)
    root = Path(registry.__file__).parents[1]
    return {"PYTHONPATH": f"{place}:{folder}:{root}"}


def test_an_installed_one_breaks_no_list_and_no_help(folder: Path, installed: dict[str, str]) -> None:
    done = command_run.bench("list", "generators", home=folder / "home", **installed)
    assert done.returncode == 0 and {"broken", "exiting", "nonsense", "blur", "blur2"} <= set(done.stdout.split()), done.stderr
    done = command_run.bench("list", "--json", home=folder / "home", **installed)
    assert done.returncode == 0 and {"kind": "encoders", "name": "absent-encoder"} in map(json.loads, done.stdout.splitlines())
    done = command_run.bench("--help", home=folder / "home", **installed)
    assert done.returncode == 0 and "broken-command" in done.stdout and "odd-command" in done.stdout, done.stderr


def test_an_installed_one_breaks_no_run_that_does_not_use_it(folder: Path, installed: dict[str, str]) -> None:
    words = ["run", "-g", "blur", "-t", "cam16-seg", "--no-downstream", "--controls", "real", "-e", "texture", "-m", "kid"]
    done = command_run.bench(*words, "--seeds", "0", "--json", *small_run.SMALL, home=folder / "home", **installed)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
    done = command_run.bench(
        *words[:-3],
        "texture,absent-encoder",
        "-m",
        "kid",
        "--seeds",
        "0",
        "--json",
        *small_run.SMALL,
        home=folder / "home",
        **installed,
    )
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.returncode == 4 and {(r["encoder"], r["status"]) for r in lines} == {
        ("texture", "ok"),
        ("absent-encoder", "error"),
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("info broken", "SyntaxError"),
        ("check broken", "SyntaxError"),
        ("run -t cam16-seg -g broken", "SyntaxError"),
        ("run -t cam16-seg -g exiting", "SystemExit: 0"),
        ("run -t cam16-seg -g nonsense", "'nonsense' cannot be imported"),
        ("run -t cam16-seg -g blur2", "two plug-ins are called 'blur2'"),
        ("run -t cam16-seg -g noise -e broken-panel", "the panel 'broken-panel' cannot be imported: RuntimeError"),
        ("run -t cam16-seg -g noise -e odd-panel", "the panel 'odd-panel' (working:Plain) is no tuple of names"),
        ("broken-command", "'broken-command' cannot be imported: SyntaxError"),
        ("no-command", "is no click command"),
        ("odd-command", "'odd-command' cannot be imported"),
        ("twice", "two plug-ins are called 'twice'"),
    ],
)
def test_the_use_of_an_installed_one_is_refused(folder: Path, installed: dict[str, str], words: str, reason: str) -> None:
    done = command_run.bench(*words.split(), home=folder / "home", **installed)
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_doctor_names_installed_ones(folder: Path, installed: dict[str, str]) -> None:
    done = command_run.bench("doctor", home=folder / "home", **installed)
    assert done.returncode == 1 and "'broken' cannot be imported: SyntaxError" in done.stdout
    done = command_run.bench("doctor", "--encoders", home=folder / "home", **installed)
    assert done.returncode == 1 and "absent-encoder" in done.stdout and "Traceback" not in done.stderr

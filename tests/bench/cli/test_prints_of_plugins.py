"""What plug-ins print, wherever they run, goes to stderr: stdout is data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import command_run, small_run
from tests.bench.broken_plugins import WORKING

CHATTY = (
    WORKING
    + """

import subprocess

print("imported")
os.write(1, b"written to the descriptor\\n")
subprocess.run([sys.executable, "-c", "print('from a process')"])


class Chatty(Plain):
    card = Card("chatty", "1", "It prints.")

    def __init__(self, level: int = 100):
        print("built")
        self.level = level

    def generate(self, conditions, seeds):
        print("generated")
        sys.__stdout__.write("generated too\\n")
        os.write(1, b"written to the descriptor\\n")
        return super().generate(conditions, seeds)


class ChattyEncoder(Encoder):
    card = Card("chatty", "1", "It prints.")

    def encode(self, images):
        print("encoded")
        return super().encode(images)


class ChattyMetric(Metric):
    card = Card("chatty", "1", "It prints.")

    @property
    def bounds(self):
        print("asked")
        return (0.0, None)

    def compare(self, real, fake, rng):
        print("compared")
        return super().compare(real, fake, rng)
"""
)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chatty") / "chatty.py"
    path.write_text(CHATTY)
    return path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run(plugin: Path, tmp_path: Path, workers: str) -> None:
    done = command_run.bench(
        *("run", "-t", "cam16-seg", "-g", f"{plugin}:Chatty", "-e", f"{plugin}:ChattyEncoder", "-m", f"{plugin}:ChattyMetric"),
        *("--no-downstream", "--controls", "none", "--seeds", "0", "--workers", workers, "--json", *small_run.SMALL),
        home=tmp_path / "home",
    )
    assert done.returncode == 0, done.stderr
    (record,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["measure"] == "chatty" and record["status"] == "ok"
    printed = {"imported", "built", "generated", "encoded", "compared", "from a process", "generated too"}
    assert printed <= set(done.stderr.splitlines()) and "written to the descriptor" in done.stderr


@pytest.mark.parametrize(
    ("kind", "name"), [("generators", "Chatty"), ("encoders", "ChattyEncoder"), ("metrics", "ChattyMetric")]
)
@pytest.mark.parametrize("verb", ["info", "check"])
def test_cards_and_checks(plugin: Path, kind: str, name: str, verb: str) -> None:
    done = command_run.bench(verb, f"{plugin}:{name}", "--kind", kind, "--json", home=plugin.parent / "home")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and done.returncode in (0, 4), done.stdout + done.stderr
    assert "imported" in done.stderr


def test_paths_that_fit_and_export_print_stay_on_stdout(plugin: Path, tmp_path: Path) -> None:
    done = small_run.bench(*("fit", "-g", "flat-colour", "-t", "cam16-seg", *small_run.SMALL), home=plugin.parent / "home")
    assert done.exit_code == 0 and Path(done.stdout.strip()).is_dir()
    folder = small_run.run(
        "-g", "blur", "--controls", "none", "--seeds", "0", *small_run.WORDS, home=plugin.parent / "home", out=tmp_path
    )
    done = small_run.bench("export", "samples", folder, "--out", tmp_path / "samples", home=plugin.parent / "home")
    assert done.exit_code == 0 and Path(done.stdout.strip()).is_dir()

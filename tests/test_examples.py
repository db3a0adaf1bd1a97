"""The examples of `--help` and of the pages: plug-ins that they name exist, and the commands do what they say.

Runs and suites are planned, not computed: every name, option and file of theirs is then read, and the data. Blocks of the
pages are run as printed by test_docs.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench import registry
from bench.cli import group
from tests.small_run import SMALL, bench
from tests.tasks.small_folder import halves, photo, write
from tests.test_docs import PAGES, blocks

MINE = """
import numpy as np
from bench.types import Card

class Mine:
    card = Card("mine", "1", "Grey, as the training patches are.", licence="MIT")
    deterministic = True

    def __init__(self, steps: int = 10) -> None:
        self.steps = steps

    def fit(self, train, seed, progress, work):
        self.grey = int(train.images.mean())

    def save(self, folder):
        (folder / "grey").write_text(str(self.grey))

    def load(self, folder):
        self.grey = int((folder / "grey").read_text())

    def generate(self, conditions, seeds):
        return np.full((len(conditions), conditions.size, conditions.size, 3), self.grey, np.uint8)
"""
PLANNED = ("run", "suite")
AS_PRINTED = ("list", "info", "new", "check")
"""Commands whose examples are run; those of the others are parsed, since they read what earlier commands wrote, and
test_options.py runs these commands."""
OPTIONS = {
    "generators": ("--generator", "-g", "--controls", "--beside"),
    "tasks": ("--task", "-t"),
    "encoders": ("--encoders", "--encoder", "-e"),
    "metrics": ("--metrics",),
    "layout_generators": ("--layout-generator",),
}
"""Kind -> the options of our commands that take names of it."""
PLACEHOLDER = re.compile(r"[A-Z]+|none|…|\.\.\.")


def examples(command: click.Command, context: click.Context) -> Iterator[str]:
    """The lines with a command in the help of a command and of those below it."""
    for line in (command.help or "").splitlines():
        if line.strip().startswith("bench "):
            yield line.strip().partition("   ")[0]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from examples(below, context)


EXAMPLES = list(dict.fromkeys(examples(group, click.Context(group))))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that examples name."""
    root = tmp_path_factory.mktemp("examples")
    (root / "mine.py").write_text(MINE)
    names = {f"p{i}": (photo(seed=i), halves()) for i in range(12)}
    write(root / "DIR", names)
    (root / "mine.toml").write_text(
        'name = "mine"\nsummary = "one"\n[preset.tiny]\nseeds = [0]\n'
        '[[cells]]\ngenerators = ["noise"]\ntasks = ["cam16-seg"]\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        asked = bench("export", "conditions", "-t", "cam16-seg", "--data", "DIR", "--out", "asked", home=root / "home")
        assert asked.exit_code == 0, asked.stderr
        rows = (root / "asked/conditions.csv").read_text().splitlines()[1:]
        write_generated(root / "generated/samples", [row.partition(",")[0] for row in rows])
        seen = ["features", "-e", "stain", "-t", "cam16-seg", "--data", "DIR", "--out", "features/real.npz"]
        assert bench(*seen, home=root / "home").exit_code == 0
    return root


def write_generated(folder: Path, ids: list[str]) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number, name in enumerate(ids):
        Image.fromarray(photo(seed=number)).save(folder / f"{name.replace('/', '__')}.png")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 40


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_help(example: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(example)[1:]
    if words[0] in AS_PRINTED and "--cite" not in words:
        found = bench(*words, home=place / "home")
        assert found.exit_code == 0, found.stderr
    elif words[0] in PLANNED and "tcga/k100" not in words:
        found = bench(*words, "--plan", *_small(words), home=place / "home")
        assert found.exit_code == 0 and found.stdout, found.stderr
    else:
        _parse(words)


def _small(words: list[str]) -> list[str]:
    """Options that make embedded data small; none for a folder or a suite."""
    if words[0] != "run" or "--data" in words or "--dataset" in words:
        return []
    return [*SMALL, *(["-o", "dataset.pool_slides=2"] if "lizard-nuclei" in words else [])]


def _parse(words: list[str]) -> None:
    """Raises the error of click if a command, an option or a value of one does not exist; files need not be there."""
    command, context, rest = group, click.Context(group), list(words)
    while isinstance(command, click.Group) and rest:
        below = command.get_command(context, rest[0])
        if below is None or (isinstance(below, click.Group) and not below.commands):
            break
        command, rest = below, rest[1:]  # type: ignore[assignment]
        if isinstance(command, click.Group) and not (rest and rest[0] in command.commands):
            break
    found, _, order = command.make_parser(click.Context(command)).parse_args(rest)
    for parameter in order:
        if isinstance(parameter.type, click.Choice) and isinstance(found.get(parameter.name or ""), str):
            parameter.type.convert(found[parameter.name or ""], parameter, None)


def commands_of_pages() -> list[tuple[str, str]]:
    """Page and command, from blocks and from code in lines."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"^```(?:sh|text)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        found += [(page.name, line[line.index("bench ") :]) for line in lines if re.search(r"(^|[ /&])bench \w", line)]
    return found


@pytest.mark.parametrize("kind", OPTIONS)
def test_plugins_that_examples_name_exist(kind: str) -> None:
    commands = [*(("--help", example) for example in EXAMPLES), *commands_of_pages()]
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(OPTIONS[kind])})[ =]([^\s`;|]+)")
    named = [(page, name) for page, text in commands for names in pattern.findall(text) for name in names.split(",")]
    panels = registry.panel_names() if kind in ("encoders", "metrics") else []
    assert named
    unknown = [
        (page, name)
        for page, name in named
        if not (registry.is_known(kind, name) or name in panels or PLACEHOLDER.fullmatch(name.partition(":")[0]))
    ]
    assert unknown == []


def complete(text: str) -> list[str]:
    """The words of one command of a page, without `bench`, what follows it in the shell, and ellipses."""
    line = re.split(r" (?:&&|\|\||>|\|) |; ", text)[0]
    line = line.rstrip('"') if line.count('"') % 2 else line  # the end of a command inside a command
    return [word for word in shlex.split(line, comments=True)[1:] if word not in ("…", "...")]


def test_commands_of_pages_are_read() -> None:
    """Each command of a page takes the options that the page gives it; those of `sh` blocks are run by test_docs.py too."""
    found = [(page, text) for page, text in commands_of_pages() if not re.match(r"bench \w+ [A-Z]+ ", text)]
    assert len(found) > 300
    for page, text in found:
        try:
            _parse(complete(text))
        except click.ClickException as error:
            pytest.fail(f"{page}: {text}: {error.format_message()}")


def slow_runs() -> list[str]:
    """Runs and suites of the blocks that are run by hand, on data that ship with the suite."""
    lines = dict.fromkeys(line for page in PAGES for line in blocks(page, "slow"))
    return [
        line for line in lines if line.split()[:2] in (["bench", "run"], ["bench", "suite"]) and ".checkpoint=" not in line
    ]


@pytest.mark.slow
def test_slow_runs_of_pages_are_planned(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name, option and file of them is read, and a plan of them is made."""
    monkeypatch.chdir(place)
    assert len(slow_runs()) > 20
    for line in slow_runs():
        words = shlex.split(line)[1:]
        found = bench(*words, "--plan", *_small(words), home=place / "home")
        assert found.exit_code == 0 and found.stdout, f"{line}: {found.stderr}"

"""The documentation is tested: every command runs as printed, every table is what its command prints, lists are complete."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh( \w+)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
OTHERS = re.compile(
    r"dask worker|dask scheduler|nthreads|--resources|sbatch|SBATCH|srun |accelerate launch|torchrun|"
    r"num_processes|main_process_ip|--gres|python -m|ssh-keygen|minisign"
)
"""Lines with options of other programs."""
FILE = re.compile(r'^```py title="([^"\n]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
"""A file that the reader of a tutorial writes."""
GENERATED = re.compile(r"<!-- made by: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    """Commands of the fenced blocks of one kind: "" is run, `slow` by hand, `install` by .ci/run."""
    return [command for _, command in steps(page, kind) if command]


def steps(page: Path, kind: str) -> Iterator[tuple[re.Match[str] | None, str]]:
    """What a reader does, in the order of the page: a file to write, or a command of the blocks of one kind."""
    text = page.read_text()
    for found in sorted((*BLOCK.finditer(text), *FILE.finditer(text)), key=lambda each: each.start()):
        if found.re is FILE:
            yield found, ""
        elif (found[1] or "").strip() == kind:
            yield from ((None, line.strip()) for line in found[2].splitlines() if line.strip() and not line.startswith("#"))


def shell(command: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCH_HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("BENCH_DATA", None)
    return subprocess.run(command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "home"


def run_all(page: Path, kind: str, cwd: Path, home: Path) -> None:
    for file, command in steps(page, kind):
        if file:
            (cwd / file[1]).write_text(file[2])
            continue
        done = shell(command, cwd, home)
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_as_printed(page: Path, tmp_path: Path, home: Path) -> None:
    run_all(page, "", tmp_path, home)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs_as_printed(page: Path) -> None:
    for body in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        names: dict[str, object] = {}
        exec(body, names)
        assert isinstance(names["distance"], float) and names["distance"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_slow_commands_run_as_printed(page: Path, tmp_path: Path, home: Path) -> None:
    run_all(page, "slow", tmp_path, home)


def test_scripts_run_as_printed(tmp_path: Path, home: Path) -> None:
    """The blocks of docs/python.md, each as a script, in one folder."""
    printed = re.findall(r"^```py\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(printed) == 3
    for number, text in enumerate(printed):
        (tmp_path / f"block{number}.py").write_text(text)
        done = shell(f"{sys.executable} block{number}.py", tmp_path, home)
        assert done.returncode == 0 and done.stdout, done.stderr
    assert (tmp_path / "page" / "index.html").is_file()


def test_tables_are_what_their_commands_print(home: Path) -> None:
    tables = [(page, *found) for page in PAGES for found in GENERATED.findall(page.read_text())]
    assert tables, "the README shows a generated table"
    for page, command, shown in tables:
        done = shell(command, ROOT, home)
        assert done.returncode == 0, done.stderr
        assert shown.strip() == done.stdout.strip(), f"{page.name}: make it again with {command}"


def test_the_two_commands_are_one_line_each_and_ci_runs_the_second() -> None:
    first, second = blocks(ROOT / "README.md", "install")
    assert "bench run --generator ldm-prompt --task cam16-seg" in first
    assert second in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_command_and_every_plugin_is_documented() -> None:
    from bench import registry
    from bench.cli import HERE

    text = "\n".join(page.read_text() for page in PAGES)
    commands = [*HERE, *registry.names("commands")]
    assert not [command for command in commands if f"bench {command}" not in text]
    kinds = ("generators", "encoders", "metrics", "tasks", "datasets", "layout_generators")
    names = [name for kind in kinds for name in registry.names(kind)]
    assert not [name for name in names if f"`{name}" not in text]


def test_options_in_the_pages_exist() -> None:
    """Every `--option` of a page is one of some command of ours, or of a program that the page names."""
    import click

    from bench.cli import group

    def options(command: click.Command, context: click.Context) -> set[str]:
        found = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                found |= options(below, context)
        return found

    ours = options(group, click.Context(group)) | {"--help", "--version"}
    for page in PAGES:
        lines = [line for line in page.read_text().splitlines() if not OTHERS.search(line)]
        used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(lines)))
        assert not used - ours, f"{page.name}: {sorted(used - ours)}"


def test_every_protocol_is_listed() -> None:
    """docs/architecture.md lists the protocols of bench/types in their order, each with one line."""
    modules = ("plugins", "generators", "metrics", "datasets", "tasks")
    trees = [ast.parse((ROOT / "bench" / "types" / f"{name}.py").read_text()) for name in modules]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    declared = [node.name for node in classes if any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)]
    section = (ROOT / "docs" / "architecture.md").read_text().partition("## Protocols\n")[2]
    listed = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert listed == declared


def test_paths_and_modules_in_the_pages_exist() -> None:
    """What a page names as a file or folder of the repository is there; so is every section that it links to."""
    packages = r"(?:bench|benchmarks|generators|metrics|tasks|leaderboards|tests|docs)"
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = re.sub(GENERATED, "", page.read_text())
        for path in re.findall(rf"`({packages}/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
        for module in re.findall(rf"python -m ({packages}(?:\.\w+)+)", text):
            place = ROOT / module.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").is_file(), f"{page.name}: {module}"


def anchors(page: Path) -> set[str]:
    """The section links of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_pictures_pages_and_sections_that_are_linked_exist() -> None:
    for page in PAGES:
        for target, section in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
            if target.startswith("http"):
                continue
            place = page.parent / target if target else page
            assert place.exists(), f"{page.name}: {target}"
            assert not section or section in anchors(place), f"{page.name}: {target}#{section}"

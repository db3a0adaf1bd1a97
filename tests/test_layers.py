"""The arrows of the house: imports run one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUR_PACKAGES = ("bench", "generators", "metrics", "tasks", "leaderboards")
HEAVY = {"torch", "torchvision", "timm", "diffusers", "accelerate", "segmentation_models_pytorch", "open_clip", "monai"}
RARE = {*HEAVY, "pandas", "scipy", "PIL", "matplotlib", "pydantic", "safetensors", "zarr", "dask", "distributed"}


def imports(file: Path, top_only: bool) -> set[str]:
    """First names of what a file imports: anywhere, or only when the file itself is imported."""
    tree = ast.parse(file.read_text())
    nodes = list(ast.walk(tree)) if not top_only else [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", OUR_PACKAGES)
def test_packages_import_bench_and_themselves_only(package: str) -> None:
    for file in sorted((ROOT / package).rglob("*.py")):
        foreign = imports(file, top_only=False) & set(OUR_PACKAGES) - {package, "bench"}
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


def test_types_and_errors_import_nothing_of_ours() -> None:
    for name in ("types", "errors"):
        assert not imports(ROOT / "bench" / f"{name}.py", top_only=False) & set(OUR_PACKAGES)


def test_bench_imports_numpy_and_nothing_heavier() -> None:
    for file in sorted((ROOT / "bench").rglob("*.py")):
        assert not imports(file, top_only=True) & RARE, file.relative_to(ROOT)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "generators", "--json"], ["run", "--help"]])
def test_looking_around_loads_no_torch(words: list[str]) -> None:
    code = (
        "import sys; from bench.cli import group\n"
        f"try: group.main({words!r}, standalone_mode=False)\n"
        "finally:\n"
        "    bad = sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])); print('LOADED', bad, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *sorted(RARE)], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stderr


@pytest.mark.parametrize("kind", ["generators", "encoders", "metrics", "tasks", "datasets"])
def test_reading_cards_loads_no_torch(kind: str) -> None:
    code = (
        "import sys; from bench import registry\n"
        f"cards = [registry.card({kind!r}, name) for name in registry.names({kind!r})]\n"
        "assert cards\n"
        "bad = sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code, *sorted(HEAVY)], check=True)


def test_files_are_packages_not_halls() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for package in OUR_PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > 330
    }
    assert not long

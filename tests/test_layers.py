"""The rules of the layout: imports run one way, nothing heavy is imported early, folders are described and small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUR_PACKAGES = ("bench", "generators", "metrics", "tasks", "leaderboards")
HEAVY = {"torch", "torchvision", "timm", "diffusers", "accelerate", "segmentation_models_pytorch", "open_clip", "monai"}
RARE = {*HEAVY, "pandas", "scipy", "PIL", "matplotlib", "pydantic", "safetensors", "zarr", "dask", "distributed", "rich"}
LIBRARIES = {
    *RARE,
    *("transformers", "huggingface_hub", "torch_fidelity", "skimage", "sklearn", "statsmodels", "jinja2", "click", "numpy"),
    *("einops", "faiss", "openslide", "shapely", "filelock", "cloudpickle", "pytest", "hypothesis"),
}
MODULES = 11
"""Modules that a folder of `bench/` may have, its `__init__` not counted."""


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


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", OUR_PACKAGES)
def test_packages_import_bench_and_themselves_only(package: str) -> None:
    for file in modules(package):
        foreign = imports(file, top_only=False) & set(OUR_PACKAGES) - {package, "bench"}
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


def test_errors_import_nothing_of_ours_and_types_only_each_other() -> None:
    assert not imports(ROOT / "bench" / "errors.py", top_only=False) & set(OUR_PACKAGES)
    for file in (ROOT / "bench" / "types").glob("*.py"):
        named = {node.module or "" for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)}
        foreign = {name for name in named if name.split(".")[0] in OUR_PACKAGES and not name.startswith("bench.types.")}
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


def test_bench_imports_numpy_and_nothing_heavier() -> None:
    for file in modules("bench"):
        assert not imports(file, top_only=True) & RARE, file.relative_to(ROOT)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "generators", "--json"], ["run", "--help"]])
def test_help_and_lists_load_no_torch(words: list[str]) -> None:
    code = (
        "import sys; from bench.cli import group\n"
        f"try: group.main({words!r}, standalone_mode=False)\n"
        "finally:\n"
        "    bad = sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])); print('LOADED', bad, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *sorted(RARE)], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stderr


@pytest.mark.parametrize("kind", ["generators", "encoders", "metrics", "tasks", "datasets", "layout_generators"])
def test_reading_cards_loads_no_torch(kind: str) -> None:
    code = (
        "import sys; from bench import registry\n"
        f"cards = [registry.card({kind!r}, name) for name in registry.names({kind!r})]\n"
        "assert cards\n"
        "bad = sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code, *sorted(HEAVY)], check=True)


@pytest.mark.parametrize("package", OUR_PACKAGES)
def test_every_folder_says_what_belongs_there(package: str) -> None:
    for folder in sorted({file.parent for file in modules(package)}):
        name = folder.relative_to(ROOT)
        assert (folder / "__init__.py").is_file(), f"{name} has no __init__.py"
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        assert len(text.split()) >= 6 and "TODO" not in text, f"{name}/__init__.py says {text!r}"


def test_folders_of_the_harness_are_small() -> None:
    folders = {file.parent for file in modules("bench")}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) - 1 for folder in folders}
    assert not {name: count for name, count in counts.items() if count > MODULES}


def test_no_module_is_called_like_a_library() -> None:
    named = [file for package in OUR_PACKAGES for file in modules(package) if file.stem in LIBRARIES]
    assert not [str(file.relative_to(ROOT)) for file in named]


def test_modules_are_short() -> None:
    lengths = {file: len(file.read_text().splitlines()) for package in OUR_PACKAGES for file in modules(package)}
    exceptions = {"bench/jobs/dask_executor.py": 450}
    found = {str(file.relative_to(ROOT)): lines for file, lines in lengths.items()}
    assert not {name: lines for name, lines in found.items() if lines > exceptions.get(name, 400)}


@pytest.fixture(scope="module")
def wheel() -> set[str]:
    """Paths of the files that a wheel gets, without building one."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(ROOT))
    return {file.distribution_path for file in builder.recurse_included_files()}


def test_measured_results_are_not_in_the_wheel(wheel: set[str]) -> None:
    assert not [name for name in wheel if name.startswith(("leaderboards/measured/", "leaderboards/baselines/"))]


def test_what_commands_read_is_in_the_wheel(wheel: set[str]) -> None:
    folders = ("leaderboards/published", "leaderboards/policies", "leaderboards/suites", "leaderboards/report/assets")
    folders += ("leaderboards/report/templates", "leaderboards/studies/forms")
    folders += ("leaderboards/studies/assets", "leaderboards/studies/templates")
    folders += (
        "tasks/experiments/lizard-nuclei",
        "tasks/experiments/segmentation",
        "generators/weights/phantom-cam16",
        "generators/weights/phantom-lizard",
    )
    for folder in folders:
        files = {str(file.relative_to(ROOT)) for file in (ROOT / folder).iterdir() if file.is_file()}
        assert files and files <= wheel, folder
    for package in OUR_PACKAGES:
        assert {str(file.relative_to(ROOT)) for file in modules(package)} <= wheel

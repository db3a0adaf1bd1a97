"""torchvision beside a torch that cannot load its extension; packages that hide ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:

    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)


def test_torchvision_imports_after_the_shim() -> None:
    done = python(
        "from bench.runtime import torchvision_shim as s; s.ready(); s.ready()\n"
        "import torchvision, torch\n"
        "from torchvision.transforms.functional import resize\n"
        "print(resize(torch.ones(1, 3, 8, 8), [4, 4]).shape)"
    )
    assert done.returncode == 0, done.stderr
    assert "[1, 3, 4, 4]" in done.stdout


def test_shim_bridges_exactly_where_torchvision_fails_alone() -> None:
    alone = python("import torchvision")
    bridged = python("from bench.runtime import torchvision_shim as s; s.ready(); print(s.is_active())").stdout.strip()
    assert bridged == str(alone.returncode != 0)


def test_shim_does_nothing_once_torchvision_is_there() -> None:
    done = python(
        "import sys, types; sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "from bench.runtime import torchvision_shim as s; s.ready(); print(s.is_active(), 'torch' in sys.modules)"
    )
    assert done.stdout.strip() == "False False"


@pytest.mark.parametrize("package", ["metrics", "tasks"])
def test_foreign_package_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    done = python("from bench.cli import main; import sys; sys.argv = ['bench', 'list']; main()", cwd=tmp_path)
    assert done.returncode == 2
    assert f"package '{package}' of histobench is hidden" in done.stderr and str(tmp_path) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_guard_is_content_at_home() -> None:
    assert python("from bench.runtime import import_guard; import_guard.check()").returncode == 0


def test_plugins_from_outside_may_import_torchvision(tmp_path: Path) -> None:
    """At the top of the file and later, without knowing of the shim; a file that does not import it loads no torch."""
    (tmp_path / "sees.py").write_text(
        "import torchvision\nfrom bench.types import Card\nclass Sees:\n    card = Card('sees', '1', 'x', licence='MIT')\n"
    )
    (tmp_path / "later.py").write_text(
        "from bench.types import Card\nclass Later:\n    card = Card('later', '1', 'x', licence='MIT')\n"
        "    def __init__(self): pass\n    def use(self):\n        import torchvision\n"
    )
    load = "import sys; from bench import registry; made = registry.load('encoders', '{}')\n"
    for code in (
        load.format("sees.py:Sees"),
        load.format("later.py:Later") + "assert 'torch' not in sys.modules\n"
        "from bench.runtime import torchvision_shim; torchvision_shim.ready(); made.use()",
    ):
        done = python(code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

"""The environment of a run: versions, code, machine. torch is imported only if it is needed to find the device."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from pathlib import Path
from typing import Any

from bench.registry import KINDS
from bench.runtime.devices import may_have_gpu
from bench.runtime.import_guard import OUR_PACKAGES
from bench.runtime.process import cores, threads

PACKAGES = (
    "histobench",
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "diffusers",
    "accelerate",
    "timm",
    "open_clip_torch",
    "transformers",
    "segmentation-models-pytorch",
    "monai",
    "scikit-image",
    "pandas",
    "pillow",
    "safetensors",
)
"""Every library that can change a number."""
PRECISION = "float32, TF32 off, deterministic convolutions; an encoder's own precision is among its options"
"""The precision that `bench.runtime.precision` sets, as it is written into manifests."""


def environment(used: Iterable[int] = ()) -> dict[str, Any]:
    """Versions, code, machine, device, precision and threads of this process, as JSON. `used`: numbers of threads that jobs
    were run with, which may have been other processes; several are a list."""
    known = sorted(set(used)) or [threads()]
    return {
        "versions": versions(),
        "code": code_digest(),
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "threads": known[0] if len(known) == 1 else known,
        "device": device(),
        "precision": PRECISION,
    }


def versions() -> dict[str, str]:
    """Python, the libraries that can change a number, and the packages that bring plug-ins of their own."""
    brought = (entry.dist for kind in KINDS for entry in entry_points(group=f"bench.{kind}"))
    strangers = {package.name for package in brought if package is not None}
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *sorted(strangers - {"histobench"})):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def code_digest() -> str:
    """sha256 over the source files that numbers depend on: exact where a version or a commit is not."""
    root = Path(__file__).parents[2]
    packages = ("bench", *(package for package in OUR_PACKAGES if package != "leaderboards"))
    files = sorted(file for package in packages for file in (root / package).rglob("*.py"))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def commit() -> str:
    """The git commit of an editable install, `-dirty` where tracked files differ from it; empty for any other install."""
    try:
        source = json.loads(distribution("histobench").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    root = Path(__file__).parents[2]
    if not source.get("dir_info", {}).get("editable") or not (root / ".git").exists():
        return ""
    words = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    """The processor's name: kernels are chosen by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def device() -> str:
    """`cpu`, or `cuda` and the name of the card. torch is not imported on a machine without a device file."""
    if platform.system() == "Darwin" or not may_have_gpu():
        return "cpu"
    from bench.runtime import precision

    found = precision.device()
    if found == "cpu":
        return found
    import torch

    return f"{found} {torch.cuda.get_device_name(0)}"


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> its values in both environments, for everything that can change bits and differs. The commit is left out, since
    the digest of the code is exact, and so is the number of cores, since only the number of threads matters."""
    flat = [{**made, **made.get("versions", {}), "versions": None, "commit": None, "cores": None} for made in (one, other)]
    names = dict.fromkeys((*flat[0], *flat[1]))
    return {name: (flat[0].get(name), flat[1].get(name)) for name in names if flat[0].get(name) != flat[1].get(name)}

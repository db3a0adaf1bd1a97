"""`bench doctor`: checks this machine, and says how to fix what does not work."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from bench import registry
from bench.errors import BenchError, BrokenPluginError, MissingError, UsageError
from bench.jobs.store import default_root
from bench.loading import asked_of
from bench.messages import echo
from bench.runtime import import_guard
from bench.runtime.plugin_code import stdout_to_stderr
from bench.types import ReportsReadiness

Finding = tuple[bool, str]
"""Whether the check passed, and a sentence on what was found and, if it failed, what to do."""


MARKS = {"ready": "✓", "missing": "–", "gated": "–", "damaged": "✗"}


@click.command("doctor")
@click.option("--encoders", is_flag=True, help="Show the state of every encoder's weights instead. Nothing is downloaded.")
@click.option("--weights", type=click.Path(path_type=Path), help="With --encoders: a folder of weights to look in first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(encoders: bool, weights: Path | None, as_json: bool) -> None:
    """Check this machine, and say how to fix what does not work. Exit code 1 if something does not.

    Missing weights of an encoder are no fault; damaged weights are.
    """
    if weights and not encoders:
        raise UsageError("--weights says where to look for encoders: give --encoders too.")
    well = _encoders(weights, as_json) if encoders else _machine(as_json)
    if not well:
        raise SystemExit(1)


def _machine(as_json: bool) -> bool:
    well = True
    for name, check in _CHECKS.items():
        for good, text in check():
            well &= good
            if as_json:
                echo(json.dumps({"check": name, "ok": good, "found": text}))
            else:
                echo(f"{'✓' if good else '✗'} {name:11s}{text}")
    return well


def _encoders(weights: Path | None, as_json: bool) -> bool:
    well = True
    for name in registry.names("encoders"):
        state, text = _state(name, weights)
        well &= state != "damaged"
        if as_json:
            echo(json.dumps({"encoder": name, "state": state, "found": text}))
        else:
            echo(f"{MARKS[state]} {name:18s}{state:9s}{text}")
    return well


def _state(name: str, weights: Path | None) -> tuple[str, str]:
    """One of `MARKS`, and one sentence."""

    def ask() -> tuple[str, str]:
        takes = registry.parameters(registry.find("encoders", name)[0])
        if any(option.default is option.empty for option in takes.values()):
            return "ready", f"a family: {name}:NAME"
        encoder = registry.load("encoders", name, **({"weights": weights} if weights and "weights" in takes else {}))
        return "ready", encoder.ready() if isinstance(encoder, ReportsReadiness) else "needs nothing from outside"

    try:
        with stdout_to_stderr():
            return asked_of("encoders", name, ask)
    except MissingError as error:
        return error.code, str(error)
    except BrokenPluginError as error:
        return "damaged", str(error)


def _packages() -> Iterator[Finding]:
    for package in ("torch", "torchvision", "diffusers", "timm", "segmentation-models-pytorch", "accelerate"):
        try:
            yield True, f"{package} {version(package)}"
        except PackageNotFoundError:
            yield False, f"{package} is not installed: pip install histobench"


def _device() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        yield True, f"{torch.cuda.get_device_name()} through CUDA {torch.version.cuda}"
    else:
        yield True, f"no accelerator: {torch.get_num_threads()} threads of the processor"


def _vision() -> Iterator[Finding]:
    from bench.runtime import torchvision_shim

    torchvision_shim.ready()
    try:
        import torchvision
    except Exception as error:  # any error should be seen here and not in the middle of a run
        yield False, f"torchvision does not import: {error}. Install the build that belongs to your torch."
        return
    note = " (its compiled operators do not load beside this torch; they are not needed)"
    yield True, f"torchvision {torchvision.__version__}{note if torchvision_shim.is_active() else ''}"


def _cache() -> Iterator[Finding]:
    root = default_root()
    there = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(there).free / 1e9
    if not os.access(there, os.W_OK):
        yield False, f"{root} cannot be written: point BENCH_HOME to another folder."
    else:
        yield free > 1, f"{root}, {free:.1f} GB free" + ("" if free > 1 else ": free space, or move BENCH_HOME")


def _data() -> Iterator[Finding]:
    folder = os.environ.get("BENCH_DATA", "")
    if not folder:
        yield True, "BENCH_DATA is not set: runs use embedded data and say so"
    else:
        there = Path(folder).is_dir()
        yield there, f"BENCH_DATA={folder}" + ("" if there else " does not exist: correct or unset it")


def _plugins() -> Iterator[Finding]:
    for kind in registry.KINDS:
        broken = []
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except BenchError as error:
                broken.append(str(error))
        yield not broken, f"{kind}: {len(registry.names(kind))} found" + "".join(f"; {text}" for text in broken)


def _our_packages() -> Iterator[Finding]:
    try:
        import_guard.check()
    except BenchError as error:
        yield False, str(error)
    else:
        yield True, f"packages {', '.join(import_guard.OUR_PACKAGES)} are ours"


_CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "packages": _packages,
    "device": _device,
    "vision": _vision,
    "our packages": _our_packages,
    "plug-ins": _plugins,
    "cache": _cache,
    "data": _data,
}

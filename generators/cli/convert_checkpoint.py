"""`bench convert-checkpoint`: the tensors of a checkpoint as safetensors, with a report of what else it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import writable_folder
from bench.errors import UsageError
from bench.messages import echo

if TYPE_CHECKING:
    from generators.diffusion.lightning_files import Checkpoint

WEIGHTS, REPORT = "checkpoint.safetensors", "report.json"


@click.command("convert-checkpoint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), callback=writable_folder, required=True, help="A new or empty folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(file: Path, out: Path, as_json: bool) -> None:
    """Write the tensors of FILE, a checkpoint of PyTorch or Lightning, as safetensors, with report.json of what was left out.

    No code of FILE is run: objects of classes that are not tensors or containers are replaced by empty ones.
    """
    from safetensors.torch import save_file

    from bench.provenance.digests import digest_of
    from generators.diffusion.lightning_files import read_checkpoint

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: name a new folder.")
    found = read_checkpoint(file)
    report = {"file": file.name, "sha256": digest_of(file), **_describe(found)}
    out.mkdir(parents=True, exist_ok=True)
    # tensors that share memory are written one by one: safetensors refuses them otherwise
    save_file({name: value.clone().contiguous() for name, value in found.tensors.items()}, out / WEIGHTS)
    (out / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if as_json:
        echo(json.dumps(report))
        return
    for name, held in report["tensors"].items():
        echo(f"{name}  {held['tensors']} tensors, {held['numbers']:,} numbers")
    echo(f"not kept: {'; '.join(report['not_kept']) or 'nothing'}")
    if report["classes_not_looked_up"]:
        echo(f"classes not looked up: {', '.join(report['classes_not_looked_up'])}")
    echo(str(out / WEIGHTS))


def _describe(found: Checkpoint) -> dict[str, Any]:
    """Tensors by the first part of their names, what lay beside them, and the classes that were not looked up."""
    groups: dict[str, dict[str, int]] = {}
    for name, value in found.tensors.items():
        group = groups.setdefault(name.partition(".")[0], {"tensors": 0, "numbers": 0})
        group["tensors"] += 1
        group["numbers"] += value.numel()
    return {"tensors": groups, "not_kept": list(found.dropped), "classes_not_looked_up": list(found.replaced)}

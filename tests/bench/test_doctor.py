"""`bench doctor --encoders`: the state of weights, reported without fetching any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import registry
from bench.cli import group
from bench.errors import UsageError


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights anywhere, and a hub that nobody may ask."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    for asks in ("unreachable", "Hub._download", "Url.fetch"):
        monkeypatch.setattr(f"metrics.encoders.weights.{asks}", None)


def doctor(*words: str) -> Result:
    return CliRunner().invoke(group, ["doctor", "--encoders", *words])


def states(*words: str) -> dict[str, tuple[str, str]]:
    text = [json.loads(line) for line in doctor("--json", *words).output.splitlines()]
    return {entry["encoder"]: (entry["state"], entry["found"]) for entry in text}


def test_every_encoder_has_one_line_that_says_what_to_do() -> None:
    found = states()
    assert list(found) == registry.names("encoders")
    assert {name: found[name][0] for name in ("texture", "timm", "phikon", "inception", "uni")} == {
        "texture": "ready",
        "timm": "ready",
        "phikon": "missing",
        "inception": "missing",
        "uni": "gated",
    }
    assert "https://huggingface.co/owkin/phikon" in found["phikon"][1] and "-o weights=FILE" in found["phikon"][1]
    assert "ask for access on https://huggingface.co/MahmoodLab/UNI and set HF_TOKEN" in found["uni"][1]
    shown = doctor()
    assert shown.exit_code == 0  # nothing is broken: weights that nobody has asked for need not be here
    assert len(shown.output.splitlines()) == len(found)


def test_files_in_a_folder_are_looked_at(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from metrics.encoders.kinds import kind
    from metrics.encoders.panel import ROWS

    row = next(row for row in ROWS if row.name == "pathdino")
    network = kind(row).build(row)
    save_file(network.state_dict(), tmp_path / "pathdino.safetensors")
    torch.save({"cls_token": torch.zeros(1, 1, 384)}, tmp_path / "lunit-vits8.pth")
    (tmp_path / "uni.bin").write_bytes(b"not a network")
    found = states("--weights", str(tmp_path))
    assert found["pathdino"] == ("ready", str(tmp_path / "pathdino.safetensors"))
    assert found["lunit-vits8"][0] == "damaged" and "pos_embed is missing" in found["lunit-vits8"][1]
    assert found["uni"][0] == "damaged" and "uni.bin is damaged" in found["uni"][1]
    assert found["phikon"][0] == "missing"
    assert doctor("--weights", str(tmp_path)).exit_code == 1


def test_a_folder_without_the_question_is_refused(tmp_path: Path) -> None:
    text = CliRunner().invoke(group, ["doctor", "--weights", str(tmp_path)])
    assert isinstance(text.exception, UsageError)
    assert "give --encoders too" in str(text.exception)

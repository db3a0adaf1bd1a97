"""The table against what was published: names, shapes and numbers of parameters."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from metrics.encoders import panel
from metrics.encoders.kinds import kind
from metrics.encoders.loaders.checkpoints import Tensors, differences, select_tensors
from metrics.encoders.page import page
from metrics.encoders.panel import ROWS, SOURCES
from metrics.encoders.pretrained import attribute
from metrics.encoders.row import Row

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "published.json").read_text())
UNITS = {"": 1, "M": 10**6, "B": 10**9}


def layout(name: str) -> Tensors:
    """What the published checkpoint holds: every name with its shape. `0-3` in a name stands for 0, 1, 2 and 3."""
    import torch

    text = PUBLISHED[name]
    found = {}
    for template, shape in PUBLISHED[text.get("as", name)]["tensors"].items():
        blocks = re.search(r"\b0-(\d+)\b", template)
        for i in range(int(blocks[1]) + 1 if blocks else 1):
            place = f"{template[: blocks.start()]}{i}{template[blocks.end() :]}" if blocks else template
            found[place] = torch.empty(shape, device="meta")
    return found


def numbers(tensors: Tensors) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_network_is_the_published_one(row: Row) -> None:
    import torch

    with torch.device("meta"):
        network = kind(row).build(row)
    assert differences(select_tensors(row, kind(row).names(network)), select_tensors(row, layout(row.name))) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_checkpoint_has_the_published_number_of_parameters(row: Row) -> None:
    held = layout(row.name)
    assert numbers(held) == PUBLISHED[row.name]["total"]
    if not row.published:
        assert not row.verified
        return
    learned = numbers({name: tensor for name, tensor in held.items() if not name.endswith(row.ignores)})
    about, figures, unit = re.fullmatch(r"(≈?)([\d.]+)([MB]?)", row.published).groups()  # type: ignore[union-attr]
    if about:
        assert learned == pytest.approx(float(figures) * UNITS[unit], rel=0.1)
    else:
        assert f"{learned / UNITS[unit]:.{len(figures.partition('.')[2])}f}" == figures


def test_every_row_has_a_layout_and_no_layout_is_without_a_row() -> None:
    assert list(PUBLISHED) == [row.name for row in ROWS]
    assert all(text["source"] for text in PUBLISHED.values())


def test_every_row_is_an_encoder_that_the_registry_knows() -> None:
    for row in ROWS:
        card = registry.card("encoders", row.name)
        assert (card.name, card.licence, card.source) == (row.name, row.licence, row.origin.page)
        assert ("Gated" in card.notes) == row.origin.gated
        assert registry.load("encoders", row.name).dim == row.dim
        assert registry.find("encoders", row.name)[0].__name__ == attribute(row.name)


def test_rows_say_what_they_must() -> None:
    for row in ROWS:
        assert row.licence and row.summary.endswith(".") and len(row.summary) < 100
        assert row.counted and set(row.counted) <= set(SOURCES)
        assert row.precision == "float32"
        assert row.shorter in (0, *range(row.side, 2 * row.side))
        assert (row.filter == "tensorflow") == (row.loader == "torch-fidelity")


def test_panels_name_encoders_and_the_open_one_needs_no_token() -> None:
    panels = {name: registry.expand("encoders", [name]) for name in ("embedded", "open", "heterotissue", "full")}
    gated = {row.name for row in ROWS if row.origin.gated}
    assert panels["embedded"] == ("texture", "random-conv", "phantom-cnn")
    assert len(panels["heterotissue"]) == 8
    assert not gated & set(panels["open"])
    assert gated <= set(panels["full"])
    assert "inception-logits" not in panels["full"]
    for name, members in panels.items():
        assert members == getattr(panel, name.upper())
        assert set(members) <= set(registry.names("encoders"))


def test_the_page_shows_every_row_and_what_was_not_checked() -> None:
    shown = page()
    for row in ROWS:
        assert f"| `{row.name}` | [{row.origin.name}]({row.origin.page})" in shown
        assert (f"- `{row.name}`: {row.unverified}" in shown) != row.verified
    assert "gated" in shown


def test_features_of_keep_have_length_1() -> None:
    import torch

    (row,) = (row for row in ROWS if row.name == "keep")
    small = replace(row, build={"architecture": "vit_tiny_patch16_224"}, dim=12)
    torch.manual_seed(0)
    network = kind(row).build(small).eval()
    pixels = torch.randn(3, 3, 224, 224)
    with torch.no_grad():
        found = kind(row).features(small, network, pixels)
        expected = network["visual_head"](network["visual"](pixels))  # type: ignore[index]
    assert found.shape == (3, 12) and torch.allclose(found.norm(dim=1), torch.ones(3))
    assert torch.allclose(found, expected / expected.norm(dim=1, keepdim=True))

"""What a notebook prints of a set of patches is one line."""

from __future__ import annotations

from bench import registry


def test_sets_and_conditions_print_what_they_hold() -> None:
    patches = registry.load("datasets", "phantom-cam16", test_slides=2, per_slide=4).split("test")
    assert "8 patches of 64 px, 2 groups, 2 classes; " in repr(patches) and "masks" in repr(patches)
    assert patches.key in repr(patches) and len(repr(patches)) < 200 and len(repr(patches.conditions)) < 150

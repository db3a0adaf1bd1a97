"""Sets in the store: what is read is what was written, and selecting rows reads nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.jobs.arrays import StoredArray
from bench.jobs.store import DamagedEntry, EntryRef, Store
from bench.pipeline import prompts
from bench.pipeline.sets import SetRef, load_into_memory, load_set, save_set, select
from bench.types import ImageSet
from tasks.datasets.phantom.dataset import PhantomCam16

REF = EntryRef("data", "set")


def stored(patches: ImageSet, root: Path) -> Store:
    store = Store(root)
    store.write(REF, {}, lambda work: save_set(patches, work))
    return store


@pytest.mark.parametrize("prompted", [False, True])
def test_set_comes_back_as_it_was(tmp_path: Path, prompted: bool) -> None:
    patches = PhantomCam16(train_slides=2, per_slide=3).split("train")
    if prompted:
        patches = prompts.attach(patches, prompts.PromptRule())
    lazy = load_set(stored(patches, tmp_path), REF)
    assert isinstance(lazy.images, StoredArray)
    back = load_into_memory(lazy)
    assert back.key == patches.key
    assert np.array_equal(back.images, patches.images)
    assert back.conditions.columns() == patches.conditions.columns()
    assert (back.conditions.classes, back.conditions.size) == (patches.conditions.classes, patches.conditions.size)
    for column in patches.conditions.columns() - {"prompts"}:
        assert np.array_equal(getattr(back.conditions, column), getattr(patches.conditions, column))
    if prompted:
        assert back.conditions.prompts is not None and patches.conditions.prompts is not None
        assert back.conditions.prompts.prompt_source == "slide"
        assert np.array_equal(back.conditions.prompts.canvases, patches.conditions.prompts.canvases)
        assert np.array_equal(back.conditions.prompts.sources, patches.conditions.prompts.sources)


def test_rows_are_those_of_indexing_under_the_same_key(tmp_path: Path) -> None:
    patches = PhantomCam16(train_slides=2, per_slide=4).split("train")
    rows = np.array([5, 0, 3])
    part = select(load_set(stored(patches, tmp_path), REF), rows)
    assert isinstance(part.images, StoredArray)
    assert part.key == patches[rows].key
    assert np.array_equal(np.asarray(part.images), patches[rows].images)
    ref = SetRef(REF, part.key, (5, 0, 3), columns=("masks",))
    assert ref.load(Store(tmp_path)).conditions.columns() == {"masks"}


def test_a_damaged_chunk_of_a_column_is_found_where_it_is_read(tmp_path: Path) -> None:
    patches = PhantomCam16(train_slides=2, per_slide=3).split("train")
    store = stored(patches, tmp_path)
    chunk = next(file for file in (store.path(REF) / "masks" / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    assert store.has(REF), "damage is found where it is read, not by looking at everything"
    assert len(np.asarray(load_set(store, REF).images)) == 6
    with pytest.raises(DamagedEntry):
        np.asarray(load_set(store, REF).conditions.masks)

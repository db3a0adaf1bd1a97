"""Sets on disk, and shards that no engine changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench import engine
from bench.pipeline import prompts
from bench.store import load_set, save_set
from tasks.datasets.phantom.dataset import PhantomCam16


@pytest.mark.parametrize("prompted", [False, True])
def test_set_comes_back_as_it_was(tmp_path: Path, prompted: bool) -> None:
    patches = PhantomCam16(train_slides=2, per_slide=3).split("train")
    if prompted:
        patches = prompts.attach(patches, prompts.PromptRule())
    save_set(patches, tmp_path)
    back = load_set(tmp_path)
    assert back.key == patches.key
    assert np.array_equal(back.images, patches.images)
    assert back.conditions.columns() == patches.conditions.columns()
    assert (back.conditions.classes, back.conditions.size) == (patches.conditions.classes, patches.conditions.size)
    for column in patches.conditions.columns() - {"prompts"}:
        assert np.array_equal(getattr(back.conditions, column), getattr(patches.conditions, column))
    if prompted:
        assert back.conditions.prompts.prompt_source == "slide"
        assert np.array_equal(back.conditions.prompts.canvases, patches.conditions.prompts.canvases)
        assert np.array_equal(back.conditions.prompts.sources, patches.conditions.prompts.sources)


def mark(folder: Path, shard: engine.Shard) -> None:
    (folder / f"{shard[0]}-{shard[1]}").write_text("")


def breaks(shard: engine.Shard) -> None:
    raise ValueError(f"shard {shard}")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_row_is_done_once(tmp_path: Path, workers: int) -> None:
    pieces = engine.shards(10, 4)
    assert pieces == [(0, 4), (4, 8), (8, 10)]
    done = list(engine.run(partial(mark, tmp_path), pieces, workers))
    assert sorted(done) == pieces
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_failure_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="shard"):
        list(engine.run(breaks, engine.shards(10, 4), workers))

"""Lizard: patches show what the label files say, splits keep slides apart, and the options choose the tiles."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.errors import BenchError, MissingError, UsageError
from tasks.datasets.conic import Conic
from tasks.datasets.folder import Folder
from tasks.datasets.lizard import Lizard
from tasks.datasets.lizard_files import count_types
from tasks.datasets.nuclei_folder import NucleiFolder
from tasks.datasets.nuclei_splits import PAPER_R1
from tasks.datasets.nuclei_tiles import CLASSES, fitted_corners
from tests.tasks.small_nuclei import GLASS, LIZARD_SPLITS, draw_image, is_aligned, label_file, lizard, read_splits, relabel


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lizard(tmp_path_factory.mktemp("lizard"))


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A copy of the release to break."""
    return Path(shutil.copytree(whole, tmp_path / "release"))


def test_patches_show_what_the_files_say_with_the_true_order_of_types(whole: Path) -> None:
    names = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
    seen: set[str] = set()
    for split in ("train", "validation", "test", "R2"):
        patches = Lizard(whole, size=64, stride=32).split(split)
        conditions = patches.conditions
        assert is_aligned(patches) and conditions.classes == ("background", *names) and conditions.mpp == 0.5
        assert conditions.masks.dtype == np.uint8 and conditions.instances.dtype == np.int32
        assert conditions.columns() == Lizard.provides | {"origins", "corners"} and np.array_equal(
            conditions.types, conditions.masks
        )
        for name, instances, masks in zip(conditions.ids, conditions.instances, conditions.masks, strict=True):
            image, _, corner = name.partition("/")
            x, y = map(int, corner.split("_"))
            _, numbers, types = draw_image(150, 200, seed=int(image.partition("_")[2]) - 1)
            assert np.array_equal(instances, numbers[y : y + 64, x : x + 64])
            assert np.array_equal(masks, types[y : y + 64, x : x + 64])
            seen.add(image)
    assert len(seen) == 5


def test_the_flat_layout_holds_the_same_patches(whole: Path, tmp_path: Path) -> None:
    for part in ("lizard_images1/Lizard_Images1", "lizard_images2/Lizard_Images2", "lizard_labels/Lizard_Labels"):
        shutil.copytree(whole / part, tmp_path / Path(part).name)
    nested, flat = Lizard(whole).split("train"), Lizard(tmp_path).split("train")
    assert nested.key == flat.key and np.array_equal(nested.images, flat.images)


def test_tiles_end_at_the_border_in_both_directions_and_the_published_ones_do_not() -> None:
    fitted = list(fitted_corners((150, 200), 128, 64))
    assert fitted == [(0, 0), (64, 0), (72, 0), (0, 22), (64, 22), (72, 22)]
    assert list(fitted_corners((150, 200), 128, 64, published=True)) == [(0, 0), (64, 0), (72, 0), (0, 22)]
    assert list(fitted_corners((128, 192), 128, 64)) == [(0, 0), (64, 0)] and not list(fitted_corners((127, 300), 128, 64))


@pytest.mark.parametrize(
    ("options", "each"), [({}, 6), ({"border": "published"}, 4), ({"stride": 128}, 4), ({"size": 64}, 12), ({"size": 151}, 0)]
)
def test_options_decide_which_tiles_are_cut(whole: Path, options: dict[str, int], each: int) -> None:
    if not each:
        with pytest.raises(MissingError, match="tiles of 0 sources"):
            Lizard(whole, **options).split("train")  # type: ignore[arg-type]
        return
    patches = Lizard(whole, **options).split("train")  # type: ignore[arg-type]
    assert set(Counter(patches.conditions.groups.tolist()).values()) == {each}


def test_glass_is_left_out(broken: Path) -> None:
    for path in broken.rglob("*.png"):
        image = np.array(Image.open(path))
        image[:, 100:] = GLASS
        Image.fromarray(image).save(path)
    kept = Lizard(broken, size=64, stride=64).split("train").conditions.ids
    assert {name.partition("/")[2].partition("_")[0] for name in kept} == {"0", "64"}  # of 0, 64, 128 and 136
    strict = Lizard(broken, size=64, stride=64, tissue=0.9).split("train").conditions.ids
    assert {name.partition("/")[2].partition("_")[0] for name in strict} == {"0"}
    with pytest.raises(MissingError, match="tiles .* show tissue or annotation in less than 100%"):
        Image.fromarray(np.full((150, 200, 3), (GLASS, GLASS, GLASS - 1), np.uint8)).save(next(broken.rglob("crag_3.png")))
        read_splits(Lizard(broken, tissue=1))


def test_splits_are_disjoint_r1_is_of_train_and_the_manifest_says_so(whole: Path) -> None:
    data = Lizard(whole)
    groups = {name: set(data.split(name).conditions.groups.tolist()) for name in (*LIZARD_SPLITS, "holdout")}
    four = [groups[name] for name in ("train", "validation", "test", "R2")]
    assert sum(map(len, four)) == 5 == len(set.union(*four))
    assert groups["R1"] and groups["R1"] <= groups["train"] and groups["holdout"] == groups["validation"] | groups["R2"]
    manifest = json.loads(json.dumps(data.manifest()))
    for name in LIZARD_SPLITS:
        assert {image for image, splits in manifest.items() if name in splits} == groups[name]
    with pytest.raises(UsageError, match="train, validation, test, holdout, R1, R2"):
        data.split("R3")


def test_another_seed_is_another_split_and_fewer_than_four_slides_are_none(tmp_path: Path) -> None:
    folder = lizard(tmp_path / "many", 12, (128, 128))
    assert Lizard(folder).manifest() == Lizard(folder).manifest() != Lizard(folder, seed=1).manifest()
    with pytest.raises(MissingError, match="tiles of 3 sources.*one of their own"):
        Lizard(lizard(tmp_path / "few", 3)).split("train")


def test_a_column_slide_keeps_images_of_one_slide_together(tmp_path: Path) -> None:
    folder = lizard(tmp_path, 8, (128, 128))
    table = folder / "lizard_labels/Lizard_Labels/info.csv"
    lines = table.read_text().split()
    table.write_text("\n".join([lines[0] + ",Slide", *(f"{line},s{i // 2}" for i, line in enumerate(lines[1:]))]))
    shown = list(Lizard(folder).manifest().values())
    assert shown[::2] == shown[1::2] and len({tuple(splits) for splits in shown}) == 4
    assert set(Lizard(folder).split("train").conditions.groups.tolist()) <= {"s0", "s1", "s2", "s3"}


def release_of_names(folder: Path, less: str = "") -> Path:
    """The 238 names of the release with pictures of 1 KB and empty label files."""
    counts = {"consep": 16, "crag": 64, "dpath": 69, "glas": 61, "pannuke": 28}
    names = [name for site, n in counts.items() for i in range(1, n + 1) if (name := f"{site}_{i}") != less]
    for place in ("Lizard_Images1", "Lizard_Images2", "Lizard_Labels/Labels"):
        (folder / place).mkdir(parents=True)
    Image.fromarray(np.zeros((128, 130, 3), np.uint8)).save(folder / "picture.png")
    for name in names:
        shutil.copy(folder / "picture.png", folder / f"Lizard_Images{1 + (name[0] in 'dp')}/{name}.png")
        (folder / f"Lizard_Labels/Labels/{name}.mat").touch()
    (folder / "Lizard_Labels/info.csv").write_text("\n".join(["Filename,Source,Split", *(f"{name},,1" for name in names)]))
    return folder


def test_the_papers_split_has_its_list_and_its_counts(tmp_path: Path) -> None:
    data = Lizard(release_of_names(tmp_path / "all"), splits="paper")
    manifest = data.manifest()
    counts = Counter(name for splits in manifest.values() for name in splits)
    assert counts == {"train": 171, "validation": 19, "R1": 36, "R2": 36, "test": 12}
    assert all(len(splits) == 1 or splits == ["train", "R1"] for splits in manifest.values())
    assert {image for image, splits in manifest.items() if "R1" in splits} == set(PAPER_R1) and len(set(PAPER_R1)) == 36
    assert data.card.name == "lizard-paper" != Lizard.card.name
    with pytest.raises(MissingError, match="has 237 and lacks glas_53 of R1"):
        Lizard(release_of_names(tmp_path / "less", "glas_53"), splits="paper").manifest()
    with pytest.raises(MissingError, match=r"has 237\. Complete it"):
        Lizard(release_of_names(tmp_path / "also", "glas_1"), splits="paper").manifest()


def test_every_site_of_the_release_is_in_every_split_of_ours(tmp_path: Path) -> None:
    manifest = Lizard(release_of_names(tmp_path)).manifest()
    for split in LIZARD_SPLITS:
        assert len({image.partition("_")[0] for image, splits in manifest.items() if split in splits}) == 5
    counts = Counter(name for splits in manifest.values() for name in splits)
    assert [counts[name] for name in ("test", "validation", "R2", "train")] == [48, 36, 60, 94]


def test_stain_changes_colours_and_nothing_else(whole: Path) -> None:
    plain = Lizard(whole).split("test")
    fixed = Lizard(whole, stain="vahadane", target="reference").split("test")
    other = Lizard(whole, stain="vahadane", target="crag_1").split("test")
    assert plain.conditions.ids.tolist() == fixed.conditions.ids.tolist() == other.conditions.ids.tolist()
    assert np.array_equal(plain.conditions.masks, fixed.conditions.masks)
    assert len({plain.key, fixed.key, other.key}) == 3
    assert not np.array_equal(plain.images, fixed.images) and not np.array_equal(fixed.images, other.images)
    with pytest.raises(UsageError, match="target=dpath_11: no such image"):
        Lizard(whole, stain="vahadane").split("test")


def test_the_key_follows_options_and_content(broken: Path) -> None:
    first = Lizard(broken)
    assert first.split("train").key == Lizard(broken).split("train").key != first.split("R1").key
    changed = ({}, {"seed": 1}, {"tissue": 0.4}, {"stride": 96}, {"border": "published"}, {"size": 120})
    keys = {Lizard(broken, **option).split("train").key for option in changed}  # type: ignore[arg-type]
    assert len(keys) == len(changed)
    relabel(label_file(broken), centroid=None)
    assert Lizard(broken).digest != first.digest


def test_the_tile_summary_counts_images_and_nuclei_and_states_a_type_that_is_absent(whole: Path, tmp_path: Path) -> None:
    tile_summary = Lizard(whole).tile_summary
    counts = sum((count_types(path) for path in whole.rglob("*.mat")), Counter())
    assert (
        tile_summary["images"] == 5
        and tile_summary["train"] + tile_summary["validation"] + tile_summary["test"] + tile_summary["R2"] == 5
    )
    assert [tile_summary[name] for name in CLASSES[1:]] == [counts[i] for i in range(1, 7)] and min(counts.values()) > 0
    assert Lizard(lizard(tmp_path, types=4)).tile_summary["eosinophil"] == 0


@pytest.mark.parametrize("options", [{"size": 0}, {"stride": 0}, {"stride": 129}, {"tissue": 1.1}])
def test_impossible_options_are_refused(whole: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a stride is 1 to size"):
        Lizard(whole, **options)  # type: ignore[arg-type]


def test_readers_recognise_their_own_folders_and_no_other(whole: Path, tmp_path: Path) -> None:
    from tests.tasks.small_folder import five
    from tests.tasks.small_nuclei import conic, nuclei

    folders = [whole, conic(tmp_path / "conic"), nuclei(tmp_path / "nuclei"), five(tmp_path / "folder"), tmp_path]
    readers = [Lizard, Conic, NucleiFolder, Folder]
    found = [[reader.recognises(folder) for reader in readers] for folder in folders]
    assert np.array_equal(found, np.eye(5, 4, dtype=bool))
    with pytest.raises(BenchError, match="is not the Lizard release"):
        Lizard(tmp_path)


def test_the_registered_name_carries_the_folder(whole: Path) -> None:
    data = registry.load("datasets", f"lizard:{whole}", size="64", stain="none", splits="slides")
    assert data.size == 64 and data.folder == whole and json.dumps(registry.describe(data))
    with pytest.raises(UsageError, match="splits takes slides | paper"):
        registry.load("datasets", f"lizard:{whole}", splits="papers")

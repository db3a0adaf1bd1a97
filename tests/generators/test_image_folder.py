"""The folder generator: images by id, and every way in which a folder can be wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.contracts import check_generator, mock
from bench.errors import MissingError, UsageError
from bench.pipeline.exporting import write_images
from bench.types import Conditions, Images, ImageSet, image_seeds
from generators.image_folder import Folder

PUBLISHED = Path(__file__).parents[2] / "../shared/data/generated/nasdm_published_128.npz"


@pytest.fixture
def generated() -> ImageSet:
    return mock(32)


@pytest.fixture
def folder(generated: ImageSet, tmp_path: Path) -> Path:
    write_images(generated.conditions.ids, generated.images, tmp_path)
    return tmp_path


def read(folder: Path, conditions: Conditions) -> Images:
    return registry.load("generators", f"folder:{folder}").generate(conditions, image_seeds(0, conditions.ids))


def write_table(folder: Path, rows: list[tuple[str, ...]]) -> None:
    with (folder / "samples.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream).writerows(rows)


def test_contract(folder: Path) -> None:
    def make(**options: object) -> object:
        return registry.load("generators", f"folder:{folder}", **options)

    outcomes = {outcome.name: outcome for outcome in check_generator(make, f"folder:{folder}", 32)}  # type: ignore[arg-type]
    assert [outcome for outcome in outcomes.values() if outcome.status == "failed"] == []
    assert outcomes["other_seed_other_bytes"].reason == "deterministic: a condition has one image"


def test_images_come_back_by_id(folder: Path, generated: ImageSet) -> None:
    order = [5, 0, 11]
    assert np.array_equal(read(folder, generated.conditions[order]), generated.images[order])
    assert (folder / "samples/mock-1__1.png").is_file()


def test_images_may_lie_in_the_folder_itself(folder: Path, generated: ImageSet) -> None:
    digest = Folder(folder).digest
    for file in (folder / "samples").iterdir():
        file.rename(folder / file.name)
    (folder / "samples").rmdir()
    assert np.array_equal(read(folder, generated.conditions), generated.images)
    assert Folder(folder).digest == digest


def test_a_table_names_files_freely_and_goes_first(folder: Path, generated: ImageSet) -> None:
    ids = generated.conditions.ids.tolist()
    exchanged = [(ids[0], "samples/mock-0__1.png"), (ids[1], "samples/mock-0__0.png")]
    write_table(folder, [("id", "file", "remark"), *((*row, "") for row in exchanged)])
    assert np.array_equal(read(folder, generated.conditions[:2]), generated.images[[1, 0]])


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "samples/../../secret.png", "C:secret.png", "a\\b.png"])
def test_a_table_names_no_file_outside(folder: Path, generated: ImageSet, name: str) -> None:
    Image.fromarray(generated.images[0]).save(folder.parent / "secret.png")
    write_table(folder, [("id", "file"), (generated.conditions.ids[0], name)])
    with pytest.raises(MissingError, match="samples.csv .* is no path below"):
        read(folder, generated.conditions[:1])


def test_missing_images_are_listed(folder: Path, generated: ImageSet) -> None:
    for s in (1, 2):
        for p in range(4):
            (folder / f"samples/mock-{s}__{p}.png").unlink()
    with pytest.raises(MissingError, match="no image for 8 conditions: mock-1/0, .*, mock-2/3"):
        read(folder, generated.conditions)
    for file in (folder / "samples").iterdir():
        file.unlink()
    with pytest.raises(MissingError, match=r"no image for 12 conditions: mock-0/0, .*, mock-2/1, \.\.\. \(12 in all\)"):
        read(folder, generated.conditions)


def test_check_lists_missing_and_extra(folder: Path, generated: ImageSet) -> None:
    generator = registry.load("generators", f"folder:{folder}")
    generator.check_conditions(generated.conditions.ids)
    with pytest.raises(MissingError, match="no image for 1 conditions: new/1; and 3 images of no condition: mock-0__0.png"):
        generator.check_conditions(np.array([*generated.conditions.ids[3:].tolist(), "new/1"]))
    assert len(read(folder, generated.conditions[:3])) == 3  # one call need not ask for everything


def test_no_folder_and_nothing_in_it(tmp_path: Path, generated: ImageSet) -> None:
    with pytest.raises(UsageError, match="folder:FOLDER"):
        registry.load("generators", "folder")
    with pytest.raises(MissingError, match="no folder .*nowhere"):
        registry.load("generators", f"folder:{tmp_path}/nowhere")
    with pytest.raises(MissingError, match="no PNG, no folder samples and no samples.csv"):
        read(tmp_path, generated.conditions)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("name", "path"), ("a", "b")], "has the columns name, path, not id and file"),
        ([], "has the columns none, not id and file"),
        ([("id", "file"), ("a", "samples/mock-0__0.png"), ("a", "samples/mock-0__1.png")], "more than once: a"),
        ([("id", "file"), ("a", "gone.png"), ("b",)], "names 2 files that cannot be read: .*gone.png"),
    ],
)
def test_a_wrong_table_is_refused(folder: Path, generated: ImageSet, rows: list[tuple[str, ...]], complaint: str) -> None:
    write_table(folder, rows)
    with pytest.raises(MissingError, match=complaint):
        read(folder, generated.conditions)


def test_a_table_that_is_no_text_is_refused(folder: Path, generated: ImageSet) -> None:
    (folder / "samples.csv").write_bytes(b"id,file\n\xff\xfe\x00")
    with pytest.raises(MissingError, match="cannot read .*samples.csv"):
        read(folder, generated.conditions)


def _sixteen_bit_rgb(file: Path) -> None:
    """A 16-bit RGB PNG, which PIL reads as 8 bits without a word and cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(32 * 6) for _ in range(32)))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    with Image.open(file) as picture:
        assert picture.mode == "RGB"


def _save(mode: str, size: tuple[int, int] = (32, 32), format: str = "PNG"):  # type: ignore[no-untyped-def]
    return lambda file: Image.new(mode, size).save(file, format=format)


def _wrong_checksum(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-13] ^= 1  # the last byte before the 12 of IEND
    file.write_bytes(content)


def _turned(file: Path) -> None:
    exif = Image.Exif()
    exif[274] = 3
    Image.new("RGB", (32, 32)).save(file, exif=exif)


def _transparent_black(file: Path) -> None:
    Image.new("RGB", (32, 32)).save(file, transparency=(0, 0, 0))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:400])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_save("RGB", (32, 40)), "is 32 x 40 px, its condition 32 x 32"),
        (_save("RGBA"), "is RGBA of 8 bits"),
        (_save("L"), "is grey of 8 bits"),
        (_save("P"), "is palette of 1 bits"),
        (_save("I;16"), "is grey of 16 bits"),
        (_sixteen_bit_rgb, "is RGB of 16 bits"),
        (_save("RGB", format="JPEG"), "is no PNG"),
        (_cut, "is damaged"),
        (_wrong_checksum, "is damaged: the checksum of its chunk IDAT is wrong"),
        (_turned, "has the EXIF orientation 3"),
        (_transparent_black, "makes some of its values transparent"),
        (lambda file: file.write_bytes(b""), "is no PNG"),
    ],
)
def test_a_wrong_image_is_named(folder: Path, generated: ImageSet, spoil, complaint: str) -> None:  # type: ignore[no-untyped-def]
    spoil(folder / "samples/mock-1__2.png")
    with pytest.raises(MissingError, match=f"mock-1__2.png {complaint}"):
        read(folder, generated.conditions)


def test_digest_follows_content_and_names(folder: Path, generated: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    def digest(of: Path) -> str:
        return str(registry.load("generators", f"folder:{of}").digest)

    first = digest(folder)
    elsewhere = tmp_path_factory.mktemp("copy")
    write_images(generated.conditions.ids, generated.images, elsewhere)
    assert digest(elsewhere) == first
    described = registry.describe(registry.load("generators", f"folder:{folder}"))
    assert described["digest"] == first
    one, other = (folder / f"samples/mock-0__{i}.png" for i in (0, 1))
    content = one.read_bytes(), other.read_bytes()
    one.write_bytes(content[1])
    other.write_bytes(content[0])
    assert digest(folder) != first


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published NASDM samples lie outside the repository")
def test_a_published_generators_output(tmp_path: Path) -> None:
    with np.load(PUBLISHED, allow_pickle=False) as published:
        images, names, masks = published["images"], published["names"], published["types"]
    conditions = Conditions(names, names, tuple("0123456"), 128, 0.5, masks=masks)
    write_images(names, images, tmp_path)
    registry.load("generators", f"folder:{tmp_path}").check_conditions(names)
    assert np.array_equal(read(tmp_path, conditions), images)

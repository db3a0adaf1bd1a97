"""Reading images and class maps: what is taken as it is, and what Pillow would misread without a word."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import MissingError
from tasks.datasets.pixels import picture_size, read_classes, read_image, read_instances
from tests.tasks.small_folder import halves, photo


def png(path: Path, depth: int, colour: int, row: bytes, width: int = 4, height: int = 2) -> Path:
    """A PNG that Pillow cannot write: `colour` 0 is grey, 2 is RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = zlib.compress((b"\0" + row) * height)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))
    return path


def deep_tiff(path: Path) -> Path:
    """An uncompressed RGB TIFF of 2 x 1 px with 16 bits a channel, which Pillow opens as 8-bit RGB."""
    pixels = struct.pack("<6H", 1, 2, 3, 400, 500, 600)
    bits_at, pixels_at = 8, 14
    entries = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, pixels_at), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, len(pixels))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<I", pixels_at + len(pixels)) + struct.pack("<3H", 16, 16, 16)
    path.write_bytes(head + pixels + directory + b"\0\0\0\0")
    return path


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    opaque = np.dstack([photo(), np.full((64, 64), 255, np.uint8)])
    Image.fromarray(opaque).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), photo())
    opaque[5, 5, 3] = 254
    Image.fromarray(opaque).save(tmp_path / "a.png")
    with pytest.raises(MissingError, match=r"a\.png is partly transparent"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_cut_off_image_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(photo()).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MissingError, match=rf"cannot read .*cut\.{kind}.*Copy it again"):
        read_image(path)


def test_deep_images_are_refused_where_pillow_would_drop_their_lower_bytes(tmp_path: Path) -> None:
    deep = png(tmp_path / "deep.png", 16, 2, struct.pack(">12H", *range(0, 12000, 1000)))
    tiff = deep_tiff(tmp_path / "deep.tif")
    assert Image.open(deep).mode == Image.open(tiff).mode == "RGB"
    for path in (deep, tiff):
        with pytest.raises(MissingError, match=rf"{path.name} has 16 bits a channel"):
            read_image(path)
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "grey.png")
    with pytest.raises(MissingError, match=r"grey\.png has 16 bits a channel"):
        read_image(tmp_path / "grey.png")
    with pytest.raises(MissingError, match=r"grey\.png has 16 bits a pixel"):
        read_classes(tmp_path / "grey.png")


def test_an_8_bit_tiff_is_read(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), photo())


def test_a_file_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(photo(seed=i)) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(MissingError, match=r"a\.tif has 3 pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.fromarray(photo()[..., 0]), "greyscale"),
        (Image.fromarray(photo()[..., 0]).convert("LA"), "greyscale"),
        (Image.fromarray(photo()[..., 0]).convert("RGB"), "greyscale stored as RGB"),
        (Image.fromarray(photo()).quantize(16), "stored as P.*8-bit RGB"),
    ],
    ids=["grey", "grey-alpha", "grey-as-rgb", "palette"],
)
def test_images_without_full_colour_are_refused(tmp_path: Path, picture: Image.Image, message: str) -> None:
    picture.save(tmp_path / "a.png")
    with pytest.raises(MissingError, match=rf"a\.png is {message}"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_map_gives_its_indices(tmp_path: Path, bits: int) -> None:
    picture = Image.fromarray(halves()).convert("P")
    picture.putdata(halves().ravel().tolist())
    picture.putpalette([200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_classes(tmp_path / "a.png"), halves())


def test_a_black_and_white_map_gives_classes_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(halves().astype(bool)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_classes(tmp_path / "a.png"), halves())


def test_a_2_bit_grey_map_is_refused_because_pillow_would_multiply_its_classes(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 2, 0, bytes([0b00011011]))
    assert np.asarray(Image.open(path))[0].tolist() == [0, 85, 170, 255]
    with pytest.raises(MissingError, match=r"a\.png is a 2-bit greyscale file"):
        read_classes(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_map_of_colours_is_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(halves()).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(MissingError, match=rf"a\.png is stored as {mode}\. A class map has one channel"):
        read_classes(tmp_path / "a.png")


def test_a_jpeg_under_the_name_of_a_png_is_refused_as_map_and_as_image(tmp_path: Path) -> None:
    Image.fromarray(halves()).save(tmp_path / "map.png", format="JPEG")
    Image.fromarray(photo()).save(tmp_path / "image.png", format="JPEG")
    Image.fromarray(photo()).save(tmp_path / "image.jpg", format="PNG")
    for path, read in (("map.png", read_classes), ("map.png", read_instances), ("image.png", read_image)):
        with pytest.raises(MissingError, match=rf"{path} is a JPEG file with the extension of a PNG file"):
            read(tmp_path / path)
    for read_ in (read_image, picture_size):
        with pytest.raises(MissingError, match=r"image\.jpg is a PNG file with the extension of a JPEG file"):
            read_(tmp_path / "image.jpg")


@pytest.mark.parametrize("kind", ["gif", "bmp", "ppm", "jp2"])
def test_other_formats_are_not_opened_under_any_name(tmp_path: Path, kind: str) -> None:
    Image.fromarray(photo()).save(tmp_path / f"a.{kind}")
    (tmp_path / f"a.{kind}").rename(tmp_path / "a.tif")
    with pytest.raises(MissingError, match=r"cannot read .*a\.tif"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_an_orientation_other_than_upright_is_refused_with_the_cure(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[274] = 1
    Image.fromarray(photo()).save(tmp_path / f"a.{kind}", exif=exif)
    assert read_image(tmp_path / f"a.{kind}").shape == (64, 64, 3)
    exif[274] = 6
    Image.fromarray(photo()).save(tmp_path / f"a.{kind}", exif=exif)
    with pytest.raises(MissingError, match=rf"a\.{kind} has the EXIF orientation 6: .*exif_transpose"):
        read_image(tmp_path / f"a.{kind}")


@pytest.mark.parametrize("chunk", [b"IDAT", b"IHDR"])
def test_a_wrong_checksum_inside_a_png_is_refused(tmp_path: Path, chunk: bytes) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(chunk) - 4
    length = int.from_bytes(content[at : at + 4], "big")
    content[at + 8 + length] ^= 1  # the first byte of the checksum
    path.write_bytes(content)
    with pytest.raises(MissingError, match=rf"cannot read .*a\.png: .*checksum of its chunk {chunk.decode()} is wrong"):
        read_image(path)


def test_transparency_by_palette_or_colour_is_refused(tmp_path: Path) -> None:
    labels = Image.fromarray(halves()).convert("P")
    labels.putdata(halves().ravel().tolist())
    labels.putpalette([200, 0, 0, 0, 200, 0])
    labels.save(tmp_path / "map.png", transparency=1)
    labels.save(tmp_path / "half.png", transparency=bytes([255, 128]))
    for name in ("map.png", "half.png"):
        for read in (read_classes, read_instances):
            with pytest.raises(MissingError, match=rf"{name} makes some of its palette transparent"):
                read(tmp_path / name)
    labels.save(tmp_path / "opaque.png", transparency=bytes([255, 255]))
    np.testing.assert_array_equal(read_classes(tmp_path / "opaque.png"), halves())
    Image.fromarray(photo()).save(tmp_path / "image.png", transparency=(1, 2, 3))
    with pytest.raises(MissingError, match=r"image\.png makes some of its values transparent"):
        read_image(tmp_path / "image.png")

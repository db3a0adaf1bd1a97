"""Label files of Lizard's layout: read as SciPy reads them, and damaged ones named, whatever the damage."""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as any_
from scipy.io import loadmat, savemat

from bench.errors import BenchError, DamagedError
from tasks.datasets.lizard_files import count_types, read_labels
from tasks.datasets.mat_files import read_arrays
from tests.hostile import CASES, FUZZ, damage, within

NAMES = ("inst_map", "id", "class", "bbox")


def labels(side: int = 40, first: int = 1) -> dict[str, Any]:
    """Nine square nuclei, numbered from `first`."""
    instances, boxes = np.zeros((side, side), np.int32), []
    for i in range(9):
        y, x = 12 * (i // 3) + 1, 12 * (i % 3) + 1
        instances[y : y + 8, x : x + 8] = first + i
        boxes.append((y, y + 8, x, x + 8))
    ids = np.arange(first, first + 9)[:, None]
    return {
        "inst_map": instances,
        "id": ids.astype(np.float64),
        "class": np.full((9, 1), 2, np.uint8),
        "bbox": np.array(boxes, np.float64),
        "centroid": np.zeros((9, 2)),
    }


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def compressed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_arrays_are_those_that_scipy_reads(tmp_path: Path, compressed: bool) -> None:
    more = {"text": "abc", "empty": np.zeros((0, 0)), "single": np.ones((2, 3, 4), np.float32), "whole": np.int64(2**40)}
    savemat(tmp_path / "a.mat", {**labels(), **more, "struct": {"a": 1}}, do_compression=compressed)
    names = (*NAMES, "centroid", "empty", "single", "whole")
    found, listed = read_arrays(tmp_path / "a.mat", names)
    wanted = loadmat(tmp_path / "a.mat")
    assert listed == [name for name in wanted if not name.startswith("__")]
    for name in names:
        assert found[name].dtype == wanted[name].dtype and np.array_equal(found[name], wanted[name]), name
        assert found[name].shape == wanted[name].shape


def test_a_file_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    element = lambda kind, data: np.array([kind, len(data)], ">u4").tobytes() + data + b"\0" * (-len(data) % 8)  # noqa: E731
    body = element(6, np.array([6, 0], ">u4").tobytes()) + element(5, np.array([1, 2], ">i4").tobytes())
    body += element(1, b"class") + element(9, np.array([3, 4], ">f8").tobytes())
    head = b"MATLAB".ljust(124) + b"\x01\x00MI"
    (tmp_path / "a.mat").write_bytes(head + element(14, body))
    assert read_arrays(tmp_path / "a.mat", ("class",))[0]["class"].tolist() == [[3.0, 4.0]]
    assert loadmat(tmp_path / "a.mat")["class"].tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("first", [1, 2_000_000_000])
def test_large_numbers_of_nuclei_take_no_memory(tmp_path: Path, first: int, compressed: bool) -> None:
    savemat(tmp_path / "a.mat", labels(first=first), do_compression=compressed)
    instances, types = read_labels(tmp_path / "a.mat")
    assert instances.max() == first + 8 and (types > 0).sum() == 9 * 64


def test_the_case_that_ended_the_process_is_named() -> None:
    file = CASES / "flipped_bytes.mat"
    if not file.is_file():
        pytest.skip("no ../shared/cases")
    with pytest.raises(DamagedError, match="flipped_bytes.mat"):
        read_labels(file)


def test_two_changed_bytes_in_any_tag_are_refused_or_harmless(tmp_path: Path, compressed: bool) -> None:
    """SciPy's reader ended the process for some of these."""
    savemat(tmp_path / "a.mat", labels(), do_compression=compressed)
    whole = (tmp_path / "a.mat").read_bytes()
    refused = 0
    for place in range(124, min(len(whole), 700), 2):
        for values in ((255, 255), (0, 51), (127, 1)):
            (tmp_path / "b.mat").write_bytes(damage(whole, [(place, values[0]), (place + 1, values[1])]))
            try:
                read_labels(tmp_path / "b.mat")
            except DamagedError as error:
                refused += "b.mat" in str(error)
    assert refused > 100


def swapped(whole: bytes, what: bytes, other: bytes) -> bytes:
    assert what in whole
    return whole.replace(what, other, 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "it is empty"),
        ("text", "no MATLAB file of version 5"),
        ("cut", "cut short"),
        ("version 7.3", "version 0x0200"),
        ("bomb", "it has an element|a variable has"),
        ("dimensions", "should hold 2147483647 x 40 numbers"),
        ("negative", "should hold -5 x 40 numbers"),
        ("twice", "holds class twice"),
    ],
)
def test_other_damage_is_named(tmp_path: Path, kind: str, message: str) -> None:
    file = tmp_path / "a.mat"
    savemat(file, labels())
    whole = file.read_bytes()
    size = np.array([40, 40], "<i4").tobytes()
    packed = zlib.compress(np.array([14, 2**31 - 8], "<u4").tobytes() + np.zeros(10**6, np.uint8).tobytes())
    made = {
        "empty": b"",
        "text": b"not a label file",
        "cut": whole[:-300],
        "version 7.3": whole[:124] + b"\x00\x02" + whole[126:],
        "bomb": whole[:128] + np.array([15, len(packed)], "<u4").tobytes() + packed,
        "dimensions": swapped(whole, size, np.array([2**31 - 1, 40], "<i4").tobytes()),
        "negative": swapped(whole, size, np.array([-5, 40], "<i4").tobytes()),
        "twice": whole + _element_of(whole, b"class"),
    }[kind]
    file.write_bytes(made)
    with within(10), pytest.raises(DamagedError, match=rf"a\.mat.*{message}"):
        read_labels(file)


def _element_of(whole: bytes, name: bytes) -> bytes:
    """The element of a variable, with its tag."""
    at = 128
    while True:
        length = int(np.frombuffer(whole, "<u4", 1, at + 4)[0])
        if name in whole[at : at + 64]:
            return whole[at : at + 8 + length]
        at += 8 + length


def test_as_many_files_as_the_release_has_are_read_quickly(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", labels(), do_compression=True)
    begun = time.process_time()
    for _ in range(238):
        assert count_types(tmp_path / "a.mat") == {2: 9}
    assert time.process_time() - begun < 2


@FUZZ
@given(
    places=any_.lists(any_.tuples(any_.integers(0, 4000), any_.integers(0, 255)), max_size=4),
    cut=any_.none() | any_.integers(0, 4000),
    packed=any_.booleans(),
)
def test_no_damage_is_more_than_a_refusal(
    places: list[tuple[int, int]], cut: int | None, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "a.mat"
    savemat(file, labels(), do_compression=packed)
    file.write_bytes(damage(file.read_bytes(), places, cut))
    for read in (read_labels, count_types):
        try:
            with within(10):
                read(file)
        except BenchError as error:
            assert "a.mat" in str(error)

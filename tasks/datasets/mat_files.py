"""Reads arrays of numbers from MATLAB files of version 5, with every size checked before it is used.

SciPy's reader is compiled, trusts the sizes in a file, and ends the process on some damaged ones. This one takes slices of the
file's bytes only. Text, cells, structures and sparse arrays are listed by name and not read. Format: "MAT-File Format",
MathWorks: a header of 128 bytes, then elements of a type, a length and data, those of variables mostly compressed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DamagedError
from bench.files.regular import read_bytes

HEADER = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number of a type of data -> its dtype without the byte order."""
CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single"} | {
    8 + i: f"{sign}int{8 << i // 2}" for i, sign in enumerate(("", "u") * 4)
}
NUMBERS = range(6, 16)
"""Classes of arrays of numbers."""
COMPLEX = 0x800
MOST = 2**28
"""Bytes of one variable."""
BEGINNING = 2**16
"""Bytes of a compressed variable that are expanded to find its name."""


@dataclass(frozen=True)
class _Variable:
    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    data: int
    """Place of its numbers in the bytes that it was read from."""


class _Fault(Exception):
    """What is wrong with the bytes of a file."""


def read_arrays(path: Path, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The named arrays that the file holds, in the types in which they are stored, and the names of all its variables.

    Raises DamagedError, which names the file, where it is none of version 5, is damaged, or holds something else than numbers
    under one of the names.
    """
    content = read_bytes(path, "label file")
    found: dict[str, NDArray[Any]] = {}
    listed: list[str] = []
    try:
        order = _byte_order(content)
        for packed, start, stop in _elements(content, order):
            beginning = _expand(content[start:stop], BEGINNING) if packed else content[start:stop]
            variable = _describe(beginning[8:] if packed else beginning, order)
            if variable.name in listed and variable.name in names:
                raise _Fault(f"it holds {variable.name} twice")
            listed.append(variable.name)
            if variable.name in names:
                body = _expand(content[start:stop], _packed_size(beginning, order))[8:] if packed else beginning
                found[variable.name] = _numbers(body, variable, order)
    except _Fault as fault:
        raise DamagedError(f"cannot read {path}: {fault}. Copy it again.") from fault
    return found, listed


def _byte_order(content: bytes) -> str:
    if not content:
        raise _Fault("it is empty")
    mark, version = content[126:128], content[124:126]
    if len(content) < HEADER or mark not in (b"IM", b"MI"):
        raise _Fault("it is no MATLAB file of version 5 to 7")
    order = "<" if mark == b"IM" else ">"
    if (number := int(np.frombuffer(version, f"{order}u2")[0])) != 0x0100:
        raise _Fault(f"it is a MATLAB file of version {number:#06x}; 0x0100 is read, which MATLAB saves with -v7")
    return order


def _elements(content: bytes, order: str) -> Iterator[tuple[bool, int, int]]:
    """(compressed, first byte, end) of each variable in the file."""
    at = HEADER
    while at < len(content):
        kind, start, stop, following = _tag(content, at, order)
        if kind == COMPRESSED:
            yield True, start, stop
            following = stop  # these are not padded
        elif kind == MATRIX:
            yield False, start, stop
        else:
            raise _Fault(f"it has an element of the unknown type {kind} at byte {at}")
        at = following


def _tag(content: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Type, first byte and end of the data of an element, and the place of the next one."""
    if at + 8 > len(content):
        raise _Fault(f"it is cut short at byte {at}")
    kind, length = (int(word) for word in np.frombuffer(content, f"{order}u4", 2, at))
    if small := kind >> 16:  # up to four bytes of data stand in place of the length
        kind, length = kind & 0xFFFF, small
        if length > 4:
            raise _Fault(f"the element at byte {at} has a wrong length")
        return kind, at + 4, at + 4 + length, at + 8
    start = at + 8
    if start + length > len(content):
        raise _Fault(f"it is cut short: an element at byte {at} has {length} bytes")
    return kind, start, start + length, start + -(-length // 8) * 8


def _expand(content: bytes, most: int) -> bytes:
    """The first `most` bytes of a compressed element, with its own tag."""
    stream = zlib.decompressobj()
    try:
        made = stream.decompress(content, most)
        if most == BEGINNING or stream.eof:
            return made
        made += stream.decompress(stream.unconsumed_tail, 1)  # reads the checksum behind the last byte
    except zlib.error as error:
        raise _Fault(f"compressed data are damaged ({error})") from error
    if not stream.eof or len(made) > most:
        raise _Fault("compressed data are cut short, or longer than they say")
    return made


def _packed_size(beginning: bytes, order: str) -> int:
    """Bytes of a compressed variable, by the tag that it begins with."""
    kind, length = (int(word) for word in np.frombuffer(beginning, f"{order}u4", 2))
    if kind != MATRIX or length > MOST:
        raise _Fault(f"a compressed element is of type {kind} and has {length} bytes; {MOST} are read")
    return length + 8


def _describe(body: bytes, order: str) -> _Variable:
    kind, start, stop, at = _tag(body, 0, order)
    if kind != 6 or stop - start != 8:
        raise _Fault("a variable has no flags")
    flags = int(np.frombuffer(body, f"{order}u4", 1, start)[0])
    kind, start, stop, at = _tag(body, at, order)
    count, rest = divmod(stop - start, 4)
    if kind != 5 or rest or not 2 <= count <= 32:
        raise _Fault("a variable has no dimensions")
    shape = tuple(np.frombuffer(body, f"{order}i4", count, start).tolist())
    kind, start, stop, at = _tag(body, at, order)
    name = body[start:stop].decode("latin-1")
    if kind not in (1, 2) or not name.isascii() or not name.isprintable():
        raise _Fault("a variable has no name")
    return _Variable(name, flags & 0xFF, bool(flags & COMPLEX), shape, at)


def _numbers(body: bytes, variable: _Variable, order: str) -> NDArray[Any]:
    if variable.kind not in NUMBERS or variable.is_complex:
        found = "complex" if variable.is_complex else CLASSES.get(variable.kind, str(variable.kind))
        raise _Fault(f"{variable.name} is of type {found}, not of whole numbers")
    kind, start, stop, _ = _tag(body, variable.data, order)
    if kind not in TYPES:
        raise _Fault(f"{variable.name} is stored as the unknown type {kind}")
    dtype = np.dtype(order + TYPES[kind])
    count = math.prod(variable.shape)
    if min(variable.shape) < 0 or count * dtype.itemsize != stop - start:
        shape = " x ".join(map(str, variable.shape))
        raise _Fault(f"{variable.name} should hold {shape} numbers and has {stop - start} bytes of {dtype.itemsize} each")
    return np.frombuffer(body, dtype, count, start).reshape(variable.shape, order="F").astype(dtype.newbyteorder("="))

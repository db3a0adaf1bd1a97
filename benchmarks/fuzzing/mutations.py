"""Changes of valid files: of bytes for any file, and of the values of those whose format is known (`formats.py`)."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.fuzzing import formats

TOKENS = (
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b"\x1a", b"\x1b[31m", b"\x00" * 64, b"\xff" * 64),
    *(b"{", b"}", b"[", b"]", b'"', b"'", b",", b"=", b"\\", b"#", b"-", b"..", b"../", b"%s%n", b"{0}"),
    *(b"NaN", b"Infinity", b"1e400", b"-1", b"18446744073709551616", b"null", b"true", b"\\ud800", b"\xed\xa0\x80"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\x7fELF", b"PK\x03\x04", b"\x80\x02.", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<html>"),
)
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
HEAD = 4096
"""Half of the places are among so many first or last bytes: large files are mostly pixels and weights."""
LARGEST = 2**23
"""Bytes of a changed file."""
Change = Callable[[bytes, bytes, random.Random], bytes]
"""The content, that of another file of the same kind, and what decides."""


def mutate(name: str, content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The content of a file of this name with one to three changes."""
    of_values = formats.changes_of(name)
    made = content
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if of_values and rng.random() < 0.6:
            change: Change = rng.choice(of_values)
        else:
            change = rng.choice(CHANGES)
        made = change(made, other, rng)[:LARGEST]
    return made


def _place(content: bytes, rng: random.Random) -> int:
    size = len(content)
    if size > 2 * HEAD and rng.random() < 0.5:
        return rng.choice((rng.randrange(HEAD), size - 1 - rng.randrange(HEAD)))
    return rng.randrange(size + 1)


def _chunk(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


def _flip_bits(content: bytes, other: bytes, rng: random.Random) -> bytes:
    held = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 32)) if held else 0):
        held[min(len(held) - 1, _place(content, rng))] ^= 1 << rng.randrange(8)
    return bytes(held)


def _set_bytes(content: bytes, other: bytes, rng: random.Random) -> bytes:
    held = bytearray(content)
    for _ in range(rng.choice((1, 2, 4)) if held else 0):
        held[min(len(held) - 1, _place(content, rng))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(held)


def _set_number(content: bytes, other: bytes, rng: random.Random) -> bytes:
    width = rng.choice((2, 4, 8))
    number = rng.choice(NUMBERS) % (1 << 8 * width)
    start = _place(content, rng)
    return content[:start] + number.to_bytes(width, rng.choice(("little", "big"))) + content[start + width :]


def _cut(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _empty(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\n", b"\x00", bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200)))))


def _insert(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 2, 500)) + content[start:]


def _duplicate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = _chunk(content, rng)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 2, 50)) + content[stop:]


def _remove(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = _chunk(content, rng)
    return content[:start] + content[stop:]


def _move(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = _chunk(content, rng)
    rest = content[:start] + content[stop:]
    to = _place(rest, rng)
    return rest[:to] + content[start:stop] + rest[to:]


def _splice(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)] + other[_place(other, rng) :]


CHANGES: tuple[Change, ...] = (
    *(_flip_bits, _set_bytes, _set_number, _cut, _empty, _insert, _duplicate, _remove, _move, _splice),
    *(_flip_bits, _set_bytes, _set_number, _insert),  # twice as often
)

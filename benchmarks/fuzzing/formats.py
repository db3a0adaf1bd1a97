"""Changes of values in formats that are known, so that they reach what lies behind the parser and the checksum."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

Change = Callable[[bytes, bytes, random.Random], bytes]
TEXTS = (
    *("", " ", "a", "\x00", "\x1b[31mred\x1b[0m", "\x07", "\x85", "\u2028", "\u202e", "\ufeff", "\ud800", "\udfff x", "\n"),
    *("é" * 300, "x" * 5000, "../../x", "/etc/passwd", "C:\\x", "a/b", "a:b", "nul", "=1+1", "@x", "%s%n", "{0}", "$(id)"),
    *("evil.py:Evil", "ldm-prompt", "folder:.", "timm:x", "flat-colour", "<script>", "&amp;", "\\textbf{", "1e400", "NaN"),
    *("-1", "2026-01-01T00:00:00+00:00", "0" * 64, "a\nb", "\t", "'", '"', "|", "*", "[", "(fit 1)", " + ", " - ", "fd stain"),
)
RAW = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "01", "1.", "'a'", "9" * 5000, "1" + "0" * 39, "tru")
"""Words in the place of a JSON value, most of which JSON does not have."""
_RAW = "\x01raw%d\x01"


def _numbers(rng: random.Random) -> Any:
    return rng.choice(
        (0, 1, -1, 2, 7, 255, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30), 0.0, -0.0, 0.5, 1.5, 1e-300)
        + (1e300, 1e308, -1e308, 5e-324, 1e15, 3.0, 1000, 100000)
    )


def value(rng: random.Random, depth: int = 0) -> Any:
    """A value of JSON of any type."""
    kind = rng.randrange(9)
    if kind < 3:
        return _numbers(rng)
    if kind < 6:
        return rng.choice(TEXTS)
    if kind == 6 or depth > 2:
        return rng.choice((None, True, False, [], {}))
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    """(list or object, index or name) of each value in a value of JSON."""
    for name, inner in held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ():
        yield held, name
        yield from _places(inner)


def change_value(held: Any, rng: random.Random) -> Any:
    """The JSON value, itself changed, with one of its values changed, added, removed, renamed or moved."""
    places = list(_places(held))
    if not places or rng.random() < 0.02:
        return value(rng)
    inside, name = rng.choice(places)
    kind = rng.randrange(12)
    if kind < 6:
        inside[name] = value(rng)
    elif kind == 6:
        del inside[name]
    elif kind == 7 and isinstance(inside, dict):
        inside[rng.choice(TEXTS)] = inside.pop(name)
    elif kind == 8:
        other, at = rng.choice(places)
        inside[name] = json.loads(json.dumps(other[at]))
    elif kind == 9:
        inside[name] = _RAW % rng.randrange(len(RAW))
    elif kind == 10 and isinstance(inside, list):
        inside.extend([inside[name]] * rng.choice((1, 3, 2000)))
    elif kind == 10:
        inside[rng.choice(TEXTS)] = value(rng)
    else:
        inside[name] = f"\x01deep{rng.choice((20, 45, 1000, 100_000))}\x01"
    return held


def _written(held: Any, rng: random.Random) -> bytes:
    text = json.dumps(held, ensure_ascii=rng.random() < 0.5)
    text = re.sub(r'"\\u0001raw(\d+)\\u0001"', lambda found: RAW[int(found[1])], text)
    text = re.sub(r'"\\u0001deep(\d+)\\u0001"', lambda found: _deep(int(found[1]), rng), text)
    return text.encode("utf-8", "surrogatepass")


def _deep(levels: int, rng: random.Random) -> str:
    return rng.choice(("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels, "[" * levels))


def _json(content: bytes, other: bytes, rng: random.Random) -> bytes:
    try:
        made = change_value(json.loads(content), rng)
        if isinstance(made, dict) and "checksum" in made and rng.random() < 0.8:
            made = _sealed(made)
        return _written(made, rng)
    except (ValueError, RecursionError):  # an earlier change has left no JSON
        return content


def _sealed(held: dict[str, Any]) -> dict[str, Any]:
    """An `entry.json` whose checksum is right again."""
    kept = {name: part for name, part in held.items() if name != "checksum"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return {**kept, "checksum": hashlib.sha256(text.encode()).hexdigest()}


def _json_lines(content: bytes, other: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    number = rng.randrange(len(lines))
    kind = rng.randrange(10)
    if kind == 0:
        lines[number:number] = rng.choice(([lines[number]], [b""], [b"{}"], [b"[]"], [lines[number]] * 3))
    elif kind == 1:
        del lines[number]
    elif kind == 2:
        line = lines[number].rstrip()
        lines[number] = line[:-1] + b', "value": 1.5}'  # a name that occurs twice
    else:
        lines[number] = _json(lines[number], other, rng)
    return b"\n".join(lines)


_TOML = (
    *(
        "1",
        "-1",
        "0",
        "1e999",
        "nan",
        "inf",
        "-inf",
        "0x7fffffffffffffffffff",
        "9" * 400,
        "1_000",
        "true",
        "1979-05-27T07:32:00Z",
    ),
    *(
        '""',
        '"a"',
        '"../x"',
        '"evil.py:Evil"',
        '"\\u0000"',
        '"\\u001b[31m"',
        '"\\ud800"',
        "'''a\nb'''",
        '"' + "x" * 5000 + '"',
    ),
    *("[]", "{}", "[[]]", '["a"]', "[1, 2]", '{ a = "b" }', "[" * 60 + "]" * 60, "[" * 20000, "{a=" * 60 + "1" + "}" * 60),
    *('["ldm-prompt"]', '["flat-colour", 1]', '"*"', '"["', '"fd *"', "0.0", "1e-320", "1e308", "99999999999999999999"),
)
_TOML_LINES = (
    *(
        "[a]",
        "[[a]]",
        "[[cells]]",
        "[[margin]]",
        "[[arm]]",
        "[preset.x]",
        "[a.b.c]",
        "a.b.c = 1",
        "name = 'x'",
        "= 1",
        "a",
        "a =",
    ),
    *(
        "a" + ".a" * 190 + " = 1",
        "a" + ".a" * 20000 + " = 1",
        "[" + "a." * 150 + "a]",
        "[[table]]",
        "#" + "x" * 5000,
        "'' = 1",
    ),
)


def _toml(content: bytes, other: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    number = rng.randrange(len(lines))
    pairs = [i for i, line in enumerate(lines) if "=" in line]
    kind = rng.randrange(8)
    if kind < 4 and pairs:
        number = rng.choice(pairs)
        lines[number] = f"{lines[number].partition('=')[0]}= {rng.choice(_TOML)}"
    elif kind == 4:
        lines.insert(number, rng.choice(_TOML_LINES))
    elif kind == 5:
        lines.insert(number, lines[rng.randrange(len(lines))])
    elif kind == 6:
        del lines[number]
    else:
        name, equals, rest = lines[number].partition("=")
        lines[number] = f"{rng.choice(('x', 'name', '', chr(27), 'a.b', '[', name[::-1]))} {equals}{rest}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


_CELLS = (*TEXTS, "1e999", "nan", "inf", "0", "1.5", "99999999999999999999", '"', '"a', '"a,b"', "train", "TEST", "٣", "1_0")

_COLUMNS = ("source", "slide", "split", "mpp", "site", "patient", "id", "x", "size")


def _csv(content: bytes, other: bytes, rng: random.Random) -> bytes:
    rows = [line.split(",") for line in content.decode("utf-8", "surrogateescape").split("\n")]
    row = rng.choice((rows[0], *rows))
    place = rng.randrange(len(row))
    kind = rng.randrange(7)
    if kind < 3:
        row[place] = rng.choice(_CELLS)
    elif kind == 3:
        row.insert(place, rng.choice(_CELLS))
    elif kind == 4:
        del row[place]
    elif kind == 5:
        rows.insert(rng.randrange(len(rows)), list(row))
    else:
        column, name = (
            rng.choice(_CELLS),
            rng.choice(("source", "slide", "split", "mpp", "site", "patient", "id", "x", "size")),
        )
        for number, cells in enumerate(rows):
            cells.append(column if number else name)
    return "\n".join(",".join(cells) for cells in rows).encode("utf-8", "surrogatepass")


def _png(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A change in one chunk, with the right checksum."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return content
    number = rng.randrange(len(chunks))
    kind, data = chunks[number]
    what = rng.randrange(6)
    if what == 0:
        chunks.insert(number, chunks[rng.randrange(len(chunks))])
    elif what == 1:
        del chunks[number]
    elif what == 2:
        added = rng.choice((b"tRNS", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"PLTE", b"acTL", b"fcTL", b"iCCP", b"pHYs", b"gAMA"))
        chunks.insert(number, (added, rng.randbytes(rng.choice((0, 1, 4, 6, 26, 768)))))
    elif what == 3 and kind == b"IDAT":
        pixels = bytearray(_inflated(data))
        for _ in range(8 if pixels else 0):
            pixels[rng.randrange(len(pixels))] = rng.randrange(256)
        chunks[number] = kind, zlib.compress(bytes(pixels)[: rng.choice((None, len(pixels) // 2))])
    else:
        header = bytearray(chunks[0][1])
        if header:
            header[rng.randrange(len(header))] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 127, 255))
        chunks[0] = chunks[0][0], bytes(header)
    made = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return content[:8] + b"".join(made)


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""


_HEADERS = (
    *("(0,)", "(-1,)", "()", "(1099511627776, 1024)", "(10, 64, 64)", "True", "(1.5,)", "((1,),)", "'a'", "(" * 90, "None"),
    *("'|O'", "'<f8'", "'|S5'", "'<M8[s]'", "'zz'", "'<u8'", "'|b1'", "[('a', '<i4')]", "'>i4'", "'<c16'", "'<i8'", "'|V8'"),
)


def _npy(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Another value in the header, its length right."""
    if len(content) < 10:
        return content
    (length,) = struct.unpack_from("<H", content, 8)
    header, rest = content[10 : 10 + length].decode("latin-1"), content[10 + length :]
    name = rng.choice(("descr", "fortran_order", "shape"))
    made = re.sub(rf"('{name}': )(\([^)]*\)|'[^']*'|\w+)", lambda found: found[1] + rng.choice(_HEADERS), header)
    made = made.rstrip().ljust(length - 1) + "\n"
    return content[:8] + struct.pack("<H", len(made)) + made.encode("latin-1") + rest


def _safetensors(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Another value in the header, its length right."""
    if len(content) < 8:
        return content
    (length,) = struct.unpack_from("<Q", content)
    header = _json(content[8 : 8 + length], other, rng)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _archive(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A change in one file of a zip archive, mostly the pickle of an archive of torch, with the right checksum."""
    from benchmarks.fuzzing import mutations

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return content
    name = rng.choice([name for name in held if name.endswith("data.pkl")] * len(held) + list(held))
    held[name] = rng.choice(mutations.CHANGES)(held[name], other, rng)
    if rng.random() < 0.1:
        del held[rng.choice(list(held))]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return made.getvalue()


def _mat(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A change in one variable of a MATLAB file, compressed again."""
    from benchmarks.fuzzing import mutations

    parts, at = [], 128
    while at + 8 <= len(content):
        kind, length = struct.unpack_from("<II", content, at)
        parts.append((kind, content[at + 8 : at + 8 + length]))
        at += 8 + length
    if not parts:
        return content
    number = rng.randrange(len(parts))
    kind, data = parts[number]
    data = rng.choice(mutations.CHANGES)(_inflated(data) if kind == 15 else data, other, rng)
    parts[number] = kind, zlib.compress(data) if kind == 15 else data
    return content[:128] + b"".join(struct.pack("<II", kind, len(data)) + data for kind, data in parts)


_BY_ENDING: dict[str, tuple[Change, ...]] = {
    ".json": (_json,),
    ".jsonl": (_json_lines,),
    ".toml": (_toml,),
    ".csv": (_csv,),
    ".png": (_png,),
    ".npy": (_npy,),
    ".safetensors": (_safetensors,),
    ".pt": (_archive,),
    ".pth": (_archive,),
    ".mat": (_mat,),
}


def changes_of(name: str) -> tuple[Change, ...]:
    """The changes of values for a file of this name; none where its format is not known."""
    return _BY_ENDING.get("." + name.rpartition(".")[2].lower(), ())

"""What a machine refuses: space, open files, memory. Recognised in any exception, and reported in one sentence.

Libraries report the same refusal in many ways: as an OSError with a number, as an error of their own with the number or the
words in its text, as `std::bad_alloc`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from bench.errors import BenchError, DamagedError, RefusedError

Refused = Literal["space", "files", "memory"]
_NUMBERS: dict[int, Refused] = {
    errno.ENOSPC: "space",
    errno.EFBIG: "space",
    errno.EROFS: "space",
    **({errno.EDQUOT: "space"} if hasattr(errno, "EDQUOT") else {}),
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.ENOMEM: "memory",
}
_NUMBER_IN_TEXT = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")  # of Rust (safetensors), and of wrapped OSErrors
_TEXTS: tuple[tuple[str, Refused], ...] = (
    (r"No space left on device|Disk quota exceeded|File too large", "space"),
    (r"\d+ requested and \d+ written", "space"),  # numpy
    (r"PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+|iostream error", "space"),  # torch.save
    (r"Too many open files", "files"),
    (r"can't start new thread", "memory"),
    (r"std::bad_alloc|can't allocate memory|[Cc]annot allocate memory|CUDA out of memory", "memory"),
)
_NEXT: dict[Refused, str] = {
    "space": "Free some space (bench cache prune), raise the limit (quota, ulimit -f), or choose another BENCH_HOME or --out",
    "files": "Raise the limit (ulimit -n), or use fewer workers",
    "memory": "Use fewer workers, a smaller batch or fewer patches",
}
_LONGEST = 200


@dataclass(frozen=True)
class Refusal:
    """What was refused, and the words of the system or the library."""

    what: Refused
    found: str

    def sentence(self, asked: str = "") -> str:
        """`asked`: what was being done, e.g. "cannot write to the store /home"."""
        begin = asked or ("not enough memory" if self.what == "memory" else "the system refused")
        return f"{begin}: {self.found}. {_NEXT[self.what]}. Then give the same command again: what is finished is kept."


def refusal_of(error: BaseException) -> Refusal | None:
    """The refusal that an exception reports, itself or by what caused it; None where it reports another fault."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if what := _refused_by(found):
            return Refusal(what, _words(found))
        seen.add(id(found))
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return None


def refusal_behind(error: BenchError) -> Refusal | None:
    """The refusal for which a sound file was taken for a damaged one: no file can be opened. None for other errors of ours; a
    damaged file may well ask for more memory than there is."""
    found = refusal_of(error) if isinstance(error, DamagedError) else None
    return found if found is not None and found.what == "files" else None


@contextmanager
def refusals_named(asked: str) -> Iterator[None]:
    """RefusedError in place of what reports a refusal; `asked` as in `Refusal.sentence`. Other errors pass."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        if (refusal := refusal_of(error)) is None:
            raise
        raise RefusedError(refusal.sentence(asked)) from error


def _refused_by(error: BaseException) -> Refused | None:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno is not None:
        return _NUMBERS.get(error.errno)
    if isinstance(error, BenchError) or not isinstance(error, Exception):
        return None
    try:
        text = str(error)
    except Exception:
        return None
    if number := _NUMBER_IN_TEXT.search(text):
        return _NUMBERS.get(int(number[1] or number[2]))
    return next((what for pattern, what in _TEXTS if re.search(pattern, text)), None)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return f"{error.strerror}{where}"
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST].rstrip(". ")

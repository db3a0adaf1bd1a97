"""The two sides of a comparison, by run folder, file or name of a generator."""

from __future__ import annotations

from pathlib import Path

from bench.errors import MissingError, UsageError, did_you_mean
from bench.results.identity import fit_name, label_of
from bench.results.protocols import entries
from leaderboards.comparison.compare import Side
from leaderboards.tables.reading import read_records as read


def side_of(word: str, places: tuple[Path, ...]) -> Side:
    """The records of the requested generator of a run, which are its first ones, or all records of a name or label among
    `places`.

    A name of a generator with results is that generator, whatever its case, also where a folder here has the same name: that
    folder is written ./NAME.
    """
    is_bare = Path(word).name == word and not word.endswith(".jsonl")
    is_path = Path(word).exists()
    if is_path and not (is_bare and any(place.exists() for place in places)):
        return _of_run(word)
    try:
        records = [line for line in read(places) if line.state != "reported"]
    except MissingError:
        if not is_path:
            raise
        records = []
    known = sorted({line.generator for line in records})
    alike = [word] if word in known else [name for name in known if name.casefold() == word.casefold()]
    if len(alike) > 1:
        raise UsageError(f"{word!r} may be {' or '.join(alike)}: these names differ by case alone.")
    if not alike and is_path:
        return _of_run(word)
    if not alike and (labelled := [line for line in records if label_of(line) == word]):
        return Side(word, tuple(labelled))
    if not alike:
        raise UsageError(
            f"{word!r} is neither a file or folder nor a generator or label with results.{did_you_mean(word, known)} "
            f"There are: {', '.join(known) or 'none'}."
        )
    return Side(alike[0], tuple(line for line in records if line.generator == alike[0]))


def _of_run(path: str) -> Side:
    records = read((Path(path),))
    kept = next((line.generator for line in records if line.state != "reported"), "")
    return Side(kept, tuple(line for line in records if line.generator == kept))


def distinguish(first: Side, second: Side) -> tuple[Side, Side]:
    """Names two runs of one generator by the options in which they differ."""
    if first.name != second.name:
        return first, second
    described = [next(iter(side.records)).described for side in (first, second)]
    pairs = [entry.partition(": ") for entry in entries(described[0], described[1], ("generator",))]
    pairs = [pair for pair in pairs if not pair[0].endswith(".digest")] or pairs  # a digest follows from the options
    fits = [_fits(side) for side in (first, second)]
    ends = fits if all(fits) and fits[0] != fits[1] else ["the first", "the second"]
    names = []
    for end in (0, -1):
        message = ", ".join(f"{name.rpartition('.')[2]} {values.split(' and ')[end]}" for name, _, values in pairs)
        names.append(f"{first.name} ({message or ends[end]})")
    return Side(names[0], first.records), Side(names[1], second.records)


def _fits(side: Side) -> str:
    """The fits of a side, e.g. `fits trained 0, trained 1`; empty where it has none or does not say."""
    found = sorted({name for record in side.records if (name := fit_name(record))})
    return f"fit{'s' if len(found) > 1 else ''} {', '.join(found)}" if found else ""

"""Result records as a pandas frame, for further analysis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import MissingError
from bench.results import schema
from bench.results.identity import experiment, variant
from bench.results.schema import ResultRecord, unit_of
from bench.results.terms import Flag, State, Status

if TYPE_CHECKING:
    import pandas

TEXTS = ("generator", "dataset", "prompt_source", "task", "measure", "metric", "class", "encoder", "mix", "experiment")
TEXTS_AFTER = ("protocol", "reason", "source", "suspect", "unit", "variant", "file")
FLOATS = ("value", "low", "high", "least", "most", "freedom")
INTEGERS = ("seed", "n", "n_real", "groups", "line")
NESTED = ("described", "keys", "fit", "stamp")
DIRECTIONS = ("lower", "higher", "none")


def load_results(places: str | PathLike[str] | Iterable[str | PathLike[str]]) -> pandas.DataFrame:
    """A row for each record of one or several .jsonl files, or folders with such files, in the order of the files.

    | columns | type | |
    |---|---|---|
    | generator, dataset, prompt_source, task, measure, encoder, mix, experiment | string | missing where there is none |
    | metric, class | string | the two parts of `measure`: `iou` and `tumour` of `iou:tumour` |
    | direction, status, state | category | categories are all possible values; states are ordered |
    | value, low, high, least, most, freedom | float64 | NaN where there is no number, for the `reason` |
    | seed, n, n_real, groups, line | int64 | |
    | flags, replicates | object | tuples |
    | a column for each `terms.Flag`, e.g. encoder_conflict | bool | whether it is among the flags |
    | made | datetime64, UTC | `stamp.made` |
    | variant | string | tells generators of one name apart: version, options, method of the weights; fits share it |
    | fit.origin, fit.seed, fit.weights | string | weights behind the number: origin, fit seed, digest |
    | described.generator.version, keys.test, stamp.numpy, ... | string | options as JSON with sorted names |
    | file, line | string, int64 | place of the record |

    Records are given as they were written. `bench leaderboard --format csv` withdraws those that cannot be true or are known
    to be wrong, and gives a number that is in two files once. Raises MissingError if there is no file, and, with file and line
    number, on a line that is no record.
    """
    import pandas

    asked = [places] if isinstance(places, (str, PathLike)) else list(places)
    rows = [_row(record, file, line) for file, line, record in schema.read_numbered(schema.files(map(Path, asked)))]
    if not rows:
        raise MissingError(f"no result records in {', '.join(map(str, asked))}: the files are empty.")
    nested = sorted({name for row in rows for name in row if name.partition(".")[0] in NESTED})
    flags = [_column_of(flag) for flag in Flag]
    first = ("direction", "status", "state", *FLOATS, *INTEGERS, "flags", *flags, "replicates", "made")
    table = pandas.DataFrame(rows, columns=[*TEXTS, *first, *TEXTS_AFTER, *nested])
    texts = (*TEXTS, *TEXTS_AFTER, *nested)
    table = table.astype(
        {
            **{name: "string" for name in texts},
            **{name: "float64" for name in FLOATS},
            **{name: "int64" for name in INTEGERS},
            **{name: "bool" for name in flags},
            "direction": pandas.CategoricalDtype(list(DIRECTIONS)),
            "status": pandas.CategoricalDtype([str(status) for status in Status]),
            "state": pandas.CategoricalDtype([str(state) for state in State], ordered=True),
        }
    )
    table[list(texts)] = table[list(texts)].replace("", pandas.NA)
    return table.assign(made=pandas.to_datetime(table["made"], utc=True, errors="coerce", format="ISO8601"))


def _row(record: ResultRecord, file: Path, line: int) -> dict[str, Any]:
    metric, _, of_class = record.measure.partition(":")
    own = {name: getattr(record, name) for name in schema.FIELDS if name not in NESTED}
    flags = {_column_of(flag): flag in record.flags for flag in Flag}
    nested = {f"{kind}.{name}": value for kind in NESTED for name, value in _flat(getattr(record, kind)) if name != "made"}
    return {
        **own,
        **{"status": str(record.status), "state": str(record.state), "metric": metric, "class": of_class},
        **{"experiment": experiment(record), "unit": unit_of(record), "variant": variant(record)},
        **{"made": record.stamp.get("made"), "file": str(file), "line": line},
        **flags,
        **nested,
    }


def _column_of(flag: Flag) -> str:
    return flag.replace("-", "_")


def _flat(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Entries of a mapping and of the mappings in it; deeper levels are JSON."""
    flat = []
    for name, value in held.items():
        if isinstance(value, Mapping):
            flat += [(f"{name}.{inner}", _text(entry)) for inner, entry in value.items()]
        else:
            flat.append((name, _text(value)))
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)

"""The paragraph that a paper needs about a run: what was generated, from what, against what, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.messages import listed, printable
from bench.results.schema import ResultRecord, unit_of
from bench.results.terms import Flag, Status

_MOST = 100
"""Names in one list."""
_PROMPTS = {
    "self": "cut from the image to be generated",
    "slide": "cut from another patch of the same slide",
    "cohort": "cut from a patch of another slide",
}


def cite(manifest: Mapping[str, Any], records: Sequence[ResultRecord]) -> str:
    """Sentences about the requested generator of a run; `manifest` is that of the run, `records` are its records."""
    own = [record for record in records if record.generator == records[0].generator]
    parts = (
        _generated(own),
        _conditions(manifest, own),
        _reference(manifest, own),
        _measures(manifest, [record for record in own if record.status == Status.OK]),
        _downstream(manifest, [record for record in own if record.status == Status.OK]),
        _intervals(own),
        _software(manifest, own),
    )
    text = " ".join(part for part in parts if part)
    return "\n\n".join(map(printable, (text, *_options(manifest, own))))


def _generated(own: Sequence[ResultRecord]) -> str:
    first = own[0]
    described = _mapping(first.described, "generator")
    fits = {str(record.fit.get("origin", "")) for record in own} - {"", "none"}
    weights = sorted({str(record.fit["weights"]) for record in own if record.fit.get("weights")})
    trained = f", weights {listed(sorted(fits))}{f' ({listed(weights)})' if weights else ''}" if fits else ""
    count = len({record.seed for record in own})
    n = max((record.n for record in own), default=0)
    return (
        f"{first.generator} (version {described.get('version', 'unknown')}{trained}) generated {n} patches, one for each test "
        f"condition, with {count} {'seed' if count == 1 else 'seeds'} ({listed(sorted({record.seed for record in own}))})."
    )


def _conditions(manifest: Mapping[str, Any], own: Sequence[ResultRecord]) -> str:
    source = next((record.prompt_source for record in own if record.prompt_source not in ("", "none")), "")
    trained = manifest["config"].get("fit_prompt_source", source)
    prompted = ""
    if source:
        cut = _PROMPTS.get(source.partition("(")[0], "cut")
        prompted = f"Visual prompts were {cut} (prompt source {source}; trained with {trained})."
    layouts = manifest["config"].get("layout_generator")
    sampled = f" Layouts were sampled by {layouts}." if layouts else ""
    return (prompted + sampled).strip()


def _reference(manifest: Mapping[str, Any], own: Sequence[ResultRecord]) -> str:
    first = own[0]
    splits = {name: split for name, split in _mapping(manifest["data"], "splits").items() if isinstance(split, Mapping)}
    dataset, unit = _mapping(first.described, "dataset"), unit_of(first)
    counts = [
        f"{splits[name].get('patches')} patches of {splits[name].get('slides')} {unit} to {use}"
        for name, use in (("train", "train"), ("validation", "select"), ("test", "test"))
        if name in splits
    ]
    size = next((f" of {split['size']} pixels" for split in splits.values() if "size" in split), "")
    phantom = " This is procedural tissue: the numbers say nothing of real patients." if Flag.EMBEDDED in first.flags else ""
    options = _mapping(dataset, "options")
    apart = f"no {unit.removesuffix('s')} is in two splits"
    if Flag.SOURCES_UNKNOWN in first.flags:
        apart = "which slides the patches are of is not known, so that one slide may be in two splits"
    mpp = f" at {options['mpp']} microns per pixel" if options.get("mpp") else ""
    return (
        f"The data were {first.dataset} (version {dataset.get('version', 'unknown')}), patches{size}{mpp}: {listed(counts)}; "
        f"{apart}. The reference of every distance was the real test patches.{phantom}"
    )


def _measures(manifest: Mapping[str, Any], own: Iterable[ResultRecord]) -> str:
    by_encoder: dict[str, list[str]] = {}
    for record in own:
        if not record.mix and not record.measure.startswith("prompt-"):
            measures = by_encoder.setdefault(record.encoder, [])
            name = record.measure.partition(":")[0]
            measures += [name] if name not in measures else []
    sentences = []
    for encoder, measures in by_encoder.items():
        known = manifest["described"]["encoders"].get(encoder, {})
        about = [f"version {known['version']}"] if "version" in known else []
        about += [f"weights {str(known['digest'])[:12]}"] if known.get("digest") else []
        over = f" over {encoder}{f' ({listed(about)})' if about else ''}" if encoder else ""
        sentences.append(f"{listed(measures, _MOST)}{over}")
    return f"Measured were {'; '.join(sentences)}." if sentences else ""


def _downstream(manifest: Mapping[str, Any], own: Iterable[ResultRecord]) -> str:
    mixes = list(dict.fromkeys(record.mix for record in own if record.mix))
    if not mixes:
        return ""
    task, pool = manifest["described"]["task"], _mapping(manifest["data"], "pool")
    patches = f" from {pool['patches']} training conditions" if "patches" in pool else ""
    return (
        f"Downstream models of {task.get('name')} (version {task.get('version')}) were trained{patches} on "
        f"{listed(mixes, _MOST)} with equal budgets, selected on validation patches, and scored once on the real test patches."
    )


def _intervals(own: Sequence[ResultRecord]) -> str:
    with_interval = [record for record in own if record.status == Status.OK and record.low is not None]
    if not with_interval:
        return "No interval is given."
    first = with_interval[0]
    population = _mapping(first.described, "dataset").get("population", f"other {unit_of(first)}")
    seeds = " and seeds" if len({record.seed for record in own}) > 1 else ""
    return (
        f"Intervals are 95 %, over {first.groups} {unit_of(first)}{seeds} (jackknife of blocks for distances, bootstrap for "
        f"scores), and describe {population}."
    )


def _software(manifest: Mapping[str, Any], own: Sequence[ResultRecord]) -> str:
    stamp, environment = own[0].stamp, _mapping(manifest, "environment")
    code = str(environment.get("code", ""))[:12]
    digest = str(_mapping(manifest, "records").get("digest", "unknown"))[:16]
    return (
        f"Made with histobench {stamp.get('histobench', 'unknown')}{f' (code {code})' if code else ''}, torch "
        f"{stamp.get('torch', 'unknown')}; digest of the records {digest}."
    )


def _options(manifest: Mapping[str, Any], own: Sequence[ResultRecord]) -> Iterator[str]:
    """A paragraph for the options of the generator, and for those of the downstream models."""
    described = {own[0].generator: _mapping(own[0].described, "generator")}
    if any(record.mix for record in own):
        task = manifest["described"]["task"]
        described[str(task.get("name"))] = task
    for name, plugin in described.items():
        if options := ", ".join(f"{option} {_short(value)}" for option, value in _mapping(plugin, "options").items()):
            yield f"Options of {name}: {options}."


def _short(value: Any) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)


def _mapping(held: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in a file; empty where it is absent or of another type."""
    found = held.get(name)
    return found if isinstance(found, Mapping) else {}

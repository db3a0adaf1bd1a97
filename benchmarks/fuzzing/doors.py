"""The doors: for each the files that are changed, and what reads them. A door is a command, or a plug-in by its protocol."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzzing import corpus
from benchmarks.fuzzing.corpus import RUN, SIZE, command

STYLES = ("text", "json", "csv", "markdown", "latex")


@dataclass(frozen=True)
class Door:
    """What reads files of one kind."""

    base: str
    """A folder of the corpus, which is copied for each input."""
    files: tuple[str, ...]
    """Patterns of the files in it that are changed."""
    ask: Callable[[Path, random.Random], None]
    """Reads the folder; raises what a command or a plug-in raises."""
    weight: int = 4
    """How many inputs it gets, beside those of the others."""
    codes: frozenset[int] = frozenset()
    """Exit codes that this door gives beside the usual ones."""
    reads: bool = True
    """Whether it ends with exit code 0 on the files as they are."""


class WrongError(Exception):
    """A number that is not what it was, without a word."""


def _leaderboard(folder: Path, rng: random.Random) -> None:
    command("leaderboard", "--results", folder / "a.jsonl", "--results", folder, "--format", rng.choice(STYLES))


def _compare(folder: Path, rng: random.Random) -> None:
    sides = rng.choice(((folder / "a.jsonl", folder / "b.jsonl"), ("flat-colour", "shuffle")))
    command("compare", *sides, "--results", folder, *rng.choice(((), ("--json",), ("-m", "fd *"))))


def _gate(folder: Path, rng: random.Random) -> None:
    words = rng.choice(((), ("--json",), ("--strict",), ("--mode", "same-method"), ("--junit", folder / "out/j.xml")))
    command("gate", "--baseline", folder / "baseline.jsonl", "--candidate", folder / "a.jsonl", *words)


def _gate_accept(folder: Path, rng: random.Random) -> None:
    command("gate", "accept", "--baseline", folder / "baseline.jsonl", "--candidate", folder / "b.jsonl", "--reason", "again")


def _merge(folder: Path, rng: random.Random) -> None:
    command("merge", folder / "a.jsonl", folder / "b.jsonl", folder / "c.jsonl", "--out", folder / "out/all.jsonl")


def _records_report(folder: Path, rng: random.Random) -> None:
    command("report", folder / "a.jsonl", folder / "b.jsonl", folder / "c.jsonl", "--out", folder / "out", "--patches", "0")


def _load_results(folder: Path, rng: random.Random) -> None:
    import bench

    bench.load_results([folder])


def _home(folder: Path) -> None:
    os.environ["BENCH_HOME"] = str(folder / "home")


def _verify(folder: Path, rng: random.Random) -> None:
    _home(folder)
    more: tuple[object, ...] = rng.choice(((), ("--json",), ("--mark",), ("--samples", folder / "samples")))
    command("verify", folder / "run", "--sample", "2", "--workers", "1", *more)


def _run_report(folder: Path, rng: random.Random) -> None:
    _home(folder)
    patches = rng.choice(("0", "1"))
    command("report", folder / "run", "--out", folder / "out", "--patches", patches, "--encoder", "stain")


def _older_report(folder: Path, rng: random.Random) -> None:
    _home(folder)
    command("report", folder / "run", "--out", folder / "report", "--patches", "0")


def _run_merge(folder: Path, rng: random.Random) -> None:
    command("merge", folder / "run", "--out", folder / "out/all.jsonl")


def _export_samples(folder: Path, rng: random.Random) -> None:
    _home(folder)
    command("export", "samples", folder / "run", "--out", folder / "out", "--workers", "1")


def _suite(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.5:
        command("suite", folder / "mini.toml", "--plan")
    else:
        command("leaderboard", folder / "mini.toml", "--results", folder / "results", "--format", rng.choice(STYLES))


def _suite_index(folder: Path, rng: random.Random) -> None:
    kind = rng.randrange(3)
    if kind == 0:
        command("leaderboard", folder / "mini.toml", "--results", folder / "results")
    elif kind == 1:
        command("report", folder / "results/mini", "--out", folder / "out", "--patches", "0")
    else:
        command("merge", folder / "results/mini", "--out", folder / "out/all.jsonl")


def _policy(folder: Path, rng: random.Random) -> None:
    words = ("--baseline", folder / "a.jsonl", "--candidate", folder / "a.jsonl", "--policy", folder / "policy.toml")
    command("gate", *words, *rng.choice(((), ("--strict",), ("--mode", "same-method"))))


def _experiment(folder: Path, rng: random.Random) -> None:
    words = ("--experiment", folder / "experiment.toml", "--results", folder / "experiment.jsonl")
    command("leaderboard", "lizard-nuclei", *words, "--format", rng.choice(STYLES))


def _read_dataset(kind: str, folder: Path, **options: Any) -> None:
    """All that a run asks of a data set."""
    import numpy as np

    from bench import registry
    from bench.types import ProvidesPools

    data = registry.load("datasets", kind, folder=folder / "data", **options)
    registry.describe(data)
    if kind not in ("folder", "prepared"):
        _ = data.tile_summary
        data.manifest()
    _ = data.sampling, type(data).recognises(folder / "data")
    for name in ("train", "validation", "test", "holdout", *(data.pools if isinstance(data, ProvidesPools) else ())):
        made = data.split(name)
        np.asarray(made.images)


def _folder(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.1:
        options = ("-o", f"dataset.size={SIZE}", "--workers", "1")
        command("export", "conditions", "-t", "cam16-seg", "--data", folder / "data", "--out", folder / "out", *options)
    else:
        options_of = rng.choice(({}, {"mpp": 1.0, "size": 16}, {"class_map": "0=0,1=1"}, {"stride": 16}))
        _read_dataset("folder", folder, **{"size": SIZE, **options_of})


def _lizard(folder: Path, rng: random.Random) -> None:
    _read_dataset("lizard", folder, size=32, stride=32, **rng.choice(({}, {}, {"stain": "vahadane", "target": "crag_1"})))


def _conic(folder: Path, rng: random.Random) -> None:
    _read_dataset("conic", folder, size=rng.choice((32, 64)))


def _nuclei_folder(folder: Path, rng: random.Random) -> None:
    options = rng.choice(({}, {"mpp": 1.0, "size": 16}, {"types": "a,b,c,d,e,f"}))
    _read_dataset("nuclei-folder", folder, **{"size": SIZE, **options})


def _prepared(folder: Path, rng: random.Random) -> None:
    options = rng.choice(({}, {"class_map": "0=0,1=1"}, {"most": 1}, {"smallest": 0.2, "largest": 0.8}))
    _read_dataset("prepared", folder, **options)


CUT = ("--classes", "a=tumour,n=normal", "--outside", "normal", "--size", "32", "--mpp", "1", "--patches", "all")


def _slides(folder: Path, rng: random.Random) -> None:
    words = rng.choice(((), ("--skip-damaged",), ("--dry-run",)))
    command("prepare", "slides", "--root", folder / "slides", "--out", folder / "out", *CUT, "--workers", "1", *words)


def _label_slides(folder: Path, rng: random.Random) -> None:
    classes = ("--classes", "0=normal,1=tumour", *CUT[4:])
    command("prepare", "slides", "--root", folder / "masks", "--out", folder / "out", *classes, "--workers", "1")


def _gdc(folder: Path, rng: random.Random) -> None:
    words = rng.choice(((), ("--checksums",), ("--dry-run",)))
    command("prepare", "tcga", "--root", folder / "gdc", "--out", folder / "out", *CUT[4:], "--workers", "1", *words)


def _import(layout: str) -> Callable[[Path, random.Random], None]:
    def ask(folder: Path, rng: random.Random) -> None:
        of_pixels = ("--accept-palette",) if layout in ("pairs", "hf") else ()
        words = rng.choice(((), ("--skip-damaged",), of_pixels, ("--json",)))
        command("data", "import", folder / layout, "--out", folder / "out", *words)

    return ask


def _check(folder: Path, rng: random.Random) -> None:
    command(
        "data", "check", folder / rng.choice(("pairs", "coco", "geojson", "pannuke", "hf")), *rng.choice(((), ("--json",)))
    )


def _samples(folder: Path, rng: random.Random) -> None:
    from bench import registry

    made = registry.load("generators", "folder", folder=folder / rng.choice(("", "listed")))
    _generate(made, check=True)


def _generate(made: Any, check: bool = False) -> None:
    import numpy as np

    from bench import registry

    conditions = corpus.patches().conditions
    registry.describe(made)
    if check:
        made.set_seeds()
        made.check_conditions(conditions.ids)
    made.generate(conditions, np.arange(4, dtype=np.uint64))


def _changed(folder: Path) -> Path:
    """The file that was changed; the others are as they were."""
    return folder / (folder / ".changed").read_text(encoding="utf-8")


def _checkpoint(folder: Path, rng: random.Random) -> None:
    import numpy as np

    from bench import registry
    from generators.nasdm import published

    file = _changed(folder)
    if rng.random() < 0.05:
        words = ("-g", "nasdm", "-o", f"generator.checkpoint={file}", "-o", "generator.sample_steps=2")
        _home(folder)
        command("run", *words, *RUN, "--seeds", "0", "--out", folder / "out")
        return
    made = registry.load("generators", "nasdm", checkpoint=file, sample_steps="2")
    registry.describe(made)
    published.describe_fit(file)
    made.training_config()
    made.generate(corpus.patches().conditions[:2], np.arange(2, dtype=np.uint64))


def _encoder(folder: Path, rng: random.Random) -> None:
    from bench import registry

    file, name = _changed(folder), rng.choice(("timm:test_vit", "timm:test_vit", "lunit-vits8", "phikon", "pathdino"))
    if rng.random() < 0.05:
        _home(folder)
        words = ["timm:test_vit" if word == "stain" else word for word in RUN]
        command("run", "-g", "flat-colour", *words, "-o", f"encoder.weights={file}", "--seeds", "0", "--out", folder / "out")
        return
    made = registry.load("encoders", name, weights=file)
    registry.describe(made)
    if name.startswith("timm"):
        made.encode(corpus.patches().images)
    else:
        made.ready()


def _doctor(folder: Path, rng: random.Random) -> None:
    """The changed file under the names of two encoders, beside a configuration."""
    file = _changed(folder)
    for name in ("lunit-vits8.pth", "phikon.safetensors", "uni.bin"):
        shutil.copyfile(file, folder / name)
    command("doctor", "--encoders", "--weights", folder, *rng.choice(((), ("--json",))))


def _encoder_config(folder: Path, rng: random.Random) -> None:
    from bench import registry

    made = registry.load("encoders", "quiltnet", weights=folder / "open_clip_model.safetensors")
    made.ready()


def _shipped_encoder(folder: Path, rng: random.Random) -> None:
    import metrics.encoders.builtin.phantom_cnn as cnn
    from bench import registry

    cnn.SHIPPED = folder
    made = registry.load("encoders", "phantom-cnn")
    registry.describe(made)
    made.encode(corpus.patches().images)


def _shipped_weights(folder: Path, rng: random.Random) -> None:
    from bench import registry
    from bench.pipeline.training import weight_files
    from generators.diffusion import shipped

    shipped.SHIPPED = folder
    made = registry.load("generators", "ldm-semantic")
    made.shipped(corpus.TRAIN_KEY)
    weight_files(folder / "set", "ldm-semantic")


def _generator_weights(folder: Path, rng: random.Random) -> None:
    name = _changed(folder).parent.name
    corpus.small_generator(name).load(folder / name)


def _cache(folder: Path, rng: random.Random) -> None:
    _home(folder)
    kinds = (("list",), ("list", "--json"), ("size",), ("verify",), ("verify", "--remove"), ("prune", "--keep", "0"))
    command("cache", *rng.choice((*kinds, ("prune", "--keep", "100k"))))


def _store(folder: Path, rng: random.Random) -> None:
    """The run again: what is damaged is found and made again, and the numbers stay."""
    from bench.results import schema

    _home(folder)
    (known,) = schema.files([folder / "run"])
    try:
        command("run", "-g", "flat-colour", *RUN, "--out", folder / "out")
    except SystemExit as end:
        if end.code in (0, None):
            again = schema.files([folder / "out"])
            if _numbers(again) != _numbers([known]):
                raise WrongError("the records are not those of the undisturbed store") from end
        raise


def _numbers(files: list[Path]) -> list[tuple[object, ...]]:
    from bench.results import schema

    return [(one.measure, one.seed, one.value, one.low, one.high, one.replicates) for one in schema.read(files)]


def _training(folder: Path, rng: random.Random) -> None:
    import torch

    expected = corpus.train_small(_empty(folder / "other"))
    found = corpus.train_small(folder / "work")
    if any(not torch.equal(found[name], expected[name]) for name in expected):
        raise WrongError("the weights are not those of the undisturbed training")


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


DOORS: dict[str, Door] = {
    "records: leaderboard": Door("records", ("[abc].jsonl",), _leaderboard, 6),
    "records: compare": Door("records", ("[ab].jsonl",), _compare, 6),
    "records: gate": Door("records", ("baseline.jsonl", "a.jsonl"), _gate, 6),
    "records: gate accept": Door("records", ("baseline.jsonl", "b.jsonl", "baseline.log"), _gate_accept),
    "records: merge": Door("records", ("[abc].jsonl",), _merge, 6),
    "records: report": Door("records", ("[abc].jsonl",), _records_report, 3),
    "records: load_results": Door("records", ("*.jsonl",), _load_results, 6),
    "run: verify": Door("run", ("run/*.json", "run/*.csv", "run/*.jsonl", "samples/*/samples/*.png"), _verify, 2),
    "run: report": Door("run", ("run/*",), _run_report, 2),
    "run: merge": Door("run", ("run/*.json", "run/*.jsonl"), _run_merge, 2),
    "run: export samples": Door("run", ("run/*.json", "run/*.jsonl"), _export_samples, 2),
    "report: over an older one": Door("run", ("report/*.json", "report/*.html"), _older_report, 1),
    "suite: TOML": Door("settings", ("mini.toml",), _suite, 6),
    "suite: suite.json": Door("settings", ("results/mini/suite.json",), _suite_index, 4),
    "gate policy: TOML": Door("settings", ("policy.toml",), _policy, 5),
    "experiment: TOML": Door("settings", ("experiment.toml",), _experiment, 5),
    "data set: folder": Door("folder", ("data/index.csv", "data/*/*"), _folder, 10),
    "data set: lizard": Door("lizard", ("data/*/*.csv", "data/*/*/*.mat", "data/*/*/*.mat", "data/*/*.png"), _lizard, 8),
    "data set: conic": Door("conic", ("data/*.csv", "data/*.npy"), _conic, 8),
    "data set: nuclei-folder": Door("nuclei-folder", ("data/*.csv", "data/*/*"), _nuclei_folder, 8),
    "data set: prepared": Door("prepared", ("data/*.json", "data/*.parquet", "data/patches/*/**/*"), _prepared, 6),
    "slides: outlines and tables": Door("slides", ("slides/*.xml", "slides/*.geojson", "slides/*.csv"), _slides, 4),
    "slides: images": Door("slides", ("slides/*.tif",), _slides, 3),
    "slides: label slides": Door("slides", ("masks/*_mask.tif",), _label_slides, 3),
    "slides: manifest of the GDC": Door("gdc", ("gdc/*.txt",), _gdc, 3),
    "import: pairs": Door("imports", ("pairs/*/*.png", "pairs/list.csv"), _import("pairs"), 3),
    "import: COCO": Door("imports", ("coco/*.json",), _import("coco"), 4),
    "import: GeoJSON": Door("imports", ("geojson/*.geojson",), _import("geojson"), 4),
    "import: PanNuke": Door("imports", ("pannuke/*.npy",), _import("pannuke"), 4),
    "import: Hugging Face": Door("imports", ("hf/*.parquet",), _import("hf"), 4, reads=False),
    "data check": Door("imports", ("*/*", "pairs/*/*"), _check, 3, frozenset((3,)), reads=False),
    "generator: folder": Door("samples", ("listed/samples.csv", "listed/made/*", "samples/*"), _samples, 6),
    "weights: checkpoint=": Door("weights/diffusion", ("*",), _checkpoint, 3),
    "weights: weights= of an encoder": Door("weights/image", ("*",), _encoder, 6),
    "weights: doctor": Door("weights/small", ("*",), _doctor, 2, frozenset((1,)), reads=False),
    "weights: configuration beside them": Door("weights/quiltnet", ("*.json",), _encoder_config, reads=False),
    "weights: shipped, of an encoder": Door("shipped/encoder", ("*",), _shipped_encoder, 3),
    "weights: shipped, of a generator": Door("shipped/weights", ("set/*.json",), _shipped_weights),
    "weights: of a fitted generator": Door("shipped", tuple(f"{name}/*" for name in corpus.FITTED), _generator_weights),
    "store: cache": Door("run", ("home/*/*/entry.json", "home/*/*/*", "home/.in-use/*"), _cache, 6),
    "store: a run": Door("run", ("home/*/*/entry.json", "home/*/*/*", "home/*/*/**/*"), _store, 3),
    "store: interrupted training": Door("training", ("work/*/*",), _training, 3),
}

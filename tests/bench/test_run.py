"""Whole runs through the command line, on a small phantom: lines, cache, faults, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.jobs.arrays import open_array
from bench.jobs.store import EntryRef, Store
from bench.pipeline.generation import generated_ref
from bench.provenance.digests import digest_of
from bench.results import schema
from bench.results.schema import ResultRecord
from bench.types import Images, Strings, image_seeds
from tests.tasks import small_folder

SMALL = [
    word
    for o in ("train_slides=8", "validation_slides=2", "test_slides=6", "per_slide=14", "task.steps=4")
    for word in ("-o", o)
]
FAST = [*SMALL, "--encoders", "texture", "--seeds", "0"]


def bench(*words: str, home: Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCH_HOME": str(home), **more}
    environment.pop("BENCH_DATA", None) if "BENCH_DATA" not in more else None
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    return subprocess.run(program, capture_output=True, text=True, env=environment, cwd=cwd or home.parent)


def run(*words: str, home: Path, **more: str) -> list[ResultRecord]:
    done = bench("run", "--task", "cam16-seg", "--json", *words, home=home, **more)
    assert done.returncode in (0, 4), done.stderr
    path = home.parent / "lines.jsonl"
    path.write_text(done.stdout)
    return list(schema.read([path]))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "home"


@pytest.fixture(scope="module")
def generated(home: Path) -> list[ResultRecord]:
    return run("--generator", "flat-colour", *FAST, home=home)


def test_every_planned_number_is_there(generated: list[ResultRecord]) -> None:
    found = {(r.generator, r.measure, r.encoder, r.mix) for r in generated}
    for generator in ("flat-colour", "real", "noise"):
        measures = ("fd", "fd-pca16", "fd-lower-reference", "fd-normalised", "precision", "recall")
        assert {(generator, m, "texture", "") for m in measures} <= found
    for mix in ("real", "synthetic", "real+synthetic"):
        assert {("flat-colour", m, "", mix) for m in ("iou", "iou:normal", "iou:tumour", "iou-patch")} <= found
    assert all((r.value is not None) == (r.status == "ok") for r in generated)


def test_lines_say_what_they_rest_on(generated: list[ResultRecord]) -> None:
    for line in generated:
        assert line.dataset == "phantom-cam16" and line.task == "cam16-seg"
        assert "embedded" in line.flags
        assert line.n == 84 and line.groups == 6
        assert line.protocol and line.direction in ("lower", "higher")
        if line.status == "skipped":  # half of the slides have fewer rows than the encoder has columns
            assert line.measure in ("fd-lower-reference", "fd-normalised") and line.reason.startswith(
                "underpowered: 42 generated"
            )
            assert "underpowered" in line.flags
            continue
        if line.measure == "fd-pca16":  # 6 slides, of which an interval needs 20
            assert line.value is not None and line.low is None and line.reason.startswith("underpowered: 6 slides")
        else:
            assert line.low is not None and line.high is not None and line.low <= line.value <= line.high
        assert line.stamp["histobench"] and line.described["generator"]["name"] == line.generator
        assert (
            (line.described["metric"]["name"] == line.measure)
            if line.encoder
            else (line.described["task"]["name"] == line.task)
        )
        assert line.prompt_source == "none", "none of these generators is shown a crop"


def test_real_is_nearest_and_noise_is_farthest(generated: list[ResultRecord]) -> None:
    fd = {r.generator: r.value for r in generated if r.measure == "fd"}
    assert fd["real"] < fd["flat-colour"] < fd["noise"]


def test_second_run_gives_the_same_numbers_from_the_cache(generated: list[ResultRecord], home: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in home.rglob("entry.json")}
    again = run("--generator", "flat-colour", *FAST, home=home)
    assert [(r.measure, r.value, r.low, r.high) for r in again] == [(r.measure, r.value, r.low, r.high) for r in generated]
    assert {f: f.stat().st_mtime_ns for f in home.rglob("entry.json")} == before, "nothing was made again"


def test_table_and_picture_and_lines_are_written(generated: list[ResultRecord], home: Path, tmp_path: Path) -> None:
    from PIL import Image

    done = bench("run", "-g", "flat-colour", "-t", "cam16-seg", *FAST, "--out", str(tmp_path), home=home)
    assert done.returncode == 0
    assert "EMBEDDED DATA: phantom-cam16" in done.stderr.splitlines()[0]
    folder = Path(done.stdout.strip().splitlines()[-1])
    assert folder.parent == tmp_path
    assert len(list(schema.read([folder / "results.jsonl"]))) == len(generated)
    assert (folder / "table.txt").read_text() in done.stdout
    assert Image.open(folder / "picture.png").size[0] > 400
    assert "fd texture ↓" in done.stdout and "embedded phantom tissue" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-g", "flat-color", "-t", "cam16-seg"], 2, "Did you mean 'flat-colour'"),
        (["-g", "flat-colour", "-t", "cam17-seg"], 2, "Did you mean 'cam16-seg'"),
        (["-g", "flat-colour", "-t", "cam16-seg", "-o", "stpes=3"], 2, "Did you mean 'steps'"),
        (["-g", "flat-colour", "-t", "cam16-seg", "-o", "per_slide"], 2, "name=value"),
        (["-g", "flat-colour", "-t", "cam16-seg", "--seeds", "a"], 2, "--seeds"),
        (["-g", "flat-colour", "-t", "cam16-seg", "--encodres", "texture"], 2, "--encoders"),
        (["-g", "flat-colour", "-t", "cam16-seg", "--data", "absent"], 3, "no data folder"),
        (["-g", "flat-colour", "-t", "cam16-seg", "--data", "real"], 3, "BENCH_DATA"),
        (["-g", "folder:absent", "-t", "cam16-seg"], 3, "absent"),
        (["-g", "absent.py:Mine", "-t", "cam16-seg"], 3, "no file"),
        (["-g", "ldm-prompt", "-t", "cam16-seg", "-o", "fallback=paper"], 2, "--prompt-source self"),
    ],
)
def test_mistakes_are_answered_with_code_and_next_step(home: Path, words: list[str], code: int, message: str) -> None:
    done = bench("run", *words, home=home)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_encoder_without_weights_is_skipped_with_its_reason(home: Path) -> None:
    words = ["--generator", "flat-colour", *SMALL, "--seeds", "0", "--no-downstream", "--encoders", "texture,timm:resnet10t"]
    lines = run(*words, "-o", "weights=absent.safetensors", home=home)
    timm = [r for r in lines if r.encoder.startswith("timm")]
    assert len(timm) == 18 and {r.status for r in timm} == {"skipped"}
    assert all(r.reason.startswith("missing: ") and "absent.safetensors" in r.reason for r in timm)
    assert all(r.status == "ok" for r in lines if r.encoder == "texture" and not r.measure.startswith("fd-"))
    assert bench("run", "-t", "cam16-seg", *words, "-o", "weights=absent.safetensors", home=home).returncode == 0
    assert bench("run", "-t", "cam16-seg", *words, "-o", "weights=absent.safetensors", "--strict", home=home).returncode == 3


def test_a_distance_comes_with_its_lower_reference_and_between_lower_reference_and_upper_reference(tmp_path: Path) -> None:
    words = [
        "--generator",
        "flat-colour",
        *SMALL,
        "-o",
        "per_slide=20",
        "--encoders",
        "texture",
        "--metrics",
        "fd",
        "--no-downstream",
    ]
    lines = run(*words, "--seeds", "0", "--controls", "real,noise,shuffle", home=tmp_path / "home")
    value = {(r.generator, r.measure): r.value for r in lines}
    assert len({value[g, "fd-lower-reference"] for g in ("flat-colour", "real", "noise", "shuffle")}) == 1
    assert value["noise", "fd-normalised"] == pytest.approx(1)
    assert value["shuffle", "fd-normalised"] == pytest.approx(0, abs=0.01)
    assert 0.01 < value["flat-colour", "fd-normalised"] < 1
    assert value["flat-colour", "fd"] > value["flat-colour", "fd-lower-reference"] > 0


def test_metrics_of_one_encoder_and_of_training_patches_stand_beside_the_others(home: Path) -> None:
    words = [
        "--generator",
        "blur",
        *SMALL,
        "--encoders",
        "texture",
        "--no-downstream",
        "--seeds",
        "0",
        "--controls",
        "copy-train",
    ]
    lines = run(*words, "--metrics", "stain,fls,kid", home=home)
    found = {(r.generator, r.measure, r.encoder): r for r in lines}
    places = {("stain", "stain"), ("fls", "texture"), ("kid", "texture")}
    assert set(found) == {(g, m, e) for g in ("blur", "copy-train") for m, e in places}
    copied = found["copy-train", "fls", "texture"].value
    assert copied is not None and copied < 95, "Gaussians on copies of training patches shrink and explain nothing new"
    assert all(r.status == "ok" and r.low is not None for r in lines)


def test_a_gated_encoder_ends_its_cells_and_with_strict_the_run(home: Path, tmp_path: Path) -> None:
    words = ["--generator", "blur", *SMALL, "--encoders", "uni", "--no-downstream", "--seeds", "0", "--controls", "none"]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN": ""}
    lines = run(*words, home=home, **quiet)
    assert {r.status for r in lines} == {"skipped"} and all(r.reason.startswith("gated: ") for r in lines)
    shown = bench("run", "-t", "cam16-seg", *words, home=home, **quiet)
    assert shown.returncode == 0 and "skipped(gated)" in shown.stdout
    assert bench("run", "-t", "cam16-seg", *words, "--strict", home=home, **quiet).returncode == 3


CRASHES = """
import numpy as np
from bench.types import Card
class Crashes:
    card = Card("crashes", "1", "A test.")
    def generate(self, conditions, seeds):
        raise RuntimeError("out of generate")
class CannotFit(Crashes):
    card = Card("cannot-fit", "1", "A test.")
    def fit(self, train, seed, progress, work):
        raise RuntimeError("out of memory")
    def save(self, folder): ...
    def load(self, folder): ...
class Wrong:
    card = Card("wrong", "1", "A test.")
    def generate(self, conditions, seeds):
        return np.zeros((len(conditions), 8, 8, 3), np.uint8)
class Slow:
    card = Card("slow", "1", "A test.")
    def generate(self, conditions, seeds):
        import time
        time.sleep(0.4)
        with open("generated.log", "a") as log: log.write("shard\\n")
        return np.stack([np.full((conditions.size, conditions.size, 3), seed % 251, np.uint8) for seed in seeds])
class Where(Slow):
    card = Card("where", "1", "A test.")
    def generate(self, conditions, seeds):
        import os, pathlib
        with pathlib.Path(__file__).with_name("pids.log").open("a") as log: log.write(f"{os.getpid()}\\n")
        return super().generate(conditions, seeds)
"""


def generated_patches(home: Path) -> list[tuple[Strings, Images]]:
    """Ids and images of each generated set that is in the store."""
    store = Store(home)
    listed = (json.loads(file.read_bytes()) for file in home.glob("samples/*/samples.json"))
    sets = (generated_ref(one).load(store) for one in listed)
    return [(np.asarray(made.conditions.ids), np.asarray(made.images)) for made in sets]


@pytest.fixture
def plugin(home: Path) -> Path:
    (home.parent / "plugin.py").write_text(CRASHES)
    return home.parent / "plugin.py"


def test_crashing_generator_gives_error_cells_and_its_neighbours_numbers(home: Path, plugin: Path) -> None:
    done = bench("run", "-t", "cam16-seg", "-g", f"{plugin}:Crashes", "--json", *FAST, home=home)
    assert done.returncode == 4
    assert "RuntimeError: out of generate" in done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    mine = [r for r in lines if r["generator"] == "crashes"]
    needs_none = [r for r in mine if r["mix"] == "real" or r["measure"] == "fd-lower-reference"]
    assert needs_none and not any(r["status"] == "error" for r in needs_none), "no generated patch is needed for them"
    lost = [r for r in mine if r not in needs_none]
    assert lost and all(r["status"] == "error" and "out of generate" in r["reason"] for r in lost)
    assert {(r["measure"], r["mix"]) for r in lost} >= {("fd", ""), ("iou", "synthetic"), ("iou", "real+synthetic")}
    assert any(r["generator"] == "real" and r["status"] == "ok" for r in lines)


def test_generator_that_breaks_while_fitted_loses_its_own_cells_only(home: Path, plugin: Path) -> None:
    done = bench(
        "run", "-t", "cam16-seg", "-g", f"{plugin}:CannotFit", "--json", "--no-downstream", *FAST, "--seeds", "0,1", home=home
    )
    assert done.returncode == 4
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert [r["measure"] for r in lines if r["generator"] == "cannot-fit"].count("fd-normalised") == 2
    status = {(r["generator"], r["status"]) for r in lines if not r["measure"].startswith("fd-")}
    assert status == {("cannot-fit", "error"), ("real", "ok"), ("noise", "ok")}
    assert "RuntimeError: out of memory" in done.stderr


def test_wrong_shape_is_named(home: Path, plugin: Path) -> None:
    done = bench("run", "-t", "cam16-seg", "-g", f"{plugin}:Wrong", *FAST, home=home)
    assert done.returncode == 4
    assert "uint8 (64, 8, 8, 3); a generator returns uint8 (64, 64, 64, 3)" in done.stderr


def test_killed_sampling_goes_on_with_the_same_result(home: Path, plugin: Path, tmp_path: Path) -> None:
    many = [word.replace("per_slide=14", "per_slide=64").replace("train_slides=8", "train_slides=1") for word in FAST]
    words = [
        "run",
        "-t",
        "cam16-seg",
        "-g",
        f"{plugin}:Slow",
        "--json",
        "--no-downstream",
        "--controls",
        "none",
        *many,
        "-o",
        "size=32",
    ]
    environment = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    process = subprocess.Popen(program, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "generated.log"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list((tmp_path / "home").glob("generated/*/entry.json")))
    assert finished >= 2
    log.unlink()
    done = bench(*words, home=tmp_path / "home", cwd=tmp_path)
    assert len(log.read_text().splitlines()) == 6 - finished, "finished shards were kept"
    assert done.returncode == 0 and done.stdout
    ((ids, images),) = generated_patches(tmp_path / "home")
    assert np.array_equal(images[:, 0, 0, 0], image_seeds(0, ids) % 251)


def test_two_runs_at_once_on_one_cache(tmp_path: Path) -> None:
    environment = {**os.environ, "BENCH_HOME": str(tmp_path / "home")}
    words = ["run", "-t", "cam16-seg", "-g", "blur", "--json", "--no-downstream", "--out", str(tmp_path / "out"), *FAST]
    program = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    both = [subprocess.Popen(program, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    message = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    values = [[json.loads(text)["value"] for text in lines.splitlines()] for lines in message]
    assert values[0] == values[1] and len(values[0]) == 18


def test_workers_generate_the_same_bytes(plugin: Path, tmp_path: Path) -> None:
    many = [word.replace("per_slide=14", "per_slide=24") for word in FAST]
    words = ["--generator", f"{plugin}:Where", "--no-downstream", "--controls", "none", *many]
    log = plugin.with_name("pids.log")
    values, images, processes = [], [], []
    for workers in ("1", "2"):
        log.unlink(missing_ok=True)
        (tmp_path / workers).mkdir()
        home = tmp_path / workers / "home"
        values.append([r.value for r in run(*words, "--workers", workers, home=home)])
        ((_, made),) = generated_patches(home)
        images.append(made)
        processes.append(log.read_text().splitlines())
    assert values[0] == values[1] and values[0]
    assert np.array_equal(*images)
    assert [len(shards) for shards in processes] == [3, 3], "each shard was generated once"
    assert [len(set(shards)) for shards in processes] == [1, 2], "two workers shared the shards"


def damage(file: Path) -> bytes:
    """The contents of a file before its last bytes were changed."""
    whole = file.read_bytes()
    file.write_bytes(whole[:-7] + b"damaged")
    return whole


@pytest.mark.parametrize("forgotten", [("encoded", "features", "measured"), ()], ids=["measured again", "only drawn"])
def test_damaged_patches_are_noticed_where_they_are_read_and_generated_again(
    forgotten: tuple[str, ...], generated: list[ResultRecord], home: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    key = next(r.keys["samples"] for r in generated if r.generator == "flat-colour" and "samples" in r.keys)
    shards = json.loads((mine / "samples" / key / "samples.json").read_bytes())["shards"]
    chunk = next(file for file in mine.joinpath(*shards[0], "images", "c").rglob("*") if file.is_file())
    whole = damage(chunk)
    for kind in forgotten:
        shutil.rmtree(mine / kind)
    again = run("--generator", "flat-colour", *FAST, home=mine)
    assert chunk.read_bytes() == whole
    assert [r.value for r in again] == [r.value for r in generated]


def test_a_damaged_number_is_measured_again(generated: list[ResultRecord], home: Path, tmp_path: Path) -> None:
    mine = tmp_path / "home"
    shutil.copytree(home, mine)
    for file in mine.glob("measured/*/estimates.json"):
        damage(file)
    done = bench("run", "--task", "cam16-seg", "--json", "--generator", "flat-colour", *FAST, home=mine)
    assert done.returncode == 0, done.stderr
    assert "is damaged; it is removed and made again" in done.stderr
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [r.value for r in generated]


def test_generated_elsewhere_scores_the_same(home: Path, generated: list[ResultRecord], tmp_path: Path) -> None:
    """Conditions out, somebody's images in: here the images of another run, so that the numbers must agree."""
    out = bench("export", "conditions", "-t", "cam16-seg", *SMALL[:-2], "--out", str(tmp_path / "conditions"), home=home)
    assert out.returncode == 0, out.stderr
    rows = (tmp_path / "conditions" / "conditions.csv").read_text().splitlines()
    assert len(rows) == 1 + 112 + 84
    first = bench("run", "-g", "flat-colour", "-t", "cam16-seg", *FAST, "--out", str(tmp_path / "r"), home=home)
    samples = bench("export", "samples", first.stdout.split()[-1], "--out", str(tmp_path / "samples"), home=home)
    assert samples.returncode == 0, samples.stderr
    elsewhere = run("--generator", f"folder:{tmp_path / 'samples' / 'flat-colour-seed0'}", *FAST, home=home)
    assert {r.prompt_source for r in elsewhere if r.generator == "folder"} == {"slide"}, (
        "its generator may have seen the crops"
    )
    ours = {(r.measure, r.encoder, r.mix): r.value for r in generated if r.generator == "flat-colour"}
    theirs = {(r.measure, r.encoder, r.mix): r.value for r in elsewhere if r.generator == "folder"}
    assert ours == theirs


def test_missing_image_of_the_folder_is_listed(home: Path, tmp_path: Path, generated: list[ResultRecord]) -> None:
    (tmp_path / "samples").mkdir()
    done = bench("run", "-g", f"folder:{tmp_path}", "-t", "cam16-seg", *FAST, home=home)
    assert done.returncode == 3
    assert "test-000" in done.stderr


def test_prompt_sources_differ_and_are_reported(home: Path) -> None:
    found = {}
    for prompt_source in ("self", "slide", "cohort"):
        lines = run(
            "-g", "crop-paste", *FAST, "--no-downstream", "--controls", "none", "--prompt-source", prompt_source, home=home
        )
        assert {r.prompt_source for r in lines} == {prompt_source}
        found[prompt_source] = {r.measure: r.value for r in lines}
    assert found["self"]["fd"] < found["slide"]["fd"] < found["cohort"]["fd"]
    assert all(0.05 < values["prompt-coverage"] < 0.6 for values in found.values())


@pytest.mark.parametrize("task", ["cam16-seg", "panda-seg"])
def test_a_fit_on_the_spot_ends_in_lines(home: Path, task: str) -> None:
    short = ["-o", "stage_steps=2", "-o", "generator.steps=2", "-o", "sample_steps=2", *FAST, "--controls", "none"]
    done = bench("run", "-g", "ldm-prompt", "-t", task, "--json", *short, home=home)
    assert done.returncode == 0, done.stderr
    assert "no weights for this training set yet, training 2 steps of the first stage" in done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert {line["dataset"] for line in lines} == {f"phantom-{task.removesuffix('-seg')}"}
    assert {line["prompt_source"] for line in lines} == {"slide"}
    assert {line["mix"] for line in lines} == {"", "real", "synthetic", "real+synthetic"}
    assert all(line["status"] in ("ok", "skipped") for line in lines)


def test_a_class_that_the_test_patches_lack_is_named_and_the_others_are_scored(tmp_path: Path) -> None:
    """A third class that only slides outside the test split show."""

    def written(folder: Path, without: set[str]) -> Path:
        pictures = {}
        for i in range(16):
            mask = small_folder.halves()
            if f"p{i}" not in without:
                mask[:16] = 2
            pictures[f"p{i}"] = (small_folder.photo(seed=i), mask)
        return small_folder.write(folder, pictures)

    def test_ids(folder: Path) -> set[str]:
        return set(registry.load("datasets", "folder", folder=folder).split("test").conditions.groups.tolist())

    home = tmp_path / "home"
    data = written(tmp_path / "slides", test_ids(written(tmp_path / "all", set())))
    words = ["-g", "blur", "--data", str(data), "--controls", "none", "-e", "stain", "-m", "precision", "--seeds", "0"]
    lines = run(*words, "-o", "task.steps=2", "-o", "classes=normal,tumour,stroma", home=home)
    found = {r.measure: r for r in lines if r.mix == "real"}
    for name in ("iou", "iou-patch"):
        assert found[name].status == "skipped" and found[name].reason.startswith("no patch shows stroma: ")
        values = [found[f"{name}:normal"].value, found[f"{name}:tumour"].value, found[f"{name}-present"].value]
        assert None not in values and values[2] == pytest.approx((values[0] + values[1]) / 2)
    assert found["iou:stroma"].reason == "no patch shows stroma"
    shown = bench("run", "-t", "cam16-seg", *words, "-o", "task.steps=2", "-o", "classes=normal,tumour,stroma", home=home)
    assert "skipped(no patch shows stroma)" in shown.stdout and "iou-present real" in shown.stdout


NOT_FINITE = """
import numpy as np
from bench.types import Card
class Nan:
    card = Card("nan", "1", "A test.")
    def __init__(self, value: str = "nan", way: str = "numpy", only: int = 0) -> None:
        self.value, self.way, self.only = value, way, only
    def generate(self, conditions, seeds):
        images = np.full((len(conditions), conditions.size, conditions.size, 3), 180.0)
        images[self.only:] = float(self.value)
        if self.way == "torch":
            import torch
            return torch.from_numpy(images).clamp(0, 255).to(torch.uint8).numpy()
        return np.clip(images, 0, None if self.value == "inf" else 255).astype(np.uint8)
class NanFeatures:
    card = Card("nan-features", "1", "A test.")
    dim = 4
    def encode(self, images):
        found = images.reshape(len(images), -1)[:, :4].astype(np.float32)
        found[3, 1] = np.nan
        return found
class FewRows(NanFeatures):
    card = Card("few-rows", "1", "A test.")
    def encode(self, images):
        return images.reshape(len(images), -1)[:-1, :4].astype(np.float32)
class OneRow(NanFeatures):
    card = Card("one-row", "1", "A test.")
    def encode(self, images):
        return np.zeros(4, np.float32)
"""
ALONE = ["--no-downstream", "--controls", "none", *SMALL, "--metrics", "kid", "--seeds", "0"]


@pytest.mark.parametrize(
    "options",
    [["value=nan"], ["value=inf"], ["value=nan", "only=40"], ["value=nan", "way=torch"]],
    ids=["nan", "infinite", "some images", "cast by torch"],
)
def test_images_that_were_not_finite_are_errors_and_no_black_images(home: Path, options: list[str]) -> None:
    (home.parent / "nan.py").write_text(NOT_FINITE)
    words = [word for option in options for word in ("-o", f"generator.{option}")]
    generator = f"{home.parent / 'nan.py'}:Nan"
    done = bench("run", "-t", "cam16-seg", "-g", generator, "--json", "-e", "texture", *ALONE, *words, home=home)
    assert done.returncode == 4, done.stderr
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert line["status"] == "error" and line["value"] is None and "NaN" in line["reason"], line


@pytest.mark.parametrize("file", ["first_stage.safetensors", "ldm-semantic.safetensors"])
def test_a_diffusion_model_that_gives_nan_is_an_error_and_the_others_are_measured(tmp_path: Path, file: str) -> None:
    """A fit whose weights were spoilt, of the autoencoder or of the denoiser."""
    import torch
    from safetensors.torch import load_file, save_file

    home, words = tmp_path / "home", ["-g", "ldm-semantic", "-e", "texture", *ALONE, "--controls", "noise"]
    words += [w for o in ("steps=1", "stage_steps=1", "sample_steps=2") for w in ("-o", f"generator.{o}")]
    assert [line.status for line in run(*words, home=home)] == ["ok", "ok"]
    for weights in (home / "weights").glob(f"*/{file}"):
        save_file({name: torch.full_like(values, torch.nan) for name, values in load_file(weights).items()}, weights)
        entry = json.loads(weights.with_name("entry.json").read_text())
        entry["files"][file] = digest_of(weights)
        weights.with_name("entry.json").write_text(json.dumps(entry))
    for kind in ("generated", "samples", "encoded", "features", "measured"):
        shutil.rmtree(home / kind)
    done = bench("run", "-t", "cam16-seg", "--json", *words, home=home)
    assert done.returncode == 4, done.stderr
    spoilt, noise = [json.loads(text) for text in done.stdout.splitlines()]
    assert spoilt["status"] == "error" and "NaN or infinite values" in spoilt["reason"], spoilt
    assert noise["generator"] == "noise" and noise["status"] == "ok"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("NanFeatures", "nan-features returned NaN or infinite features for 1 of 84 images"),
        ("FewRows", "few-rows returned float32 (83, 4) for 84 images"),
        ("OneRow", "one-row returned float32 (4,) for 84 images"),
    ],
)
def test_features_that_are_not_finite_or_too_few_are_errors_and_are_not_kept(
    tmp_path: Path, encoder: str, message: str
) -> None:
    home = tmp_path / "home"
    (home.parent / "nan.py").write_text(NOT_FINITE)
    panel = f"texture,{home.parent / 'nan.py'}:{encoder}"
    done = bench("run", "-t", "cam16-seg", "-g", "blur", "--json", "-e", panel, *ALONE, home=home)
    assert done.returncode == 4, done.stderr
    lines = {line["encoder"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines.pop("texture")["status"] == "ok"
    (line,) = lines.values()
    assert line["status"] == "error" and message in line["reason"] and "bench check" in line["reason"]
    kept = [np.asarray(open_array(Store(home), EntryRef("encoded", f.name), "features")) for f in home.glob("encoded/*")]
    assert kept and all(np.isfinite(values).all() and len(values) == 84 for values in kept)


def test_a_shipped_encoder_with_a_flipped_byte_is_an_error(home: Path, tmp_path: Path) -> None:
    """A copy of the package whose weights of phantom-cnn have one wrong byte."""
    root = Path(registry.__file__).parents[1]
    for package in ("bench", "generators", "metrics", "tasks", "leaderboards"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "measured"))
    weights = tmp_path / "metrics" / "encoders" / "builtin" / "weights" / "phantom-cnn" / "weights.safetensors"
    whole = weights.read_bytes()
    words = ["-t", "cam16-seg", "-g", "blur", "--json", "-e", "texture,phantom-cnn", *ALONE]
    found = []
    for spoilt in (whole, whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
        weights.write_bytes(spoilt)
        done = bench("run", *words, home=home, cwd=tmp_path, PYTHONPATH=str(tmp_path))
        found.append((done.returncode, {line["encoder"]: line for line in map(json.loads, done.stdout.splitlines())}))
    (sound, before), (broken, after) = found
    assert sound == 0 and before["phantom-cnn"]["status"] == after["texture"]["status"] == "ok"
    assert broken == 4 and after["phantom-cnn"]["status"] == "error"
    assert str(weights) in after["phantom-cnn"]["reason"] and "Install histobench again" in after["phantom-cnn"]["reason"]

"""Whole runs through the command line, on a small phantom: records, cache, exit codes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import registry
from bench.results import schema
from bench.results.schema import ResultRecord
from tests.command_run import FAST, SMALL, bench, run
from tests.tasks import small_folder


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


def test_records_have_their_provenance(generated: list[ResultRecord]) -> None:
    for line in generated:
        assert line.dataset == "phantom-cam16" and line.task == "cam16-seg"
        assert "embedded" in line.flags
        assert line.n == 84 and line.groups == 6
        assert line.protocol and line.direction in ("lower", "higher")
        if line.status == "skipped":  # half of the slides have fewer rows than the encoder has columns
            assert line.measure in ("fd-lower-reference", "fd-normalised") and line.reason.startswith(
                "underpowered: 42 rows in a half of the test slides; fd needs 55"
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


def test_table_picture_and_records_are_written(generated: list[ResultRecord], home: Path, tmp_path: Path) -> None:
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
    words = ["--generator", "flat-colour", *FAST, "--no-downstream", "--encoders", "texture,timm:resnet10t"]
    lines = run(*words, "-o", "weights=absent.safetensors", home=home)
    timm = [r for r in lines if r.encoder.startswith("timm")]
    assert len(timm) == 27 and {r.status for r in timm} == {"skipped"}
    assert all(r.reason.startswith("missing: ") and "absent.safetensors" in r.reason for r in timm)
    assert all(r.status == "ok" for r in lines if r.encoder == "texture" and not r.measure.startswith("fd-"))
    assert bench("run", "-t", "cam16-seg", *words, "-o", "weights=absent.safetensors", home=home).returncode == 0
    assert bench("run", "-t", "cam16-seg", *words, "-o", "weights=absent.safetensors", "--strict", home=home).returncode == 3


def test_a_distance_has_a_lower_reference_and_is_given_in_units_of_it(tmp_path: Path) -> None:
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
    assert value["shuffle", "fd-normalised"] == pytest.approx(0, abs=0.01)
    assert abs(value["real", "fd-normalised"]) < 1.5 < value["flat-colour", "fd-normalised"]
    for generator in ("flat-colour", "noise"):  # far away the scale is that of logarithms
        ratio = value[generator, "fd"] / value[generator, "fd-lower-reference"]
        assert value[generator, "fd-normalised"] == pytest.approx(math.log2(ratio), abs=0.3)
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
    words = ["--generator", "blur", *FAST, "--encoders", "uni", "--no-downstream", "--controls", "none"]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN": ""}
    lines = run(*words, home=home, **quiet)
    assert {r.status for r in lines} == {"skipped"} and all(r.reason.startswith("gated: ") for r in lines)
    shown = bench("run", "-t", "cam16-seg", *words, home=home, **quiet)
    assert shown.returncode == 0 and "skipped(gated)" in shown.stdout
    assert bench("run", "-t", "cam16-seg", *words, "--strict", home=home, **quiet).returncode == 3


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


@pytest.mark.parametrize("task", ["cam16-seg", pytest.param("panda-seg", marks=pytest.mark.slow)])
def test_a_generator_without_weights_is_trained_and_measured(home: Path, task: str) -> None:
    short = ["-o", "stage_steps=2", "-o", "generator.steps=2", "-o", "sample_steps=2", *FAST, "--controls", "none"]
    done = bench("run", "-g", "ldm-prompt", "-t", task, "--json", *short, home=home)
    assert done.returncode == 0, done.stderr
    assert "no weights for this training set yet; training 2 steps of the first stage" in done.stderr
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
    words = ["-g", "blur", "-t", "region-seg", "--data", str(data), "--controls", "none", "-e", "stain", "-m", "precision"]
    lines = run(*words, "--seeds", "0", "-o", "task.steps=2", "-o", "classes=normal,tumour,stroma", home=home)
    found = {r.measure: r for r in lines if r.mix == "real"}
    for name in ("iou", "iou-patch"):
        assert found[name].status == "skipped" and found[name].reason.startswith("no patch shows stroma: ")
        values = [found[f"{name}:normal"].value, found[f"{name}:tumour"].value, found[f"{name}-present"].value]
        assert None not in values and values[2] == pytest.approx((values[0] + values[1]) / 2)
    assert found["iou:stroma"].reason == "no patch shows stroma"
    shown = bench("run", "-t", "cam16-seg", *words, "-o", "task.steps=2", "-o", "classes=normal,tumour,stroma", home=home)
    assert "skipped(no patch shows stroma)" in shown.stdout and "iou-present real" in shown.stdout

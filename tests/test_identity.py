"""Two things of one name are told apart: networks of a library, classes and files of plug-ins, what they import, options."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from leaderboards.tables import reading
from tests.small_run import SMALL, bench, run

GREY = """
import numpy as np
from bench.types import Card

class {name}:
    card = Card("flat", "1", "One grey.")

    def generate(self, conditions, seeds):
        return np.full((len(conditions), conditions.size, conditions.size, 3), {grey}, np.uint8)
"""
WORDS = ["-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd", "--controls", "none", "--seeds", "0", *SMALL]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity") / "home"


def records(folder: Path) -> list[ResultRecord]:
    return list(schema.read([folder / "results.jsonl"]))


def fd(name: str, home: Path, out: Path) -> float:
    (found,) = [line.value for line in records(run("-g", name, *WORDS, home=home, out=out)) if line.measure == "fd"]
    assert found is not None
    return found


def test_two_classes_of_one_file_and_card_have_images_of_their_own(home: Path, tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(GREY.format(name="Dark", grey=20) + GREY.format(name="Light", grey=220))
    dark, light = (fd(f"{tmp_path}/both.py:{name}", home, tmp_path / "out") for name in ("Dark", "Light"))
    assert dark != light
    shown = bench("leaderboard", "--results", tmp_path / "out", home=home).stdout
    assert "flat (class=Dark)" in shown and "flat (class=Light)" in shown


def test_two_files_of_one_name_have_images_of_their_own(home: Path, tmp_path: Path) -> None:
    for folder, grey in (("one", 20), ("other", 220)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GREY.format(name="Mine", grey=grey))
    first, second = (registry.load("generators", f"{tmp_path}/{folder}/mine.py:Mine") for folder in ("one", "other"))
    assert type(first).__module__ != type(second).__module__
    assert registry.describe(first) != registry.describe(second)
    assert fd(f"{tmp_path}/one/mine.py:Mine", home, tmp_path / "out") != fd(f"{tmp_path}/other/mine.py:Mine", home, tmp_path)


def test_the_same_file_elsewhere_is_the_same_plugin(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GREY.format(name="Mine", grey=7))
    here, there = (registry.load("generators", f"{tmp_path}/{folder}/mine.py:Mine") for folder in ("here", "there"))
    assert registry.describe(here) == registry.describe(there)


def test_an_edit_of_one_character_within_a_second_is_seen(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    found = []
    for grey in (100, 200, 100):
        file.write_text(GREY.format(name="Edited", grey=grey))
        found.append(fd(f"{file}:Edited", home, tmp_path / "out"))
    assert found[0] != found[1] and found[0] == found[2]


def test_an_edit_in_an_imported_module_is_seen(home: Path, tmp_path: Path) -> None:
    """`shades_x` is imported in a function, and imports what decides the grey from a package beside it."""
    (tmp_path / "lazy.py").write_text(
        GREY.format(name="Lazy", grey="shade()").replace(
            "        return", "        from shades_x import shade\n        return"
        )
    )
    (tmp_path / "shades_x.py").write_text("from tones_x.deep import tone\n\n\ndef shade():\n    return tone\n")
    (tmp_path / "tones_x").mkdir()
    found = []
    for tone in (100, 200, 100):
        (tmp_path / "tones_x" / "deep.py").write_text(f"tone = {tone}\n")
        found.append(fd(f"{tmp_path}/lazy.py:Lazy", home, tmp_path / "out"))
    assert found[0] != found[1] and found[0] == found[2]


def test_an_edit_beside_it_that_is_not_imported_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(GREY.format(name="Alone", grey=3))
    before = registry.describe(registry.load("generators", f"{tmp_path}/alone.py:Alone"))
    (tmp_path / "numpy_notes.py").write_text("nothing = 1\n")
    assert registry.describe(registry.load("generators", f"{tmp_path}/alone.py:Alone")) == before


def test_a_name_that_two_folders_have_is_refused_not_mixed_up(tmp_path: Path) -> None:
    for folder, grey in (("first", 20), ("second", 220)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shade_y.py").write_text(f"GREY = {grey}\n")
        (tmp_path / folder / "mine.py").write_text("from shade_y import GREY\n" + GREY.format(name="Mine", grey="GREY"))
    registry.load("generators", f"{tmp_path}/first/mine.py:Mine")
    with pytest.raises(UsageError, match="imports shade_y"):
        registry.load("generators", f"{tmp_path}/second/mine.py:Mine")


def test_weights_of_a_plugin_with_a_training_config_are_those_of_its_present_code(home: Path, tmp_path: Path) -> None:
    source = GREY.format(name="Fits", grey="self.grey") + (
        "\n    grey = 0\n"
        "    def training_config(self):\n        return {{'name': 'flat'}}\n"
        "    def fit(self, train, seed, progress, work):\n        self.grey = {grey}\n"
        "    def save(self, folder):\n        (folder / 'grey.txt').write_text(str(self.grey))\n"
        "    def load(self, folder):\n        self.grey = int((folder / 'grey.txt').read_text())\n"
    )
    file = tmp_path / "fits.py"
    found = []
    for grey in (100, 200):
        file.write_text(source.format(grey=grey))
        found.append(fd(f"{file}:Fits", home, tmp_path / "out"))
    assert found[0] != found[1]


@pytest.mark.parametrize("kind", ["generators", "encoders", "metrics"])
def test_two_plugins_that_records_would_call_the_same_are_refused(kind: str, home: Path, tmp_path: Path) -> None:
    mine = "from bench.types import Card\n\nclass {name}:\n    card = Card('mine', '1', 'x')\n    "
    body = {"generators": GREY, "encoders": mine + "dim = 2\n", "metrics": mine + "direction = 'lower'\n"}[kind]
    (tmp_path / "two.py").write_text(body.format(name="A", grey=1) + body.format(name="B", grey=2))
    one, other = (f"{tmp_path}/two.py:{name}" for name in "AB")
    words = {
        "generators": ["-g", one, "--controls", other],
        "encoders": ["-g", "flat-colour", "-e", f"{one},{other}"],
        "metrics": ["-g", "flat-colour", "-m", f"{one},{other}"],
    }[kind]
    done = bench("run", "-t", "cam16-seg", *words, "--no-downstream", *SMALL, home=home)
    assert done.exit_code == 2 and "would both be called" in done.stderr


@pytest.fixture(scope="module")
def networks(home: Path) -> Path:
    """A run with two networks of timm, of random weights, whose files fit one of them each."""
    from bench.runtime import torchvision_shim

    torchvision_shim.ready()
    import timm
    import torch
    from safetensors.torch import save_file

    folder = home.parent
    torch.manual_seed(0)
    weights = timm.create_model("test_resnet", pretrained=False).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "test_resnet.safetensors")
    words = [
        "-g",
        "flat-colour",
        "-e",
        "timm:test_resnet,timm:test_vit",
        "-o",
        f"encoder.weights={folder}/test_resnet.safetensors",
    ]
    done = bench(
        "run",
        "-t",
        "cam16-seg",
        *words,
        "--no-downstream",
        "-m",
        "kid",
        "--seeds",
        "0",
        *SMALL,
        "--out",
        folder / "two",
        home=home,
    )
    assert done.exit_code in (0, 4), done.stderr
    return Path(done.stdout.splitlines()[-1])


def test_networks_of_one_library_have_columns_of_their_own(networks: Path, home: Path) -> None:
    found = {line.encoder: line for line in records(networks) if line.measure == "kid" and line.generator == "flat-colour"}
    assert set(found) == {"timm:test_resnet", "timm:test_vit"}
    assert found["timm:test_resnet"].value is not None
    assert found["timm:test_vit"].reason.startswith(("damaged", "DamagedError"))
    assert found["timm:test_resnet"].protocol != found["timm:test_vit"].protocol
    table = (networks / "table.txt").read_text()
    assert "kid timm:test_resnet" in table and "timm:test_vit" in table
    board = bench("leaderboard", "--results", networks, home=home).stdout
    assert "kid timm:test_resnet" in board and "timm:test_vit" in board


@pytest.mark.parametrize("worse", ["timm:test_resnet", "timm:test_vit"])
def test_the_gate_tests_each_network(worse: str, networks: Path, home: Path, tmp_path: Path) -> None:
    known = [line for line in records(networks) if line.value is not None and line.encoder]
    both = [*known, *(replace(line, encoder="timm:test_vit", protocol=f"of-{line.protocol}") for line in known)]
    assert gated(both, both, home, tmp_path) == 0
    assert gated(both, [_shifted(line) if line.encoder == worse else line for line in both], home, tmp_path) == 5
    assert gated(both, [line for line in both if line.encoder != worse], home, tmp_path) == 4


def gated(baseline: list[ResultRecord], candidate: list[ResultRecord], home: Path, place: Path) -> int:
    """The gate's exit code, with a policy with margins for every measure, and one seed."""
    (place / "policy.toml").write_text('seeds = 1\n[[margin]]\nmeasures = "*"\nabsolute = 0.1\n')
    for name, held in (("base", baseline), ("new", candidate)):
        schema.write(held, place / f"{name}.jsonl")
    words = ["--baseline", place / "base.jsonl", "--candidate", place / "new.jsonl", "--policy", place / "policy.toml"]
    return bench("gate", *words, home=home).exit_code


def _shifted(record: ResultRecord) -> ResultRecord:
    if record.value is None:
        return record
    high = None if record.high is None else record.high + 9
    replicates = tuple(replicate + 9 for replicate in record.replicates)
    return replace(record, value=record.value + 9, high=high, replicates=replicates)


def test_records_of_before_are_read_with_the_network(networks: Path, tmp_path: Path) -> None:
    text = (networks / "results.jsonl").read_text()
    (tmp_path / "old.jsonl").write_text(text.replace('"encoder": "timm:test_resnet"', '"encoder": "timm"'))
    assert {line.encoder for line in reading.read_records([tmp_path / "old.jsonl"])} == {"timm:test_resnet", "timm:test_vit"}


def test_a_number_of_two_protocols_is_measured_in_both(networks: Path, home: Path, tmp_path: Path) -> None:
    kept = [line for line in records(networks) if line.value is not None and line.encoder]
    other = [replace(line, protocol=f"other{line.protocol}") for line in kept]
    both = [*kept, *other]
    assert gated(both, both, home, tmp_path) == 0
    assert gated(both, [*kept, *map(_shifted, other)], home, tmp_path) == 5
    assert gated(both, [*map(_shifted, kept), *other], home, tmp_path) == 5
    assert gated(both, kept, home, tmp_path) == 4


def test_a_conflict_is_with_the_network_and_not_with_its_library(home: Path, tmp_path: Path) -> None:
    source = GREY.format(name="Shaped", grey=9).replace('"One grey."', '"One grey.", conditioned_by=("timm:test_resnet",)')
    (tmp_path / "shaped.py").write_text(source)
    words = ["-g", f"{tmp_path}/shaped.py:Shaped", "-t", "cam16-seg", "-e", "timm:test_resnet,timm:test_vit", "-m", "kid"]
    weights = f"encoder.weights={home.parent}/absent.safetensors"
    more = ["--controls", "none", "--seeds", "0", "--no-downstream", "-o", weights, *SMALL]
    folder = run(*words, *more, home=home, out=tmp_path / "out")
    flags = {line.encoder: line.flags for line in records(folder) if line.encoder}
    assert "encoder-conflict" in flags["timm:test_resnet"] and "encoder-conflict" not in flags["timm:test_vit"]


def test_one_metric_with_two_arguments_has_two_rows(home: Path, tmp_path: Path) -> None:
    words = ["-g", "flat-colour", *WORDS[: -len(SMALL)], "-m", "precision:2,precision:4,precision", *SMALL]
    folder = run(*words, home=home, out=tmp_path)
    found = {line.measure for line in records(folder) if line.encoder}
    assert found == {"precision(k=2)", "precision(k=4)", "precision"}
    assert "precision(k=2) stain" in bench("leaderboard", "--results", folder, home=home).stdout


def test_folders_have_no_place_of_this_machine_in_their_names(home: Path, tmp_path: Path) -> None:
    generated = run("-g", "flat-colour", *WORDS, home=home, out=tmp_path)
    bench("export", "samples", generated, "--out", tmp_path / "images", home=home)
    (folder,) = (tmp_path / "images").iterdir()
    lines = records(run("-g", f"folder:{folder}", *WORDS, home=home, out=tmp_path / "again"))
    assert {line.generator for line in lines} == {"folder"}


def test_two_folders_whose_long_paths_begin_alike_stay_two_rows(home: Path, tmp_path: Path) -> None:
    generated = run("-g", "flat-colour", *WORDS, home=home, out=tmp_path)
    bench("export", "samples", generated, "--out", tmp_path / "images", home=home)
    (made,) = (tmp_path / "images").iterdir()
    for name in ("one", "other"):
        (tmp_path / name).symlink_to(made)
        run("-g", f"folder:{tmp_path / name}", *WORDS, home=home, out=tmp_path / "again")
    shown = bench("leaderboard", "--results", tmp_path / "again", home=home).stdout
    assert f"{tmp_path}/one)" in shown and f"{tmp_path}/other)" in shown


PACKAGE = """
import json, sys
from bench import registry
print(json.dumps(registry.describe(registry.load("generators", "flat"))))
"""


def test_an_installed_plugin_goes_by_its_distribution_and_an_editable_one_by_its_files(tmp_path: Path) -> None:
    def described(place: Path) -> str:
        environment = {**os.environ, "PYTHONPATH": str(place)}
        done = subprocess.run([sys.executable, "-c", PACKAGE], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(place: Path, grey: int, version: str) -> None:
        info = place / "flatland-1.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: flatland\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[bench.generators]\nflat = flatland.make:Flat\n")
        (place / "flatland").mkdir(exist_ok=True)
        (place / "flatland" / "__init__.py").write_text("")
        (place / "flatland" / "make.py").write_text("from .tone import GREY\n" + GREY.format(name="Flat", grey="GREY"))
        (place / "flatland" / "tone.py").write_text(f"GREY = {grey}\n")

    wheel, checkout = tmp_path / "site-packages", tmp_path / "checkout"
    found = {}
    for place in (wheel, checkout):
        for grey, version in ((1, "1.0"), (2, "1.0"), (2, "1.1")):
            install(place, grey, version)
            found[place, grey, version] = described(place)
    assert '"flatland 1.0"' in found[wheel, 1, "1.0"] and '"flatland.make:Flat"' in found[wheel, 1, "1.0"]
    assert "source" not in found[wheel, 1, "1.0"] and '"source"' in found[checkout, 1, "1.0"]
    assert found[wheel, 1, "1.0"] == found[wheel, 2, "1.0"] != found[wheel, 2, "1.1"]
    assert found[checkout, 1, "1.0"] != found[checkout, 2, "1.0"] != found[checkout, 2, "1.1"]


def test_descriptions_of_ours_are_what_they_were() -> None:
    """Weights that ship, and protocols of committed baselines, hang on them."""
    found = registry.describe(registry.load("generators", "noise"))
    assert set(found) <= {"name", "version", "options", "digest"}
    assert set(registry.describe(registry.load("encoders", "stain"))) <= {"name", "version", "options", "digest"}

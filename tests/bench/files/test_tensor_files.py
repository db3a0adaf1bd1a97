"""Weights from files: what is none is refused in a sentence of ours, by whatever option it comes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as any_
from safetensors.torch import save_file

from bench.errors import BenchError, DamagedError, MissingError
from bench.files.tensor_files import read_tensors
from generators.diffusion import weight_files
from generators.nasdm import published
from metrics.encoders.panel import ROWS
from metrics.encoders.pretrained import encoder
from tests.hostile import CASES, FUZZ, NOT_FILES, damage, put, within
from tests.small_run import WORDS, bench

STATE = {"a.weight": torch.arange(20.0).reshape(4, 5), "b": torch.ones(3), "n": torch.tensor(3)}


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def archive(path: Path, compression: int) -> None:
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as old:
        held = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in held.items():
            new.writestr(name, content)


def spoil(kind: str, path: Path) -> Path:
    """Writes a file that is none of plain tensors."""
    legacy = {"_use_new_zipfile_serialization": False}
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "web page":
        path.write_text("<!doctype html><title>Sign in</title>")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    elif kind == "cut":
        torch.save(STATE, path)
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "cut legacy":
        torch.save(STATE, path, **legacy)
        path.write_bytes(path.read_bytes()[:-20])
    elif kind == "magic alone":
        torch.save(STATE, path, **legacy)
        path.write_bytes(path.read_bytes()[:30])
    elif kind == "compressed":
        archive(path, zipfile.ZIP_DEFLATED)
    elif kind == "pickle":
        torch.save({"a": Trap(path.with_name("sprung"))}, path)
    elif kind == "list":
        torch.save([STATE], path)
    elif kind == "tensor":
        torch.save(torch.ones(3), path)
    elif kind == "numbers for names":
        torch.save({0: torch.ones(3)}, path)
    elif kind == "no tensor":
        torch.save({"epoch": 3}, path)
    elif kind == "nested":
        held: object = torch.ones(3)
        for _ in range(200):
            held = {"a": held}
        torch.save(held, path)
    elif kind == "quantised":
        torch.save({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, path)
    elif kind == "sparse":
        torch.save({"a": torch.eye(3).to_sparse()}, path)
    elif kind == "complex":
        torch.save({"a": torch.ones(3, dtype=torch.complex64)}, path)
    elif kind == "expanded":
        torch.save({"a": torch.ones(1).expand(10**10)}, path)
    elif kind == "huge header":
        path.write_bytes((2**62).to_bytes(8, "little") + b'{"a": 1}')
    elif kind == "huge shape":
        header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return path


KINDS = (
    *("empty", "text", "web page", "pointer", "cut", "cut legacy", "magic alone", "compressed", "pickle", "list", "tensor"),
    *("numbers for names", "no tensor", "nested", "quantised", "sparse", "complex", "expanded", "huge header", "huge shape"),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_tensors_is_refused(kind: str, suffix: str, tmp_path: Path) -> None:
    file = spoil(kind, tmp_path / f"w{suffix}")
    for only_shapes in (False, True):
        for wrappers in ((), ("state_dict",)):
            with within(10), pytest.raises(DamagedError, match=rf"w\{suffix}") as text:
                read_tensors(file, wrappers, only_shapes)
            assert "weights_only" not in str(text.value) and "\n" not in str(text.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", [file.name for file in CASES.glob("*.*") if file.suffix in (".pt", ".pth", ".safetensors")])
def test_the_cases_are_refused_by_checkpoint_encoder_and_doctor(name: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=name) as text:
        published.describe_fit(CASES / name)
    assert text.value.exit_code in (2, 3) and "weights_only" not in str(text.value)
    row = next(row for row in ROWS if row.name == "lunit-vits8")
    with pytest.raises(DamagedError, match=name):
        encoder(row)(CASES / name).ready()


def test_files_of_tensors_are_read_alike(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pt")
    torch.save(STATE, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "c.bin")
    save_file(STATE, tmp_path / "d.safetensors")
    save_file(STATE, tmp_path / "e.bin")
    for name in ("a.pt", "b.pth", "c.bin", "d.safetensors", "e.bin"):
        found, shapes = (read_tensors(tmp_path / name, ("state_dict",), only) for only in (False, True))
        assert set(found) == set(shapes) == set(STATE)
        for key, value in STATE.items():
            assert torch.equal(found[key], value) and shapes[key].shape == value.shape and shapes[key].is_meta
            assert shapes[key].is_floating_point() == value.is_floating_point()
    with pytest.raises(DamagedError, match=r"c\.bin is no plain state dict of tensors"):
        read_tensors(tmp_path / "c.bin")


@pytest.mark.parametrize("kind", [*NOT_FILES, "absent"])
def test_what_is_no_file_is_named(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "uni.safetensors"
    if kind != "absent":
        put(kind, file)
    for ask in (
        lambda: read_tensors(file),
        lambda: published.read(file),
        lambda: weight_files.load_network(torch.nn.Linear(2, 2), file),
        lambda: encoder(next(row for row in ROWS if row.name == "uni"))(file if kind != "folder" else tmp_path).ready(),
    ):
        with within(10), pytest.raises(MissingError, match="uni"):
            ask()


def test_commands_say_what_is_wrong_with_weights(tmp_path: Path) -> None:
    spoil("pickle", tmp_path / "uni.bin")
    spoil("expanded", tmp_path / "lunit-vits8.pth")
    put("folder", tmp_path / "phikon.safetensors")
    done = bench("doctor", "--encoders", "--weights", tmp_path, "--json", home=tmp_path)
    found = {held["encoder"]: held for held in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 1 and {found[name]["state"] for name in ("uni", "lunit-vits8", "phikon")} == {"damaged"}
    assert "weights_only" not in done.stdout
    words = ("run", "-g", "nasdm", "-o", f"checkpoint={tmp_path / 'uni.bin'}", *WORDS, "--controls", "none", "--seeds", "0")
    done = bench(*words, "--out", tmp_path / "out", "--strict", "--json", home=tmp_path / "home")
    assert done.exit_code == 3 and "uni.bin is damaged or holds more than tensors" in done.stderr, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    reasons = [record["reason"] for record in records if record["measure"] == "fd"]
    assert reasons and all(reason.startswith("damaged: ") for reason in reasons)
    assert "weights_only" not in done.output
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_a_network_that_is_not_in_it_is_refused(tmp_path: Path) -> None:
    """Its few tensors claim a network of hundreds of gigabytes."""
    wide = 100_000
    state = {
        "time_embed.0.weight": torch.zeros(4, wide),
        "input_blocks.0.0.weight": torch.zeros(1, 3, 3, 3),
        "input_blocks.1.0.out_layers.3.weight": torch.zeros(wide, 1),
        "out.2.weight": torch.zeros(6, 1),
        "input_blocks.1.0.in_norm.mlp_shared.0.weight": torch.zeros(1, 8, 3, 3),
    }
    torch.save(state, tmp_path / "w.pt")
    with within(20), pytest.raises(BenchError, match=r"w\.pt"):
        published.describe_fit(tmp_path / "w.pt")


def test_whole_numbers_in_the_place_of_weights_are_damage(tmp_path: Path) -> None:
    from metrics.encoders.loaders.checkpoints import differences

    assert "not of floating point" in differences({"a": torch.ones(3)}, {"a": torch.ones(3, dtype=torch.int8)})[0]
    torch.save({"a": torch.ones(3, dtype=torch.int64)}, tmp_path / "w.pt")
    with pytest.raises(DamagedError, match=r"w\.pt holds whole numbers in a"):
        published.read(tmp_path / "w.pt")


@FUZZ
@given(
    form=any_.sampled_from(["zip", "legacy", "safetensors"]),
    places=any_.lists(any_.tuples(any_.integers(0, 3000), any_.integers(0, 255)), max_size=6),
    cut=any_.none() | any_.integers(0, 3000),
)
def test_no_damage_is_more_than_a_refusal(
    form: str, places: list[tuple[int, int]], cut: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(STATE, file)
    else:
        torch.save(STATE, file, _use_new_zipfile_serialization=form == "zip")
    file.write_bytes(damage(file.read_bytes(), places, cut))
    for only_shapes in (False, True):
        try:
            with within(10):
                assert all(np.prod(value.shape) < 10**7 for value in read_tensors(file, (), only_shapes).values())
        except BenchError as error:
            assert file.name in str(error) and "weights_only" not in str(error)

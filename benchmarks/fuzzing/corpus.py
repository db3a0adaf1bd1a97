"""Valid small files of every kind that is read from outside, made by the commands and libraries that usually make them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.provenance.digests import digest_of
from benchmarks.fuzzing.data_corpus import photo, write_gdc, write_imports, write_prepared, write_slides

PUBLISHED = Path(__file__).parents[2] / "leaderboards"
EXPERIMENTS = Path(__file__).parents[2] / "tasks" / "experiments" / "lizard-nuclei"
SIZE = 32
SMALL = ("train_slides=6", "validation_slides=2", "test_slides=6", "per_slide=4", f"size={SIZE}")
RUN = ["-t", "cam16-seg", "--no-downstream", "--controls", "none", "-e", "stain", "-m", "fd,precision", "--workers", "1"]
RUN += [word for option in SMALL for word in ("-o", f"dataset.{option}")]
"""Options of a run of well below a second."""
SUITE = f"""name = "mini"
summary = "two controls"
source = "none"

[preset.tiny]
seeds = [0, 1]
note = "a test"
options = {{ {", ".join(f'"dataset.{name}" = "{value}"' for name, _, value in (o.partition("=") for o in SMALL))} }}

[[cells]]
generators = ["flat-colour", "shuffle"]
tasks = ["cam16-seg"]
encoders = ["stain"]
metrics = ["fd"]
controls = []

[[table]]
title = "Distances"
rows = [{{ label = "one colour", generator = "flat-colour" }}, {{ label = "shuffled", generator = "shuffle" }}]
columns = [{{ label = "FD", measure = "fd", encoder = "stain", task = "cam16-seg" }}]
"""


def command(*words: object) -> None:
    """The program `bench`, as its entry point runs it; SystemExit with its code, and what no one caught."""
    from bench.cli import main

    sys.argv = ["bench", *map(str, words)]
    main()


def make(folder: Path, bases: Container[str]) -> None:
    """Fills `folder/BASE` for each of the bases. Starts threads: for a process of its own."""
    for name, write in BASES.items():
        if name in bases:
            (folder / name).mkdir(parents=True)
            write(folder / name)


def _succeed(*words: object) -> None:
    try:
        command(*words)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"bench {' '.join(map(str, words))} ended with exit code {end.code}") from end


def _run(folder: Path) -> None:
    """A run and its store, its patches as files, and a report."""
    import os

    os.environ["BENCH_HOME"] = str(folder / "home")
    _succeed("run", "-g", "flat-colour", *RUN, "--out", folder / "made")
    (made,) = (folder / "made").iterdir()
    made.rename(folder / "run")
    (folder / "made").rmdir()
    _succeed("export", "samples", folder / "run", "--out", folder / "samples")
    _succeed("report", folder / "run", "--out", folder / "report", "--patches", "1", "--encoder", "stain")
    in_use = folder / "home" / ".in-use"
    in_use.mkdir(exist_ok=True)
    (in_use / "elsewhere.12").write_text("data/0\n", encoding="utf-8")


def _records(folder: Path) -> None:
    """Records of two generators, of an experiment, and reported ones."""
    import os

    os.environ["BENCH_HOME"] = str(folder / "home")
    for name, generator in (("a", "flat-colour"), ("b", "shuffle")):
        _succeed("run", "-g", generator, *RUN, "--out", folder / name)
        (made,) = (folder / name).iterdir()
        shutil.copyfile(made / "results.jsonl", folder / f"{name}.jsonl")
        shutil.rmtree(folder / name)
    shutil.rmtree(folder / "home")
    lines = (PUBLISHED / "published" / "nasdm.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "c.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    shutil.copyfile(folder / "a.jsonl", folder / "baseline.jsonl")
    _succeed("gate", "accept", "--baseline", folder / "new.jsonl", "--candidate", folder / "a.jsonl", "--reason", "first")
    shutil.move(folder / "new.log", folder / "baseline.log")
    (folder / "new.jsonl").unlink()


def _settings(folder: Path) -> None:
    """Settings in TOML beside records that they are about."""
    import os

    os.environ["BENCH_HOME"] = str(folder / "home")
    (folder / "mini.toml").write_text(SUITE, encoding="utf-8")
    _succeed("suite", folder / "mini.toml", "--workers", "1", "--out", folder / "results")
    shutil.rmtree(folder / "home")
    shutil.copyfile(PUBLISHED / "policies" / "default.toml", folder / "policy.toml")
    shutil.copyfile(EXPERIMENTS / "annotation.toml", folder / "experiment.toml")
    (made,) = (PUBLISHED / "measured" / "suites" / "phantom" / "nasdm-annotation").glob("*/results.jsonl")
    shutil.copyfile(made, folder / "experiment.jsonl")
    for name, file in zip("ab", sorted((folder / "results").glob("*/*/results.jsonl")), strict=True):
        shutil.copyfile(file, folder / f"{name}.jsonl")


def _nuclei(height: int, width: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.uint8]]:
    """Image, instances and types: bars of 8 x 4 px."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (230, 180, 220), np.uint8)
    instances, types = np.zeros((height, width), np.int32), np.zeros((height, width), np.uint8)
    for number, (y, x) in enumerate(((y, x) for y in range(0, height - 8, 16) for x in range(0, width - 4, 16)), start=5):
        place = np.s_[y : y + 8, x : x + 4]
        image[place], instances[place] = rng.integers(0, 200, 3), number
        types[place] = 1 + int(rng.integers(6))
    return image, instances, types


def _image_folder(folder: Path) -> None:
    from PIL import Image

    for part in ("images", "region"):
        (folder / "data" / part).mkdir(parents=True)
    for i, suffix in enumerate(("png", "jpg", "tif", "webp", "png", "tiff")):
        mask = np.zeros((40, 64), np.uint8)
        mask[:, 20 + i : 50] = 1
        mask[0, :3] = 255
        more: dict[str, Any] = {"compression": "tiff_lzw"} if suffix == "tiff" else {}
        Image.fromarray(photo(40, 64, i)).save(folder / f"data/images/p{i}.{suffix}", **more)
        Image.fromarray(mask).save(folder / f"data/region/p{i}.png")
    rows = "".join(f"p{i},s{i},0.5,{'train' if i < 3 else 'validation' if i == 3 else 'test'}\n" for i in range(6))
    (folder / "data/index.csv").write_text(f"id,source,mpp,split\n{rows}", encoding="utf-8")


def _lizard(folder: Path) -> None:
    from PIL import Image
    from scipy.io import savemat

    images, home = folder / "data/Lizard_Images1", folder / "data/Lizard_Labels"
    for place in (images, folder / "data/Lizard_Images2", home / "Labels"):
        place.mkdir(parents=True)
    names = [f"crag_{i}" for i in range(5)]
    for i, name in enumerate(names):
        image, instances, types = _nuclei(64, 64, i)
        ids = np.unique(instances)[1:]
        places = [np.argwhere(instances == number) for number in ids]
        boxes = [(p[:, 0].min(), p[:, 0].max() + 1, p[:, 1].min(), p[:, 1].max() + 1) for p in places]
        classes = np.array([types[tuple(p[0])] for p in places], np.uint8)
        table = {"inst_map": instances, "id": ids[:, None], "class": classes[:, None], "bbox": np.array(boxes, np.int32)}
        Image.fromarray(image).save(images / f"{name}.png")
        savemat(home / f"Labels/{name}.mat", table, do_compression=i % 2 == 0)
    rows = "".join(f"{name},crag,{i % 3 + 1}\n" for i, name in enumerate(names))
    (home / "info.csv").write_text(f"Filename,Source,Split\n{rows}", encoding="utf-8")


def _conic(folder: Path) -> None:
    (folder / "data").mkdir()
    made = [_nuclei(64, 64, i) for i in range(10)]
    np.save(folder / "data/images.npy", np.stack([image for image, _, _ in made]))
    maps = [np.stack([instances, types], axis=-1) for _, instances, types in made]
    np.save(folder / "data/labels.npy", np.stack(maps).astype(np.uint16))
    names = "".join(f"consep_{i // 2}-{i:04d}\n" for i in range(10))
    (folder / "data/patch_info.csv").write_text(f"patch_info\n{names}", encoding="utf-8")


def _nuclei_folder(folder: Path) -> None:
    from PIL import Image

    for part in ("images", "inst", "type"):
        (folder / "data" / part).mkdir(parents=True)
    for i in range(6):
        image, instances, types = _nuclei(64, 64, i)
        Image.fromarray(image).save(folder / f"data/images/p{i}.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / f"data/inst/p{i}.png")
        Image.fromarray(types).save(folder / f"data/type/p{i}.png")
    (folder / "data/index.csv").write_text(
        "id,case,mpp,site\n" + "".join(f"p{i},c{i},0.5,L{i % 3}\n" for i in range(6)), encoding="utf-8"
    )
    listed = "".join(f"p{i},{x},0,32\n" for i in range(6) for x in (0, 32))
    (folder / "data/patches32.csv").write_text(f"source,x,y,size\n{listed}", encoding="utf-8")


def _samples(folder: Path) -> None:
    from PIL import Image

    for name in ("samples", "listed/made"):
        (folder / name).mkdir(parents=True)
    for i in range(4):
        Image.fromarray(photo(SIZE, SIZE, i)).save(folder / f"samples/a__{i}.png")
        Image.fromarray(photo(SIZE, SIZE, i)).save(folder / f"listed/made/{i}.png")
    (folder / "listed/samples.csv").write_text(
        "id,file\n" + "".join(f"a/{i},made/{i}.png\n" for i in range(4)), encoding="utf-8"
    )


def _weights(folder: Path) -> None:
    """Checkpoints of a published family, of a small network of a library, and small tensors of no network."""
    import torch
    from safetensors.torch import save_file

    from bench.runtime import torchvision_shim
    from generators.nasdm.networks import SdmShape, SdmUNet

    torchvision_shim.ready()
    import timm

    torch.manual_seed(0)
    small = {"a.weight": torch.arange(20.0).reshape(4, 5), "b": torch.ones(3), "n": torch.tensor(3)}
    diffusion = {name: v * 0.02 for name, v in SdmUNet(SdmShape(3, 8, 64, (1,), 1, ())).state_dict().items()}
    image = timm.create_model("test_vit", pretrained=False).state_dict()
    for name, state in (("small", small), ("diffusion", diffusion), ("image", image)):
        (folder / name).mkdir()
        torch.save(state, folder / name / "zip.pt")
        torch.save({"state_dict": state, "epoch": 3}, folder / name / "wrapped.pth")
        torch.save(state, folder / name / "legacy.pt", _use_new_zipfile_serialization=False)
        save_file({key: value.contiguous() for key, value in state.items()}, folder / name / "plain.safetensors")
    (folder / "quiltnet").mkdir()
    shutil.copyfile(folder / "small/plain.safetensors", folder / "quiltnet/open_clip_model.safetensors")
    vision = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
    model = {"embed_dim": 512, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    held = {"model_cfg": model, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}
    (folder / "quiltnet/open_clip_config.json").write_text(json.dumps(held, indent=1), encoding="utf-8")


def _shipped(folder: Path) -> None:
    """Manifests of weights beside files with their digests, and fitted weights of three generators."""
    import metrics.encoders.builtin.phantom_cnn as cnn
    from generators.diffusion import shipped

    (folder / "encoder").mkdir()
    for file in cnn.SHIPPED.iterdir():
        shutil.copyfile(file, folder / "encoder" / file.name)
    (folder / "weights/set").mkdir(parents=True)
    held = json.loads((shipped.SHIPPED / "phantom-cam16/ldm-semantic.manifest.json").read_text(encoding="utf-8"))
    held["train_key"] = TRAIN_KEY
    for name in held["files"]:
        (folder / "weights/set" / name).write_text(name, encoding="utf-8")
        held["files"][name] = digest_of(folder / "weights/set" / name)
    (folder / "weights/set/ldm-semantic.manifest.json").write_text(json.dumps(held, indent=1), encoding="utf-8")
    fit_small(folder)


TRAIN_KEY = "0" * 16
"""Of the set that the shipped weights of the corpus were fitted on."""


def fit_small(folder: Path) -> None:
    """Weights of `FITTED` in folders of their names, fitted on a few patches."""
    from bench.types import silent

    for name in FITTED:
        (folder / "work").mkdir()
        made = small_generator(name)
        made.fit(patches(), 0, silent, folder / "work")
        made.save(folder / name)
        shutil.rmtree(folder / "work")


FITTED = {"ldm-semantic": "generators", "nasdm": "generators", "nasdm-masks": "layout_generators"}
"""Generators that are fitted for their files, and their kinds."""


def small_generator(name: str) -> Any:
    """One of `FITTED` in the size that the contract tests train."""
    from bench import registry

    return registry.find(FITTED[name], name)[0].trial()  # type: ignore[attr-defined]


def patches() -> Any:
    """Four patches with nuclei of six types."""
    from bench.types import Conditions, ImageSet

    made = [_nuclei(SIZE, SIZE, i) for i in range(4)]
    conditions = Conditions(
        ids=np.array([f"a/{i}" for i in range(4)]),
        groups=np.array([f"s{i % 2}" for i in range(4)]),
        classes=("background", *(f"type-{i}" for i in range(1, 7))),
        size=SIZE,
        mpp=0.5,
        masks=np.stack([types for _, _, types in made]),
        instances=np.stack([instances for _, instances, _ in made]),
        types=np.stack([types for _, _, types in made]),
    )
    return ImageSet("fuzz", np.stack([image for image, _, _ in made]), conditions)


def _training(folder: Path) -> None:
    """The checkpoint that an interrupted training leaves."""
    (folder / "work").mkdir()
    try:
        train_small(folder / "work", stop=3)
    except KeyboardInterrupt:
        return
    raise RuntimeError("the training was not interrupted")


def train_small(work: Path, stop: int = 0) -> dict[str, Any]:
    """The weights of a network of few numbers after training in `work`; KeyboardInterrupt after step `stop`."""
    import torch
    from torch import nn

    from generators.diffusion.training import TrainingConfig, train

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 1))

    def loss(shown: nn.Module, rng: np.random.Generator, share: Any) -> torch.Tensor:
        rows = torch.from_numpy(rng.standard_normal((8, 4), dtype=np.float32))[share.rows(8)]
        found: torch.Tensor = (shown(rows) - rows.sum(dim=1, keepdim=True)).square().mean()
        return found

    def progress(done: int, total: int, what: str) -> None:
        if done == stop:
            raise KeyboardInterrupt

    config = TrainingConfig(steps=4, learning_rate=1e-2, warmup=2, decay=True, ema=0.9, checkpoint_every=2)
    train(network, loss, config, 0, progress, work, "fit")
    return network.state_dict()


BASES: dict[str, Callable[[Path], None]] = {
    "slides": write_slides,
    "gdc": write_gdc,
    "prepared": write_prepared,
    "imports": write_imports,
    "run": _run,
    "records": _records,
    "settings": _settings,
    "folder": _image_folder,
    "lizard": _lizard,
    "conic": _conic,
    "nuclei-folder": _nuclei_folder,
    "samples": _samples,
    "weights": _weights,
    "shipped": _shipped,
    "training": _training,
}
"""Name -> what writes the valid files of a folder."""

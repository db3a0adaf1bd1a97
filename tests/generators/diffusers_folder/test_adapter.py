"""Folders of diffusers pipelines as generators: every kind of pipeline, every option, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from bench import registry
from bench.contracts import check_generator, mock
from bench.errors import DamagedError, MissingError, UsageError
from bench.results import schema
from bench.types import Conditions, Images, image_seeds
from tests.generators.diffusers_folder.tiny_pipelines import MAKERS, SIDE, save
from tests.small_run import SMALL, bench

ONE_STEP = {"steps": 1}
OF_KIND: dict[str, dict[str, Any]] = {"dit": {"guidance": 1.0}, "img2img": {"strength": 1.0}, "inpaint": {"strength": 1.0}}

PLAIN: dict[str, Images] = {}
"""Images without the options that are tested, made once."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pipelines")
    return {kind: save(kind, root / kind) for kind in MAKERS}


@pytest.fixture
def copied(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A pipeline without conditions, to be spoilt."""
    return copy(folders["pixels"], tmp_path)


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to / "copied")
    shutil.copy(folder.with_name(f"{folder.name}.card.toml"), to / "copied.card.toml")
    return to / "copied"


def load(folder: Path, **options: Any) -> Any:
    return registry.load("generators", f"diffusers:{folder}", **{**ONE_STEP, **options})


def patches(n: int = 5) -> Conditions:
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    return replace(mock(SIDE).conditions, vectors=vectors)[list(range(n))]


def generate(folder: Path, conditions: Conditions | None = None, seed: int = 0, **options: Any) -> Images:
    conditions = conditions if conditions is not None else patches(3)
    made: Images = load(folder, **options).generate(conditions, image_seeds(seed, conditions.ids))
    return made


@pytest.mark.parametrize(
    ("kind", "batch"),
    [("dit", 3), ("dit", 5), *(pytest.param(kind, 3, marks=pytest.mark.slow) for kind in MAKERS if kind != "dit")],
)
def test_contract(kind: str, batch: int, folders: dict[str, Path]) -> None:
    def make(**options: Any) -> Any:
        return load(folders[kind], **{"batch": batch, **OF_KIND.get(kind, {}), **options})

    outcomes = check_generator(make, f"diffusers:{folders[kind]}", SIDE)
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []


@pytest.mark.parametrize("kind", MAKERS)
def test_images_depend_on_their_own_seed_and_not_on_the_batch(kind: str, folders: dict[str, Path]) -> None:
    given = OF_KIND.get(kind, {}) | ({"steps": 3} if kind == "pixels" else {})
    one = generate(folders[kind], patches(), batch=2, **given)
    other = generate(folders[kind], patches(), batch=4, **given)
    assert one.dtype == np.uint8 and one.shape == (5, SIDE, SIDE, 3)
    assert np.abs(one.astype(int) - other).max() <= 1 and len(np.unique(one.reshape(5, -1), axis=0)) == 5
    assert not np.array_equal(one, generate(folders[kind], patches(), seed=1, batch=2, **given))


@pytest.mark.parametrize(
    ("kind", "column"),
    [("text", "masks"), ("control", "masks"), ("inpaint", "prompts"), ("img2img", "prompts"), ("dit", "masks")],
)
def test_images_follow_the_conditions_that_the_card_needs(kind: str, column: str, folders: dict[str, Path]) -> None:
    held = patches()
    others = replace(held, **{column: getattr(held, column)[[1, 2, 3, 4, 0]]})
    if column == "masks":
        others = replace(held, masks=1 - np.minimum(held.masks, 1))  # type: ignore[operator]
    given = {**OF_KIND.get(kind, {}), **({"steps": 2} if kind == "img2img" else {})}
    given |= {"strength": 0.5} if kind == "img2img" else {}
    assert column in load(folders[kind], **given).card.needs
    assert not np.array_equal(generate(folders[kind], held, **given), generate(folders[kind], others, **given))


def test_pipelines_without_conditions_need_none(folders: dict[str, Path]) -> None:
    assert load(folders["pixels"]).card.needs == load(folders["latents"]).card.needs == ()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("text", {"arguments": ("prompt=texts",)}),
        ("text", {"template": "a dark {classes}"}),
        ("text", {"negative": "dark"}),
        ("text", {"guidance": 2.0}),
        ("text", {"steps": 2}),
        ("text", {"precision": "bf16"}),
        ("control", {"palette": ("#000000", "#ffffff")}),
        ("control", {"control_scale": 0.1}),
        ("control", {"arguments": ("image=map-index",)}),
        ("control", {"arguments": ("image=crops",)}),
        ("control", {"arguments": ("image=largest-crop",)}),
        ("img2img", {"strength": 0.5, "steps": 2}),
        ("inpaint", {"arguments": ("image=largest-crop",), "strength": 0.5, "steps": 2}),
        ("dit", {"arguments": ("class_labels=labels",), "guidance": 1.0}),
    ],
)
def test_options_change_images(kind: str, options: dict[str, Any], folders: dict[str, Path]) -> None:
    plain = {**OF_KIND.get(kind, {}), **({"steps": options["steps"]} if "strength" in options else {})}
    if (key := repr((folders[kind], plain))) not in PLAIN:
        PLAIN[key] = generate(folders[kind], patches(2), **plain)
    assert not np.array_equal(PLAIN[key], generate(folders[kind], patches(2), **{**plain, **options}))


def test_a_map_with_one_channel_a_class(tmp_path: Path) -> None:
    folder = save("control", tmp_path / "two", channels=2)
    given = {"arguments": ("image=map-one-hot",)}
    held = patches(2)
    others = replace(held, masks=1 - held.masks)  # type: ignore[operator]
    assert not np.array_equal(generate(folder, held, **given), generate(folder, others, **given))


def test_a_vector_of_each_patch(folders: dict[str, Path]) -> None:
    from generators.diffusers_folder.mapping import Settings as Given
    from generators.diffusers_folder.mapping import make_arguments, needs_of, parse_palette

    mapping = {"image_embeds": "vectors"}
    made = make_arguments(mapping, patches(), Given("", parse_palette(())))
    assert needs_of(mapping) == ("vectors",) and np.array_equal(made["image_embeds"], patches().vectors)  # type: ignore[arg-type]


def test_another_side_is_made_only_where_it_is_asked_for(folders: dict[str, Path]) -> None:
    larger = mock(2 * SIDE).conditions[[0]]
    with pytest.raises(UsageError, match=f"makes images of {SIDE} px, and patches of {2 * SIDE} px"):
        generate(folders["text"], larger)
    assert generate(folders["text"], larger, side=2 * SIDE).shape == (1, 2 * SIDE, 2 * SIDE, 3)
    with pytest.raises(UsageError, match="DDPMPipeline has no argument height, which the option side sets"):
        generate(folders["pixels"], larger, side=2 * SIDE)


def test_the_resolution_of_the_card_is_compared(copied: Path) -> None:
    copied.with_name("copied.card.toml").write_text('licence = "MIT"\nmpp = 0.5\n')
    generate(copied, replace(patches(1), mpp=0.52))
    with pytest.raises(UsageError, match="trained at 0.5 microns per pixel"):
        generate(copied, replace(patches(1), mpp=1.0))


def test_a_scheduler_that_draws_noise_gets_the_generators_of_the_images(tmp_path: Path) -> None:
    import diffusers

    folder = save("dit", tmp_path / "noisy", scheduler=diffusers.DDPMScheduler(num_train_timesteps=20, clip_sample=False))
    one, other = (generate(folder, patches(), guidance=1.0, steps=3, batch=batch) for batch in (1, 4))
    assert np.abs(one.astype(int) - other).max() <= 1


def test_classes_that_the_pipeline_does_not_know_are_refused(folders: dict[str, Path]) -> None:
    given = {"arguments": ("class_labels=labels",), "guidance": 1.0}
    with pytest.raises(UsageError, match="classes 0 to 1, and 7 is asked"):
        generate(folders["dit"], replace(patches(2), labels=np.array([0, 7])), **given)
    with pytest.raises(UsageError, match="-o generator.guidance=1"):
        generate(folders["dit"])


def test_the_card_states_what_is_known_of_the_weights(copied: Path) -> None:
    assert (load(copied).card.licence, load(copied).card.trained_on) == ("MIT", ("phantom",))
    card = load(copied, licence="own", trained_on=("tcga",), conditioned_by=("uni2-h",)).card
    assert (card.licence, card.trained_on, card.conditioned_by) == ("own", ("tcga",), ("uni2-h",))
    copied.with_name("copied.card.toml").unlink()
    with pytest.raises(UsageError, match="states no licence.*copied.card.toml.*generator.licence"):
        load(copied)
    (copied / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A pipeline\n")
    assert load(copied).card.licence == "apache-2.0"
    copied.with_name("copied.card.toml").write_text('license = "MIT"\n')
    with pytest.raises(UsageError, match="Did you mean 'licence'"):
        load(copied)


def test_content_and_not_the_path_or_the_card_is_the_identity(folders: dict[str, Path], copied: Path) -> None:
    original = registry.describe(load(folders["pixels"]))
    assert registry.describe(load(copied, licence="other", trained_on=("x",), conditioned_by=("y",))) == original
    file = copied / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, file)
    assert registry.describe(load(copied))["digest"] != original["digest"]


class Runs:
    """A pickle that runs code."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def spoil(copied: Path, how: str) -> None:
    index = copied / "model_index.json"
    weights = copied / "unet/diffusion_pytorch_model.safetensors"
    if how == "pickle":
        (copied / "unet/diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Runs()))
    elif how == "code":
        (copied / "pipeline.py").write_text("open('ran', 'w')\n")
    elif how == "custom class":
        index.write_text(index.read_text().replace('"DDPMPipeline"', '["pipeline", "Mine"]'))
    elif how == "unknown class":
        index.write_text(index.read_text().replace("DDPMPipeline", "MyPipeline"))
    elif how == "remote code":
        config = json.loads((copied / "unet/config.json").read_text())
        (copied / "unet/config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "me/repo--m.M"}}))
    elif how == "other library":
        index.write_text(index.read_text().replace('"diffusers",\n    "UNet', '"os",\n    "UNet'))
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "no weights":
        weights.unlink()
    elif how == "some weights":
        tensors = load_file(weights)
        tensors.pop("conv_in.weight")
        save_file(tensors, weights)
    elif how == "no folder":
        shutil.rmtree(copied / "scheduler")
    elif how == "no index":
        index.unlink()
    elif how == "index":
        index.write_text("{")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("pickle", UsageError, "may be pickled.*only safetensors are read"),
        ("code", UsageError, "pipeline.py is code.*bench new generator"),
        ("custom class", UsageError, "a file of code and no class"),
        ("unknown class", UsageError, "MyPipeline"),
        ("remote code", UsageError, "names code by 'auto_map'"),
        ("other library", UsageError, "os.UNet2DModel, which neither diffusers"),
        ("cut", DamagedError, "is damaged or holds more than tensors"),
        ("no weights", DamagedError, "cannot be loaded as DDPMPipeline"),
        ("some weights", DamagedError, "lacks 1 of the weights of UNet2DModel, conv_in.weight"),
        ("no folder", DamagedError, "no such folder"),
        ("no index", MissingError, "has model_index.json"),
        ("index", DamagedError, "is not JSON"),
    ],
)
def test_what_is_hostile_or_damaged_is_refused(
    how: str, error: type[Exception], message: str, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil(copied, how)
    with pytest.raises(error, match=message):
        generator = load(copied, arguments=("sample=labels",) if how == "unknown class" else ())
        assert generator.digest
        generator.generate(patches(1), image_seeds(0, patches(1).ids))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arguments": ("prompt=class-name",)}, "Did you mean 'class-names'"),
        ({"arguments": ("prompt",)}, "ARGUMENT=SOURCE"),
        ({"palette": ("red",)}, "colours like #000000"),
        ({"steps": 0}, "steps is a count"),
        ({"guidance": -1.0}, "guidance is 0 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=message):
        load(folders["control"], **options)


def test_options_that_the_pipeline_lacks_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="DDPMPipeline has no argument guidance_scale, which the option guidance sets"):
        generate(folders["pixels"], guidance=2.0)
    with pytest.raises(UsageError, match="has no argument image, which arguments=image=crops sets"):
        generate(folders["pixels"], arguments=("image=crops",))
    with pytest.raises(UsageError, match="palette has 1 colours, and there are 2 classes"):
        generate(folders["control"], palette=("#000000",))


def test_a_run_ends_in_a_table_and_one_of_another_side_before_it_begins(folders: dict[str, Path], tmp_path: Path) -> None:
    words = ["-t", "cam16-seg", "--no-downstream", "-e", "stain", "-m", "fd", "--controls", "none", "--seeds", "0", *SMALL]
    named = ["run", "-g", f"diffusers:{folders['control']}", *words, "--out", tmp_path / "out", "-o", "generator.steps=1"]
    sized = ["-o", "dataset.size=32"]
    refused = bench(*named, *sized, home=tmp_path / "home")
    assert refused.exit_code == 2 and "nothing is resized" in refused.stderr and not (tmp_path / "out").exists()
    done = bench(*named, *sized, "-o", "side=32", home=tmp_path / "home")
    assert done.exit_code == 0, done.stderr
    (file,) = (tmp_path / "out").rglob("results.jsonl")
    (record,) = [one for one in schema.read([file]) if one.measure == "fd"]
    assert record.value and record.generator == "diffusers" and record.fit["origin"] == "given"
    assert "checkpoint" not in record.described["generator"]["options"] and record.described["generator"]["digest"]
    assert "diffusers" in file.with_name("table.txt").read_text()
    again = bench(*named, *sized, "-o", "side=32", "--fit", home=tmp_path / "home")
    assert again.exit_code != 0 and "leave out --fit" in again.stderr + again.stdout + file.read_text()

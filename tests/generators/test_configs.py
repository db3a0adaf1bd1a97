"""Configs: options are the fields of a config, and keys hold its values, never the name of a preset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from click.testing import CliRunner

from bench import registry
from bench.cli import group
from bench.errors import UsageError
from bench.jobs.graph import Job
from bench.pipeline import data, training
from bench.pipeline.data import Patches
from bench.pipeline.plugins import Plugin
from bench.pipeline.sets import SetRef
from bench.types import HasConfig, HasPresets
from generators.latent_diffusion.adapter import LdmPrompt, LdmSemantic
from generators.latent_diffusion.config import TINY, FirstStageConfig
from generators.mask_diffusion.adapter import NasdmMasks
from generators.nasdm.adapter import Nasdm
from tasks.datasets.phantom.dataset import PhantomCam16

CONFIGURED = [
    ("generators", "ldm-prompt"),
    ("generators", "ldm-embed"),
    ("generators", "nasdm"),
    ("layout_generators", "nasdm-masks"),
]


@pytest.fixture(scope="module")
def train() -> Patches:
    made = PhantomCam16(train_slides=2, per_slide=2, size=32).split("train")
    job = data.split_job(Plugin("datasets", "phantom-cam16"), "train")
    return Patches(job, SetRef(job.ref, made.key), made, made.key)


def training_jobs(generator: str, train: Patches, **options: Any) -> tuple[Job, Job | None]:
    """The job that trains a generator, and the one of its first stage."""
    plugin = Plugin("generators", generator, tuple(options.items()))
    job = training.training_job(plugin, plugin.build_anew(), train, seed=0)
    return job, next((need for need in job.needs if need.kind == "first-stage"), None)


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_info_lists_every_field_with_the_value_of_the_default_preset(kind: str, name: str) -> None:
    shown = json.loads(CliRunner().invoke(group, ["info", name, "--kind", kind, "--json"]).stdout)["options"]
    config = registry.load(kind, name).config
    assert shown["preset"] == "tiny"
    assert {f.name for f in fields(config)} <= set(shown)
    given = {option: value for option, value in shown.items() if option != "checkpoint"}
    assert registry.load(kind, name, **given).config == config, "every default can be given as it is shown"


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_an_option_replaces_one_value_and_the_description_has_values_alone(kind: str, name: str) -> None:
    plain, changed = registry.load(kind, name), registry.load(kind, name, sample_steps="5", preset="tiny")
    assert isinstance(changed, HasConfig) and isinstance(type(changed), HasPresets)
    assert changed.config == replace(plain.config, sample_steps=5)
    before, after = registry.describe(plain)["options"], registry.describe(changed)["options"]
    assert {option for option in before if before[option] != after[option]} == {"sample_steps"}
    assert "preset" not in before and before["learning_rate"] == plain.config.learning_rate
    assert registry.describe(registry.load(kind, name, preset="paper"))["options"] != before


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_what_is_no_field_no_preset_or_no_value_is_refused(kind: str, name: str) -> None:
    with pytest.raises(UsageError, match="has no option 'sample_step'. Did you mean 'sample_steps'"):
        registry.load(kind, name, sample_step="5")
    with pytest.raises(UsageError, match="option preset takes tiny | paper, not 'tinny'. Did you mean 'tiny'"):
        registry.load(kind, name, preset="tinny")
    with pytest.raises(UsageError, match="option sampler takes"):
        registry.load(kind, name, sampler="euler")
    with pytest.raises(UsageError, match="sample_steps is a count of at least 1"):
        registry.load(kind, name, sample_steps="0")


@pytest.mark.parametrize("variant", [LdmPrompt, Nasdm, NasdmMasks])
def test_two_names_of_one_config_are_the_same_generator(variant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = registry.describe(variant())
    presets: Mapping[str, Any] = variant.presets
    monkeypatch.setattr(variant, "presets", {**presets, "small": presets["tiny"]})
    assert registry.describe(variant(preset="small")) == plain


def test_a_changed_preset_takes_neither_weights_nor_first_stage_of_the_old_one(
    train: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, old_stage = training_jobs("ldm-prompt", train)
    assert LdmPrompt().shipped("8af0f93d3fe661bc") is not None
    monkeypatch.setattr(LdmPrompt, "presets", {"tiny": replace(TINY, stage_channels=(16, 32, 32))})
    new, new_stage = training_jobs("ldm-prompt", train)
    assert old_stage is not None and new_stage is not None
    assert new_stage.ref != old_stage.ref and new.ref != old.ref
    assert LdmPrompt().shipped("8af0f93d3fe661bc") is None
    monkeypatch.setattr(LdmPrompt, "presets", {"tiny": replace(TINY, channels=(16, 32, 48))})
    new, new_stage = training_jobs("ldm-prompt", train)
    assert new_stage is not None and new_stage.ref == old_stage.ref, "the denoiser has no part in the first stage"
    assert new.ref != old.ref and LdmPrompt().shipped("8af0f93d3fe661bc") is None


@pytest.mark.parametrize("field", [f.name for f in fields(TINY)])
def test_the_first_stage_is_keyed_by_what_decides_it_and_shared_otherwise(field: str) -> None:
    other = {"stage_kind": "vq", "precision": "bf16", "sampler": "ddim", "prediction": "epsilon", "loss": "l1"}
    value = getattr(TINY, field)
    if isinstance(value, bool):
        changed: Any = not value
    elif isinstance(value, tuple):
        changed = (
            (*value[:-1], True)
            if field == "attention" and not value[-1]
            else (*value[:-1], 0 if field == "attention" else 128)
        )
    else:
        changed = other.get(
            field,
            value / 2 if isinstance(value, float) and value else 1 if isinstance(value, float) else 32 if value != 32 else 16,
        )
    assert changed != value
    decides = field in {f.name for f in fields(FirstStageConfig)}
    one, two = LdmPrompt().stage_config(), LdmSemantic(**{field: changed}).stage_config()
    assert (one != two) == decides

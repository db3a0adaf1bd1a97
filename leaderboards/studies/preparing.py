"""Makes a study: draws images, commits to the key, writes the pages. Nothing is written before everything is known to fit."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.files.text import write_bytes
from bench.provenance.digests import digest_of
from leaderboards.studies import page, pictures, power, sampling
from leaderboards.studies.power import Assumptions, Size
from leaderboards.studies.sampling import Drawn, Sharing
from leaderboards.studies.schema import (
    KEY,
    KEY_FORMAT,
    PAGES,
    STUDY,
    STUDY_FORMAT,
    Arm,
    Design,
    Key,
    Questionnaire,
    Study,
    study_id,
)
from leaderboards.studies.sources import Candidates


@dataclass(frozen=True)
class StudyConfig:
    """What the user asked for."""

    name: str
    questionnaire: Questionnaire
    out: Path
    key: Path
    readers: int = 2
    images_per_arm: int = 30
    repeats: int = 6
    practice: int = 4
    conditions: Sharing = "separate"
    seed: int | None = None
    """None: a secret one. A seed that readers know gives the key away to whoever has the data."""
    difference: float = 0.5
    accuracy: float = 0.1
    assumed: Assumptions = Assumptions()


def check_places(config: StudyConfig) -> None:
    """Raises UsageError unless both folders are new or empty, and the key lies outside the study."""
    if config.key.resolve().is_relative_to(config.out.resolve()):
        raise UsageError(f"--key {config.key} lies in the study {config.out}, which readers may get: give a folder beside it.")
    for option, folder in (("--out", config.out), ("--key", config.key)):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{option} {folder} is not empty: a study is never overwritten. Name a new folder.")


def describe_power(config: StudyConfig, arms: Sequence[Candidates]) -> dict[str, Any]:
    """What the study could show: see `power.describe`."""
    slides = min(len(set(arm.units.tolist())) for arm in arms)
    size = Size(config.images_per_arm, config.readers, len(arms), slides)
    discriminates = any(question.discriminates for question in config.questionnaire.questions)
    found = power.describe(size, config.difference, config.accuracy, discriminates, config.assumed)
    return {**found, "sources_known": arms[0].are_units_known}


def draw(config: StudyConfig, arms: Sequence[Candidates]) -> tuple[int, Drawn]:
    """The seed, and the images that it gives."""
    seed = secrets.randbits(48) if config.seed is None else config.seed
    rng = np.random.default_rng([seed, 0])
    return seed, sampling.draw(arms, config.images_per_arm, config.repeats, config.practice, config.conditions, rng)


def write_study(config: StudyConfig, arms: Sequence[Candidates], embedded: bool) -> Study:
    """Draws and writes the study: the key first, then the pages, then study.json."""
    check_places(config)
    seed, drawn = draw(config, arms)
    key = _make_key(config, arms, drawn, seed)
    held = _describe(config, arms, embedded, key.commitment())
    sheet = page.Sheet(
        held["id"],
        config.name,
        held["commitment"],
        config.questionnaire,
        arms[0].images.conditions.size,
        _mpp(arms),
        pictures.describe_legend(arms[0].images.conditions) if config.questionnaire.shows_condition else [],
    )
    every = (*drawn.scored, *drawn.practice)
    encoded = {}
    for image, one in zip(key.images, every, strict=True):
        images = arms[one.arm].images
        shows = config.questionnaire.shows_condition
        outlines = pictures.encode_outlines(images.conditions[[one.row]]) if shows else None
        encoded[image.image] = (pictures.encode_image(np.asarray(images.images[one.row])), outlines)
    write_bytes(config.key / KEY, _json(key.model_dump(mode="json")))
    (config.key / KEY).chmod(0o600)
    digests = {}
    for name, positions in key.orders.items():
        file = config.out / PAGES / f"{name}.html"
        write_bytes(file, page.render_page(sheet, name, list(positions), encoded).encode())
        digests[name] = digest_of(file)
    study = Study.model_validate({**held, "pages": digests})
    write_bytes(config.out / STUDY, _json(study.model_dump(mode="json")))
    return study


def _make_key(config: StudyConfig, arms: Sequence[Candidates], drawn: Drawn, seed: int) -> Key:
    salt = secrets.token_hex(32)
    images = [sampling.name_image(arms, one, salt) for one in (*drawn.scored, *drawn.practice)]
    names = [one.image for one in images]
    orders = {
        f"reader-{reader}": sampling.order_images(
            drawn, names, f"reader-{reader}", salt, np.random.default_rng([seed, reader])
        )
        for reader in range(1, config.readers + 1)
    }
    return Key(format=KEY_FORMAT, name=config.name, salt=salt, seed=seed, images=tuple(images), orders=orders)  # type: ignore[arg-type]


def _describe(config: StudyConfig, arms: Sequence[Candidates], embedded: bool, commitment: str) -> dict[str, Any]:
    """The content of study.json but for the pages."""
    design = Design(
        rule=sampling.RULE[config.conditions] + sampling.ORDER,
        conditions=config.conditions,
        images_per_arm=config.images_per_arm,
        repeats=config.repeats,
        practice=config.practice,
        readers=config.readers,
        size=arms[0].images.conditions.size,
        mpp=_mpp(arms),
    )
    listed = [
        Arm(name=arm.arm, generator=arm.generator, seed=arm.seed, samples=arm.images.key, images=config.images_per_arm)
        for arm in arms
    ]
    held: dict[str, Any] = {
        "format": STUDY_FORMAT,
        "name": config.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commitment": commitment,
        "questionnaire": config.questionnaire.model_dump(mode="json"),
        "arms": [arm.model_dump(mode="json") for arm in listed],
        "design": design.model_dump(mode="json"),
        "power": describe_power(config, arms),
        "embedded": embedded,
    }
    return {**held, "id": study_id(held)}


def _mpp(arms: Sequence[Candidates]) -> float | None:
    mpp = float(arms[0].images.conditions.mpp)
    return None if math.isnan(mpp) else mpp


def _json(held: object) -> bytes:
    return (json.dumps(held, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

"""The page of one reader: one HTML file with its images, which works from a file and lets nothing leave the machine."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from leaderboards.report import templating
from leaderboards.studies.schema import ANSWERS_FORMAT, Position, Questionnaire

PACKAGE = "leaderboards.studies"


@dataclass(frozen=True)
class Sheet:
    """What all pages of a study share."""

    study: str
    name: str
    commitment: str
    questionnaire: Questionnaire
    size: int
    mpp: float | None
    legend: list[list[str]]
    """(name, colour) of outlines; empty where none are shown."""


def render_page(sheet: Sheet, page: str, positions: list[Position], pictures: dict[str, tuple[bytes, bytes | None]]) -> str:
    """The document. `pictures`: image id -> PNG, and PNG of outlines where they are shown. The page names neither arms nor the
    images that it shows twice: an image is named by its position alone."""
    from markupsafe import Markup

    style, script = (templating.read_asset(name, PACKAGE) for name in ("reader.css", "reader.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {templating.source_hash(style)}; "
        f"script-src {templating.source_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    form = sheet.questionnaire
    data: dict[str, Any] = {
        "format": ANSWERS_FORMAT,
        "study": sheet.study,
        "commitment": sheet.commitment,
        "page": page,
        "size": sheet.size,
        "mpp": sheet.mpp,
        "legend": templating.clean(sheet.legend),
        "questions": templating.clean([question.model_dump(mode="json") for question in form.questions]),
        "items": [
            {
                "item": position.item,
                "practice": position.practice,
                "image": _text(pictures[position.image][0]),
                "outlines": _text(pictures[position.image][1]),
            }
            for position in positions
        ],
    }
    return templating.render(
        "reader.html.j2",
        PACKAGE,
        title=form.title,
        study=sheet.name,
        introduction=form.introduction,
        page=page,
        commitment=sheet.commitment,
        regions=any(question.regions for question in form.questions),
        outlines=form.shows_condition,
        data=data,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
    )


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")

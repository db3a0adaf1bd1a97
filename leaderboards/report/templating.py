"""Templates of pages: Jinja2 with autoescape, so that only templates contain markup.

The files in a package's `templates/` contain all markup of its page. Python passes plain data to them. Only the page's own
style and script, which ship beside the templates, are passed as `Markup`; data for the script goes through the filter
`tojson`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bench.messages import printable_lines

if TYPE_CHECKING:
    from jinja2 import Environment


REPORT = "leaderboards.report"


class Section(Protocol):
    """What a section of the page shows; its template finds it under the name `section`."""

    anchor: ClassVar[str]
    name: ClassVar[str]
    """Heading, and name in the menu."""
    template: ClassVar[str]


@cache
def environment(package: str = REPORT) -> Environment:
    """The templates of a package. They escape everything that is not `Markup`, and a missing value is an error, not an empty
    text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # the order of a patch's distances is the order in which the script lists them; NaN is no JSON
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "allow_nan": False}
    return made


def clean(value: Any) -> Any:
    """Plain data without characters that reverse or hide parts of a text, and without lone surrogates, which no UTF-8 file can
    hold. `Markup` is ours and stays."""
    if isinstance(value, dict):
        return {clean(name): clean(part) for name, part in value.items()}
    if isinstance(value, list):
        return [clean(part) for part in value]
    return printable_lines(value) if type(value) is str else value


def render(template: str, package: str = REPORT, **values: object) -> str:
    """The template with the values. Raises jinja2.UndefinedError for a missing value."""
    return environment(package).get_template(template).render(**values)


def read_asset(name: str, package: str = REPORT) -> str:
    """Source of a page's style or script."""
    return (resources.files(package) / "assets" / name).read_text(encoding="utf-8")


def source_hash(source: str) -> str:
    """The hash by which a content security policy identifies a style or script element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

"""Names -> objects. All plug-ins are entry points, those of this project too, and are imported only when they are used.

names("generators")                      every name
load("generators", "ldm-prompt", steps=50)
load("encoders", "timm:resnet18")        the text after the colon is the first constructor argument
load("generators", "mine.py:MyGenerator")  a class in a file, no installation needed; mine.py:MyGenerator:ARGUMENT as above
"""

from __future__ import annotations

import dataclasses
import inspect
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from bench.errors import BenchError, BrokenPluginError, MissingError, UsageError, did_you_mean
from bench.messages import shorten
from bench.presets import accepted_types, convert
from bench.provenance import sources
from bench.runtime import plugin_code, torchvision_shim
from bench.runtime.plugin_code import guarded_process, is_interruption, stdout_to_stderr
from bench.types import Card, HasCard, HasConfig, HasDigest, HasPresets, HoldsFeatures, ReadsCheckpoint

KINDS = ("generators", "encoders", "metrics", "tasks", "datasets", "layout_generators", "commands")


@cache
def _entries(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Name -> its entry points: more than one if several packages use the name, which only its use must fail for."""
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}.{did_you_mean(kind, KINDS)} The kinds are: {', '.join(KINDS)}.")
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=f"bench.{kind}"):
        found.setdefault(entry.name, {}).setdefault(entry.value, entry)
    return {name: tuple(entries.values()) for name, entries in found.items()}


def names(kind: str) -> list[str]:
    """Every registered name of a kind, sorted; imports nothing."""
    return sorted(_entries(kind))


def entry(kind: str, name: str) -> EntryPoint:
    """The entry point of a registered name; imports nothing. BrokenPluginError if two packages use the name."""
    found = _entries(kind)[name]
    if len(found) > 1:
        raise BrokenPluginError(
            f"two plug-ins are called {name!r} in bench.{kind}: {' and '.join(one.value for one in found)}. "
            "Uninstall one, or name one by its file: path.py:Class."
        )
    return found[0]


def canonical_name(kind: str, name: str) -> str:
    """The name as it is registered, or as its panel is, whatever its case: `NASDM` is `nasdm`, and `TIMM:resnet18` is
    `timm:resnet18`. Arguments, files and names of nothing stay as they are. UsageError if two names differ by case alone and
    neither is the given one.
    """
    head, colon, rest = name.partition(":")
    known = (*_entries(kind), *(panel_names() if kind in ("encoders", "metrics") else ()))
    if head in known or is_file(name):
        return name
    alike = sorted({each for each in known if each.casefold() == head.casefold()})
    if len(alike) > 1:
        raise UsageError(f"{shorten(name)!r} may be {' or '.join(alike)}: these names differ by case alone.")
    return f"{alike[0]}{colon}{rest}" if alike else name


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds of plug-ins, commands left out, in which a name is registered, whatever its case; imports nothing."""
    return tuple(kind for kind in KINDS if kind != "commands" and _head(kind, name) in _entries(kind))


def _head(kind: str, name: str) -> str:
    return canonical_name(kind, name).partition(":")[0]


def expand(kind: str, asked: Iterable[str]) -> tuple[str, ...]:
    """The names, with panels replaced by their members, each once, in the order of first occurrence.

    A panel is a tuple of names under the entry-point group `bench.panels`: `embedded`, for the encoders without a download.
    """
    panels = {entry.name: entry for entry in entry_points(group="bench.panels")}
    named = (canonical_name(kind, name) for name in asked)
    members = (_members(panels[name]) if name in panels and name not in _entries(kind) else (name,) for name in named)
    return tuple(dict.fromkeys(name for part in members for name in part))


def panel_names() -> list[str]:
    """The names of all panels."""
    return sorted(entry.name for entry in entry_points(group="bench.panels"))


def _members(panel: EntryPoint) -> tuple[str, ...]:
    found = _import(f"the panel {panel.name!r}", panel.load)
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) for name in found):
        raise BrokenPluginError(f"the panel {panel.name!r} ({panel.value}) is no tuple of names.")
    return tuple(found)


def find(kind: str, name: str) -> tuple[type[Any], tuple[Any, ...]]:
    """The class behind a name, and the arguments that the name itself carries.

    Raises UsageError on an unknown name, BrokenPluginError if the plug-in cannot be imported or has no card.
    """
    head, _, rest = canonical_name(kind, name).partition(":")
    if is_file(name):
        attribute, _, argument = rest.partition(":")
        return _from_file(Path(head), attribute), ((argument,) if argument else ())
    entries = _entries(kind)
    if head not in entries:
        raise UsageError(
            f"unknown {kind.removesuffix('s')} {shorten(name)!r}.{did_you_mean(head, entries)} "
            f"See: bench list {kind}, or give path.py:Class."
        )
    found = _import(repr(name), entry(kind, head).load)
    if kind != "commands" and (fault := _import(repr(name), lambda: _fault_of_card(found))):
        raise BrokenPluginError(f"{name!r} ({entry(kind, head).value}) is no plug-in: {fault}.")
    return found, ((rest,) if rest else ())


def _import(owner: str, load: Callable[[], Any]) -> Any:
    """What `load` returns. BrokenPluginError, with the place, whatever the code of a plug-in raises meanwhile."""
    torchvision_shim.ready_on_import()
    with guarded_process(), stdout_to_stderr():
        try:
            return load()
        except BaseException as error:
            if is_interruption(error):
                raise
            raise BrokenPluginError(f"{owner} cannot be imported: {describe_plugin_error(error)}.") from error


def describe_plugin_error(error: BaseException) -> str:
    """The type and message of an error of a plug-in, with the line of its code that raised it."""
    try:
        text = " ".join(str(error).split()).rstrip(".")
    except Exception as second:  # an exception in `__str__` must not hide the error
        text = f"{type(second).__name__} in its message"
    if isinstance(error, BenchError):
        return text
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if not frame.filename.startswith("<frozen") and frame.filename != plugin_code.__file__]
    if isinstance(error, SyntaxError) or not places:  # whose message has the place
        return named
    return f"{named} ({Path(places[-1].filename).name}, line {places[-1].lineno})"


def _fault_of_card(found: Any) -> str:
    """What is wrong with the card of a plug-in class; empty if nothing is."""
    if not isinstance(found, type):
        return f"it is {type(found).__name__}, not a class"
    if not isinstance(found, HasCard) or not isinstance(found.card, Card):
        return "the class has no attribute card = Card(...)"
    for field in dataclasses.fields(Card):
        value = getattr(found.card, field.name)
        is_text = isinstance(field.default, str) or field.default is dataclasses.MISSING
        if is_text and not isinstance(value, str):
            return f"{field.name} of its card is {value!r}, not text"
        if not is_text and not (isinstance(value, tuple | list) and all(isinstance(part, str) for part in value)):
            return f"{field.name} of its card is {value!r}, not a tuple of names"
    return "" if found.card.name else "its card has no name"


def card(kind: str, name: str) -> Card:
    """The card of a plug-in, read from its class without building it."""
    found = find(kind, name)[0].card
    assert isinstance(found, Card)
    return found


def is_known(kind: str, name: str) -> bool:
    """Whether a name is registered, whatever its case, or that of a class in a file; imports nothing."""
    return is_file(name) or _head(kind, name) in _entries(kind)


def is_file(name: str) -> bool:
    """Whether a name is that of a class in a file: path.py:Class."""
    return name.partition(":")[0].endswith(".py")


def absolute_name(name: str) -> str:
    """The name with the path of a plug-in file made absolute, so that a worker in another folder finds it."""
    if not is_file(name):
        return name
    path, _, rest = name.partition(":")
    return f"{Path(path).resolve()}:{rest}"


def absolute_argument(kind: str, name: str) -> str:
    """The name with its argument made absolute if it is a path, so that a worker in another folder finds it."""
    cls, given = find(kind, name)
    first = next(iter(parameters(cls).values()), None)
    if not given or first is None or Path not in accepted_types(first.annotation):
        return name
    return f"{name.removesuffix(given[0])}{Path(given[0]).expanduser().resolve()}"


def label(kind: str, name: str, plugin: Any) -> str:
    """The name of a plug-in in result records: the name of its card, with the argument that is part of its name.

    `timm:resnet18` for that name and for `timm` with the option name=resnet18. A metric has the argument in brackets,
    `precision(k=5)`, since a colon in a measure stands before a class. Paths are left out: they differ between machines, and
    the content has a digest.
    """
    cls, given = find(kind, name)
    first = next(iter(parameters(cls).values()), None)
    called = str(plugin.card.name)
    if first is None or Path in accepted_types(first.annotation) or not (given or first.default is first.empty):
        return called
    value = option_values(plugin).get(first.name, *given)  # the values of a preset, not its name
    return f"{called}({first.name}={value})" if kind == "metrics" else f"{called}:{value}"


def load(kind: str, name: str, /, **options: Any) -> Any:
    """Builds a plug-in. Option values may be strings, as a command line gives them; they are converted by annotation."""
    cls, values = arguments(kind, name, options)
    return cls(**values)


def arguments(kind: str, name: str, options: Mapping[str, Any]) -> tuple[type[Any], dict[str, Any]]:
    """The class of a plug-in and its constructor arguments. UsageError if an option is unknown, wrong or missing."""
    cls, given = find(kind, name)
    known = parameters(cls)
    named = dict(zip(known, given, strict=False))
    for option in options:
        if option not in known or option in named:
            raise UsageError(
                f"{name!r} has no option {option!r}.{did_you_mean(option, known)} "
                f"Its options are: {', '.join(k for k in known if k not in named) or 'none'}."
            )
    missing = [p.name for p in known.values() if p.default is p.empty and p.name not in {**named, **options}]
    if missing:
        raise UsageError(f"{name!r} needs {', '.join(missing)}: write {name.partition(':')[0]}:{missing[0].upper()}.")
    return cls, {option: convert(name, known[option], value) for option, value in {**named, **options}.items()}


def parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """The options of a plug-in: the parameters of its constructor, annotations resolved.

    For a class with presets: `preset`, the fields of its config with the values of the default preset, and further parameters.
    """
    if cls.__init__ is object.__init__:
        return {}
    found = dict(inspect.signature(cls, eval_str=True).parameters)
    if not isinstance(cls, HasPresets):
        return found
    presets = cls.presets
    named = {name: parameter for name, parameter in found.items() if parameter.kind is not parameter.VAR_KEYWORD}
    chosen = named.pop("preset").replace(annotation=typing.Literal[tuple(presets)])
    config = presets[chosen.default]
    hints = typing.get_type_hints(type(config))
    values = {
        f.name: inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=getattr(config, f.name), annotation=hints[f.name]
        )
        for f in dataclasses.fields(config)
    }
    return {"preset": chosen, **values, **named}


def option_values(plugin: Any) -> dict[str, Any]:
    """Option -> the value that a plug-in uses. A preset is given by its values, without its name."""
    known = parameters(type(plugin))
    if not isinstance(plugin, HasConfig):
        return {name: _kept(plugin, name) for name in known}
    values = {f.name: vars(plugin.config)[f.name] for f in dataclasses.fields(plugin.config)}
    return {**values, **{name: _kept(plugin, name) for name in known if name not in values and name != "preset"}}


def _kept(plugin: Any, option: str) -> Any:
    """An option as the plug-in keeps it: an attribute of the object, of the name of the constructor's parameter."""
    try:
        return vars(plugin)[option]
    except KeyError:
        text = f"{type(plugin).__name__!r} object has no attribute {option!r}"
        raise AttributeError(text, name=option, obj=plugin) from None


def describe(plugin: Any) -> dict[str, Any]:
    """Everything about a plug-in that changes what it computes, as JSON: name, version, options, digest of its content. For a
    plug-in from outside also `sources.describe`, so that results of older code are not reused after an edit."""
    left_out = plugin.checkpoint_options if isinstance(plugin, ReadsCheckpoint) else ()
    card = plugin.card
    if isinstance(plugin, HoldsFeatures):
        return {"name": card.name, "version": card.version, "given": plugin.stated}
    options = {name: _plain(value) for name, value in option_values(plugin).items() if name not in left_out}
    spec: dict[str, Any] = {"name": card.name, "version": card.version, "options": options}
    if isinstance(plugin, HasDigest) and plugin.digest:
        spec["digest"] = plugin.digest
    return {**spec, **sources.describe(type(plugin))}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _from_file(path: Path, attribute: str) -> type[Any]:
    owner = repr(shorten(f"{path}:{attribute}", most=300))
    if not is_present(path):
        raise MissingError(f"no file {shorten(str(path), most=300)}: a plug-in from a file is written path.py:Class.")
    held = vars(_import(owner, lambda: sources.load(path)))
    found = held.get(attribute)
    if isinstance(found, type) and _import(owner, lambda: isinstance(found, HasCard)):
        if fault := _import(owner, lambda: _fault_of_card(found)):
            raise BrokenPluginError(f"{owner} is no plug-in: {fault}.")
        return found
    plugins = [name for name, value in held.items() if isinstance(value, type) and "card" in dir(value)]
    raise UsageError(
        f"{path} has no plug-in class {attribute!r}.{did_you_mean(attribute, plugins)} "
        f"Classes with a card there: {', '.join(plugins) or 'none'}."
    )


def is_present(path: Path) -> bool:
    """Whether a regular file is there; False for names that no file system takes."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False for names that no file system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False

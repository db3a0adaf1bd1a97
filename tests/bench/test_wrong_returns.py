"""A plug-in that returns something of the wrong type, shape, number of rows or value costs its own records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results.terms import Status
from tests import small_run
from tests.bench.broken_plugins import WORKING, Records, measure

GENERATE = {
    "GFloat": ("super().generate(conditions, seeds).astype(np.float32)", "float32 (24, 64, 64, 3)"),
    "GBool": ("super().generate(conditions, seeds) > 9", "bool (24, 64, 64, 3)"),
    "GObject": ("np.array([None] * len(seeds))", "object (24,)"),
    "GSmall": ("super().generate(conditions, seeds)[:, :32, :32]", "uint8 (24, 32, 32, 3)"),
    "GGrey": ("super().generate(conditions, seeds)[..., 0]", "uint8 (24, 64, 64)"),
    "GFew": ("super().generate(conditions, seeds)[1:]", "uint8 (23, 64, 64, 3)"),
    "GMany": ("super().generate(conditions, np.concatenate([seeds, seeds]))", "uint8 (48, 64, 64, 3)"),
    "GNone": ("None", "NoneType"),
    "GText": ("'images'", "str"),
    "GList": ("list(super().generate(conditions, seeds))", "list"),
    "GLazy": ("Lazy()", "Lazy"),
    "GIterator": ("iter(super().generate(conditions, seeds))", "generator"),
    "GNan": ("np.full((len(seeds), conditions.size, conditions.size, 3), np.nan).astype(np.uint8)", "NaN"),
}
ENCODE = {
    "EInt": ("super().encode(images).astype(np.int64)", "int64 (24, 3)"),
    "EComplex": ("super().encode(images).astype(complex)", "complex128 (24, 3)"),
    "EFlat": ("super().encode(images)[:, 0]", "float32 (24,)"),
    "EFew": ("super().encode(images)[1:]", "float32 (23, 3)"),
    "EEmpty": ("super().encode(images)[:, :0]", "float32 (24, 0)"),
    "ENan": ("super().encode(images) * np.nan", "NaN or infinite features"),
    "ELarge": ("super().encode(images).astype(np.float64) + 1e300", "NaN or infinite features"),
    "ENone": ("None", "returned object"),
    "ELazy": ("Lazy()", "OSError: the disk is gone"),
    "EText": ("['a'] * len(images)", "returned <U1"),
}
COMPARE = {
    "CText": ("'near'", "str, not a number"),
    "CNone": ("None", "NoneType, not a number"),
    "CArray": ("np.zeros((1,))", "an array (1,), not a number"),
    "CComplex": ("1j", "complex, not a number"),
    "CBool": ("True", "bool, not a number"),
}
NOT_FINITE = {"CNan": ("float('nan')", ""), "CInf": ("float('inf')", "")}
COUNT = {
    "Few": ("np.ones((len(patches) - 1, 2))", "float64 (23, 2)"),
    "Flat": ("np.ones(len(patches))", "float64 (24,)"),
    "Text": ("np.full((len(patches), 2), 'one')", "<U3 (24, 2)"),
    "Nan": ("np.full((len(patches), 2), np.nan)", "NaN or infinite counts for 24 of 24"),
    "Inf": ("np.full((len(patches), 2), np.inf)", "NaN or infinite counts for 24 of 24"),
    "List": ("[[1, 1]] * len(patches)", "list"),
}
CLASSES = """


class Lazy:
    @property
    def shape(self):
        raise OSError("the disk is gone")

    dtype = ndim = __array__ = __len__ = __getitem__ = shape


class MUp(Metric):
    direction = "up"


class MNoDirection(Metric):
    direction = None


class MMinimum(Metric):
    def minimum_n(self, d):
        return "few"


class MUnknownEncoder(Metric):
    encoder = "no-such-encoder"


class MBounds(Metric):
    bounds = ("low", None)


class MEstimate(Metric):
    def estimate(self, real, fake, groups_real, groups_fake, rng):
        return 1.0


class MInfinite(Metric):
    def estimate(self, real, fake, groups_real, groups_fake, rng):
        return Estimate(float("inf"), None, None)


class KUp(Kept):
    directions = {"kept": "up"}


class KNothing(Kept):
    directions = {}


class KTally(Kept):
    def tally(self, counts):
        return None


class TNoMeasures(Task):
    def measures(self, classes):
        return ()


class TNone(Task):
    def measures(self, classes):
        return None


class TTally(Task):
    def tally(self, counts, classes):
        return None


class TScore(Task):
    def score(self, mix, validation, test, seed, progress):
        return None


class GProperty(Plain):
    @property
    def follows_prompt_source(self):
        raise RuntimeError("out of order")


class GFits(Plain):
    @property
    def has_fits(self):
        raise RuntimeError("out of order")

    def fit(self, train, seed, progress, work): ...
    def save(self, folder): ...
    def load(self, folder): ...


class GNoWeights(Plain):
    def fit(self, train, seed, progress, work): ...
    def save(self, folder): ...
    def load(self, folder):
        (folder / "weights.bin").read_bytes()


class GDigest(Plain):
    digest = b"no text"


class GOptions(Plain):
    def __init__(self, level: int = 100):
        self.level = object()


class ESecond(Encoder):
    def encode(self, images):
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "weights that cannot be read")


class ESilent(Encoder):
    def encode(self, images):
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no message")
        raise Odd
"""


def write_all() -> str:
    text = WORKING + CLASSES
    for base, head, cases in (
        ("Plain", "generate(self, conditions, seeds)", GENERATE),
        ("Encoder", "encode(self, images)", ENCODE),
        ("Metric", "compare(self, real, fake, rng)", {**COMPARE, **NOT_FINITE}),
    ):
        for name, (value, _) in cases.items():
            text += f"\n\nclass {name}({base}):\n    def {head}:\n        return {value}\n"
    for name, (value, _) in COUNT.items():
        made = f"Tally(('kept', 'all'), {value}, {{}})"
        text += f"\n\nclass K{name}(Kept):\n    def agree(self, patches, segmenter):\n        return {made}\n"
        made = made.replace("patches", "test").replace("kept", "right")
        text += (
            f"\n\nclass T{name}(Task):\n    def score(self, mix, validation, test, seed, progress):\n        return {made}\n"
        )
    return text


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("returns") / "returns.py"
    path.write_text(write_all())
    return path


@pytest.fixture(scope="module")
def healthy(broken: Path) -> Records:
    return measure(broken, out=broken.parent / "healthy", code=0)


OTHER_GENERATORS = {
    "GProperty": "RuntimeError: out of order",
    "GFits": "RuntimeError: out of order",
    "GNoWeights": "FileNotFoundError",
    "GDigest": "TypeError",
    "GOptions": "TypeError",
}
OTHER_ENCODERS = {"ESecond": "weights that cannot be read", "ESilent": "Odd"}
OTHER_METRICS = {
    "MUp": "direction 'up'",
    "MNoDirection": "direction None",
    "MMinimum": "TypeError",
    "MUnknownEncoder": "'no-such-encoder', which does not exist",
    "MBounds": "bounds ('low', None)",
    "MEstimate": "float, not a bench.statistics.Estimate",
    "MInfinite": "gave inf",
    "KUp": "direction 'up'",
    "KNothing": "declares no measure",
    "KTally": "NoneType",
}
OTHER_TASKS = {
    "TNoMeasures": "are ()",
    "TNone": "NoneType",
    "TTally": "NoneType",
    "TScore": "NoneType",
}


@pytest.mark.parametrize("name", [*GENERATE, *OTHER_GENERATORS])
@pytest.mark.parametrize("role", ["asked", "control"])
def test_of_a_generator(broken: Path, healthy: Records, tmp_path: Path, name: str, role: str) -> None:
    words = ("-g", name) if role == "asked" else ("-g", "noise", "--controls", f"real,{name}")
    found = measure(broken, *words, out=tmp_path, code=4)
    assert {key for key in found if key[0] in ("own", "real")} == healthy.keys()
    reason = {**{key: text for key, (_, text) in GENERATE.items()}, **OTHER_GENERATORS}[name]
    for key, record in found.items():
        if key[0] == "own" and key[1] != "fd-lower-reference":
            assert record.status == Status.ERROR and reason in record.reason, record.reason
        elif key in healthy:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)


@pytest.mark.parametrize("name", [*ENCODE, *OTHER_ENCODERS])
def test_of_an_encoder(broken: Path, tmp_path: Path, name: str) -> None:
    found = measure(broken, "-e", f"Other,{name}", out=tmp_path, code=4)
    assert {key[2] for key in found} == {"other", "own"} and len(found) == 2 * 2 * 4
    reason = {**{key: text for key, (_, text) in ENCODE.items()}, **OTHER_ENCODERS}[name]
    for key, record in found.items():
        if key[2] == "own":
            assert record.status == Status.ERROR and reason in record.reason, record.reason
        else:
            assert record.status == Status.OK


@pytest.mark.parametrize("name", [*COMPARE, *(f"K{count}" for count in COUNT), *OTHER_METRICS])
def test_of_a_metric(broken: Path, healthy: Records, tmp_path: Path, name: str) -> None:
    found = measure(broken, "-m", f"fd,{name}", out=tmp_path, code=4)
    reason = {
        **{key: text for key, (_, text) in COMPARE.items()},
        **{f"K{key}": text for key, (_, text) in COUNT.items()},
        **OTHER_METRICS,
    }[name]
    own = {key for key in found if not key[1].startswith("fd")}
    assert {key[0] for key in own} == {"own", "real"}
    for key, record in found.items():
        if key in own:
            assert record.status == Status.ERROR and reason in record.reason, record.reason
        else:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)


@pytest.mark.parametrize("name", [*(f"T{count}" for count in COUNT), *OTHER_TASKS])
def test_of_a_task(broken: Path, healthy: Records, tmp_path: Path, name: str) -> None:
    found = measure(broken, "-t", name, out=tmp_path, code=4)
    reason = {**{f"T{key}": text for key, (_, text) in COUNT.items()}, **OTHER_TASKS}[name]
    assert {key[3] for key in found} == {"", "real", "synthetic", "real+synthetic"}
    for key, record in found.items():
        if key[3]:
            assert record.status == Status.ERROR and reason in record.reason, record.reason
        else:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)


@pytest.mark.parametrize("name", ["CNan", "CInf"])
def test_a_metric_without_a_finite_value_is_skipped_with_the_reason(
    broken: Path, healthy: Records, tmp_path: Path, name: str
) -> None:
    found = measure(broken, "-m", f"fd,{name}", out=tmp_path, code=0)
    for key, record in found.items():
        if key[1] == "own":
            assert record.status == Status.SKIPPED and "no finite value" in record.reason
        else:
            assert record.value == healthy[key].value


def test_every_record_of_a_broken_plugin_can_be_read_back_and_tables_give_the_reason(broken: Path, tmp_path: Path) -> None:
    measure(broken, "-m", "fd,MUp", out=tmp_path, code=4)
    (table,) = tmp_path.glob("*/table.txt")
    assert "error(ValueError)" in table.read_text() and "direction 'up'" in table.read_text()
    done = small_run.bench("leaderboard", "--results", tmp_path, home=broken.parent / "home")
    assert done.exit_code == 0, done.stderr


def test_layouts_of_the_wrong_kind(broken: Path, tmp_path: Path) -> None:
    """What generators make of them has no number, what needs no layouts has one."""
    for number, (value, reason) in enumerate(
        {
            "None": "NoneType, not Conditions",
            "replace(asked, masks=asked.masks.astype(np.int64))": "masks is int64",
            "replace(asked, masks=asked.masks[:, :8])": "(24, 8, 64)",
            "replace(asked, masks=asked.masks[1:])": "masks is uint8 (23, 64, 64)",
            "replace(asked, masks=np.full_like(asked.masks, 99))": "classes beyond",
            "asked[list(range(len(asked)))[::-1]]": "other ids or groups",
        }.items()
    ):
        plugin = tmp_path / f"layouts{number}.py"
        plugin.write_text(
            "from dataclasses import replace\nimport numpy as np\nfrom bench.types import Card\n"
            "class Mine:\n    card = Card('mine', '1', 'Layouts.', needs=('masks', 'instances', 'types'))\n"
            f"    def sample(self, asked, seeds):\n        return {value}\n"
        )
        done = small_run.bench(
            *("run", "-g", "flat-colour", "-t", "lizard-nuclei", "--layout-generator", f"{plugin}:Mine", "--no-downstream"),
            *("-e", "stain", "-m", "kid", "--controls", "real", "--seeds", "0", "--json", "--out", tmp_path),
            *small_run.SMALL,
            home=broken.parent / "home",
        )
        assert done.exit_code == 4, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        of_layouts = [
            line for line in lines if line["generator"].endswith("mine") and line["measure"] != "kid-lower-reference"
        ]
        assert of_layouts and all(line["status"] == "error" and reason in line["reason"] for line in of_layouts), of_layouts
        assert all(line["status"] == "ok" for line in lines if line["generator"] == "real" and line["measure"] == "kid")

"""A plug-in that breaks anywhere costs its own records: the others have the values of a run in which nothing broke."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import schema
from bench.results.terms import Status
from tests import small_run
from tests.bench.broken_plugins import WORKING

BROKEN = (
    WORKING
    + """

class Init(Plain):
    def __init__(self, level: int = 100):
        raise RuntimeError("out of order")


class InitExit(Plain):
    def __init__(self, level: int = 100):
        sys.exit("out of order")


class Undescribed(Plain):
    def __init__(self, level: int = 100):
        pass  # lacks the attribute of its option

    def generate(self, conditions, seeds):
        raise AssertionError("is not asked")


class Digest(Plain):
    @property
    def digest(self):
        raise RuntimeError("out of order")


class Seeds(Plain):
    def set_seeds(self):
        raise RuntimeError("out of order")

    def of_seed(self, seed):
        return self


class Conditions(Plain):
    def check_conditions(self, ids):
        raise RuntimeError("out of order")


class Fit(Plain):
    def fit(self, train, seed, progress, work):
        raise RuntimeError("out of order")

    def save(self, folder): ...
    def load(self, folder): ...


class Shipped(Fit):
    def shipped(self, train_key):
        raise RuntimeError("out of order")


class Exit(Plain):
    def generate(self, conditions, seeds):
        sys.exit(0)


class Encoder:
    card = Card("own", "1", "An encoder that works.")
    dim = 3

    def encode(self, images):
        return images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32)


class Other(Encoder):
    card = Card("other", "1", "An encoder that works.")


class EncoderRaises(Encoder):
    def encode(self, images):
        raise RuntimeError("out of order")


class EncoderInit(Encoder):
    def __init__(self):
        raise RuntimeError("out of order")


class Metric:
    card = Card("own", "1", "A metric that works.")
    direction = "lower"

    def minimum_n(self, d):
        return 2

    def compare(self, real, fake, rng):
        return float(abs(real.mean() - fake.mean()))


class MetricInit(Metric):
    def __init__(self):
        raise RuntimeError("out of order")


class MetricDirection(Metric):
    @property
    def direction(self):
        raise RuntimeError("out of order")


class MetricMinimum(Metric):
    def minimum_n(self, d):
        raise RuntimeError("out of order")


class Kept:
    card = Card("own", "1", "A condition metric that does not say what it measures.")

    @property
    def directions(self):
        raise RuntimeError("out of order")

    def learn(self, train, validation, seed, progress, folder): ...
    def agree(self, patches, folder): ...
    def tally(self, counts): ...


class TaskInit:
    card = Card("own", "1", "A task that cannot be built.")
    direction = "higher"
    embedded = "phantom-cam16"
    readers = ("folder",)
    mixes = TRAINING_MIXES

    def __init__(self):
        raise RuntimeError("out of order")

    def score(self, mix, validation, test, seed, progress): ...
    def tally(self, counts, classes): ...
    def measures(self, classes): ...
"""
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broken") / "broken.py"
    path.write_text(BROKEN)
    return path


def measure(broken: Path, *words: str, out: Path, code: int) -> dict[tuple[str, ...], schema.ResultRecord]:
    """Records by generator, measure, encoder and mix; what is not given works. All runs have one store."""
    given = dict(zip(words[::2], words[1::2], strict=True))
    defaults = {"-g": "Plain", "-t": "cam16-seg", "-e": "Encoder", "-m": "fd,Metric", "--controls": "real"}
    values = {name: given.get(name, value) for name, value in defaults.items()}
    named = [
        part
        for name, value in values.items()
        for part in (name, ",".join(f"{broken}:{word}" if word[0].isupper() else word for word in value.split(",")))
    ]
    rest = [] if "-t" in given else ["--no-downstream"]
    done = small_run.bench(
        "run", *named, *rest, *small_run.SMALL, "--seeds", "0", "--workers", "1", "--out", out, home=broken.parent / "home"
    )
    assert done.exit_code == code, done.stderr
    records = list(schema.read([Path(done.stdout.splitlines()[-1]) / "results.jsonl"]))
    found = {(r.generator, r.measure, r.encoder, r.mix): r for r in records}
    assert len(found) == len(records)
    return found


@pytest.fixture(scope="module")
def healthy(broken: Path) -> dict[tuple[str, ...], schema.ResultRecord]:
    found = measure(broken, out=broken.parent / "healthy", code=0)
    assert {record.status for record in found.values()} == {Status.OK}
    return found


REASONS = {
    "InitExit": "SystemExit: out of order",
    "Undescribed": "AttributeError: 'Undescribed' object has no attribute 'level'",
    "Exit": "SystemExit: 0",
}
"""All others raise this:"""
REASON = "RuntimeError: out of order"


@pytest.mark.parametrize(
    "name", ["Init", "InitExit", "Undescribed", "Digest", "Seeds", "Conditions", "Fit", "Shipped", "Exit"]
)
@pytest.mark.parametrize("role", ["asked", "control"])
def test_a_generator_that_breaks_costs_its_own_records(
    broken: Path, healthy: dict[tuple[str, ...], schema.ResultRecord], tmp_path: Path, name: str, role: str
) -> None:
    words = ("-g", name) if role == "asked" else ("-g", "noise", "--controls", f"real,{name}")
    found = measure(broken, *words, out=tmp_path, code=4)
    assert {key for key in found if key[0] in ("own", "real")} == healthy.keys()
    for key, record in found.items():
        if key[0] == "own" and key[1] != "fd-lower-reference":  # which is of real patches alone
            assert (record.status, record.reason) == (Status.ERROR, REASONS.get(name, REASON))
            assert record.protocol == healthy[key].protocol
        elif key in healthy:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)


@pytest.mark.parametrize("name", ["EncoderRaises", "EncoderInit"])
def test_an_encoder_that_breaks_costs_its_own_records(broken: Path, tmp_path: Path, name: str) -> None:
    found = measure(broken, "-e", f"Other,{name}", out=tmp_path, code=4)
    assert {key[2] for key in found} == {"other", "own"} and len(found) == 2 * 2 * 4
    for key, record in found.items():
        expected = (Status.ERROR, REASON) if key[2] == "own" else (Status.OK, "")
        assert (record.status, record.reason) == expected


@pytest.mark.parametrize("name", ["MetricInit", "MetricDirection", "MetricMinimum", "Kept"])
def test_a_metric_that_breaks_costs_its_own_records(
    broken: Path, healthy: dict[tuple[str, ...], schema.ResultRecord], tmp_path: Path, name: str
) -> None:
    found = measure(broken, "-m", f"fd,{name}", out=tmp_path, code=4)
    own = {key[:2] for key in found if key[1] == "own"}
    assert own == {("own", "own"), ("real", "own")}
    for key, record in found.items():
        if key[1] == "own":
            assert (record.status, record.reason) == (Status.ERROR, REASON)
        else:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)


def test_a_task_that_breaks_costs_its_own_records(
    broken: Path, healthy: dict[tuple[str, ...], schema.ResultRecord], tmp_path: Path
) -> None:
    found = measure(broken, "-t", "TaskInit", out=tmp_path, code=4)
    assert {key[3] for key in found} == {"", "real", "synthetic", "real+synthetic"}
    for key, record in found.items():
        if key[3]:
            assert (record.status, record.reason, record.measure) == (Status.ERROR, REASON, "own")
        else:
            assert (record.status, record.value) == (Status.OK, healthy[key].value)

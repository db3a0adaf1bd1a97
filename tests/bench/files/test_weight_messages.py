"""Messages about weights that cannot be read never advise to run the code in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch

from bench.errors import DamagedError
from bench.jobs.outcomes import failure_of
from bench.jobs.store import EntryRef
from bench.messages import describe_error
from generators.nasdm import published
from metrics.encoders.loaders.checkpoints import read


class Other:
    """What a file of tensors must not hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("ran",)


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


FILES = {
    "a network": saved({"a": torch.nn.Linear(2, 2)}),
    "code": saved({"a": Other()}),
    "an older pickle": pickle.dumps({"a": Other()}, protocol=2),
    "a newer pickle": pickle.dumps({"a": Other()}, protocol=4),
}
ADVICE = ("weights_only", "PyTorch 2.6", "safe_globals", "trusted", "can still be loaded", "two options", "documentation")


def assert_no_advice(text: str) -> None:
    assert text.strip() and not [words for words in ADVICE if words in text], text


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "w.pth").write_bytes(FILES[request.param])
    return tmp_path / "w.pth"


def refusal(file: Path) -> Exception:
    with pytest.raises(Exception) as found:
        torch.load(file, weights_only=True)
    return found.value


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_itself_gives_the_advice(file: Path) -> None:
    assert "weights_only" in str(refusal(file))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_errors_about_weights_give_no_advice(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DamagedError) as found:
        published.read(file)
    assert_no_advice(str(found.value))
    with pytest.raises(DamagedError) as other:
        read("net", file)
    assert_no_advice(str(other.value))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reasons_of_records_and_logs_give_no_advice(file: Path) -> None:
    """Also where a plug-in lets torch's own error pass."""
    error = failure_of(EntryRef("weights", "k"), refusal(file)).error
    assert_no_advice(error.message)
    calls = [line for line in error.traceback.splitlines() if line.startswith("  ")]  # lines of source that are shown
    assert_no_advice("\n".join(line for line in error.traceback.splitlines() if line not in calls))


def test_other_errors_keep_their_words() -> None:
    assert describe_error(ValueError("weights are\n cut short.")) == "weights are cut short."
    assert describe_error(ValueError()) == "ValueError"

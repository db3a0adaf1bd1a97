"""Asking for weights: what servers may answer, and what is reported of it. No network is needed."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.errors import BenchError, DamagedError, GatedError, MissingError
from metrics.encoders import weights
from metrics.encoders.weights import Hub, Nowhere, Url, unreachable

SECRET = "hf_aSecretThatNobodyMaySee"
OPEN = Hub("owner/model", ("model.safetensors", "pytorch_model.bin"))
SHUT = Hub("owner/model", ("model.safetensors",), gated=True)


@pytest.fixture
def online(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that can be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights, "unreachable", lambda address: "")


def answers(monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | str) -> list[str]:
    """Lets the hub's client answer so, one request after the other; returns the files that were asked for."""
    asked: list[str] = []
    left = list(outcomes)

    def download(repository: str, file: str, **options: object) -> str:
        asked.append(file)
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return asked


def refusal(kind: str, status: int) -> Exception:
    import huggingface_hub.errors

    response: Any = SimpleNamespace(status_code=status, headers={}, request=SECRET)
    found: Exception = getattr(huggingface_hub.errors, kind)(f"{status} for {SECRET}", response=response)
    return found


@pytest.mark.parametrize(
    ("origin", "kind", "status", "error"),
    [
        (SHUT, "GatedRepoError", 401, GatedError),
        (OPEN, "GatedRepoError", 403, GatedError),
        (OPEN, "HfHubHTTPError", 403, GatedError),
        (SHUT, "RepositoryNotFoundError", 401, GatedError),
        (OPEN, "RepositoryNotFoundError", 401, MissingError),
        (OPEN, "HfHubHTTPError", 500, MissingError),
    ],
)
def test_refusals_are_distinguished_and_show_no_token(
    origin: Hub, kind: str, status: int, error: type[BenchError], online: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, refusal(kind, status))
    with pytest.raises(error, match="encoder.*https://huggingface.co/owner/model.*-o weights=FILE") as text:
        origin.fetch("encoder")
    assert type(text.value) is error
    assert SECRET not in str(text.value)
    assert text.value.__cause__ is None and text.value.__suppress_context__


def test_names_are_tried_in_turn(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, refusal("RemoteEntryNotFoundError", 404), "/cache/pytorch_model.bin")
    assert OPEN.fetch("encoder") == Path("/cache/pytorch_model.bin")
    assert asked == ["model.safetensors", "pytorch_model.bin"]
    answers(monkeypatch, *[refusal("RemoteEntryNotFoundError", 404)] * 2)
    with pytest.raises(MissingError, match="owner/model has none of model.safetensors, pytorch_model.bin"):
        OPEN.fetch("encoder")


def test_what_lies_beside_is_fetched_first_and_may_be_absent(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Hub("owner/model", ("model.safetensors",), beside=("config.json",))
    asked = answers(monkeypatch, refusal("RemoteEntryNotFoundError", 404), "/cache/model.safetensors")
    assert beside.fetch("encoder") == Path("/cache/model.safetensors")
    assert asked == ["config.json", "model.safetensors"]


def test_a_line_that_breaks_is_missing(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    for outcome in (LocalEntryNotFoundError("no answer"), OSError("disk full")):
        answers(monkeypatch, outcome)
        with pytest.raises(MissingError, match="did not arrive"):
            OPEN.fetch("encoder")


def test_offline_nobody_is_asked(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch)
    with pytest.raises(MissingError, match="encoder: no weights here, and .* was not asked: HF_HUB_OFFLINE is set"):
        OPEN.fetch("encoder")
    with pytest.raises(GatedError, match="set HF_TOKEN"):
        SHUT.fetch("encoder")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: SECRET)
    with pytest.raises(MissingError, match="was not asked") as text:  # access may have been granted: that is not the trouble
        SHUT.fetch("encoder")
    assert not isinstance(text.value, GatedError) and SECRET not in str(text.value)
    with pytest.raises(MissingError, match="encoder comes without weights"):
        Nowhere("https://example.org").fetch("encoder")
    assert asked == []


def test_a_dead_network_costs_once() -> None:
    unreachable.cache_clear()
    began = time.monotonic()
    text = {unreachable("http://127.0.0.1:9/") for _ in range(50)}
    assert len(text) == 1 and "no answer" in text.pop()
    assert unreachable.cache_info().misses == 1
    assert time.monotonic() - began < 2 * weights.PATIENCE


class Folder(http.server.BaseHTTPRequestHandler):
    """Serves one file, and says 404 to HEAD."""

    content = b"weights"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def folder(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    unreachable.cache_clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_at_an_address_is_kept_if_its_digest_is_that_of_its_name(folder: str, tmp_path: Path) -> None:
    right = Url(f"{folder}/net-{hashlib.sha256(Folder.content).hexdigest()[:8]}.pth", "https://example.org")
    assert right.cached() is None
    assert right.fetch("encoder").read_bytes() == Folder.content
    assert right.cached() == right.fetch("encoder")
    assert right.cached().is_relative_to(tmp_path)  # type: ignore[union-attr]
    wrong = Url(f"{folder}/net-00000000.pth", "https://example.org")
    with pytest.raises(DamagedError, match="encoder: what .* sends has sha256"):
        wrong.fetch("encoder")
    assert wrong.cached() is None
    assert [path.name for path in right.cached().parent.iterdir()] == [right.files[0]]  # type: ignore[union-attr]


def test_an_address_that_does_not_answer_is_missing(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Url("http://127.0.0.1:9/net-00000000.pth", "https://example.org")
    with pytest.raises(MissingError, match="was not asked: HF_HUB_OFFLINE is set"):
        dead.fetch("encoder")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(MissingError, match="was not asked: no answer"):
        dead.fetch("encoder")

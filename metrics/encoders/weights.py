"""Sources of published weights: the Hugging Face hub, or an address. Requests time out, and errors never show a token."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from bench.errors import DamagedError, GatedError, MissingError

PATIENCE = 5.0
"""Seconds within which a server must answer."""
ELSEWHERE = "Or give a file that you have: -o weights=FILE."


class Origin(Protocol):
    """Published files. `files` are tried in their order."""

    @property
    def files(self) -> tuple[str, ...]: ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names under which the publisher gave the same weights: looked for in folders."""
        ...

    @property
    def gated(self) -> bool: ...

    @property
    def name(self) -> str: ...

    @property
    def page(self) -> str: ...

    def cached(self) -> Path | None:
        """The file of an earlier download, or None; contacts no server."""
        ...

    def fetch(self, name: str) -> Path:
        """The file, downloaded if necessary. `name` is the name of the encoder in errors."""
        ...


@dataclass(frozen=True)
class Nowhere:
    """Weights without a source for download."""

    page: str
    name: str = "none"
    gated: bool = False
    files: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def cached(self) -> Path | None:
        return None

    def fetch(self, name: str) -> Path:
        raise MissingError(f"{name} comes without weights. {ELSEWHERE}")


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub."""

    repository: str
    files: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")
    aliases: tuple[str, ...] = ()
    gated: bool = False
    """Whether access needs permission of the owner. The answer of a server has priority."""
    beside: tuple[str, ...] = ()
    """Small files that its loader reads beside the weights, if they exist."""
    kind: str = "model"
    revision: str | None = None

    @property
    def name(self) -> str:
        return self.repository

    @property
    def page(self) -> str:
        place = {"model": "", "dataset": "datasets/", "space": "spaces/"}[self.kind]
        return f"https://huggingface.co/{place}{self.repository}"

    def cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        for file in self.files:
            found = try_to_load_from_cache(self.repository, file, revision=self.revision, repo_type=self.kind)
            if isinstance(found, str):
                return Path(found)
        return None

    def fetch(self, name: str) -> Path:
        if found := self.cached():
            return found
        self._reachable(name)
        for file in self.beside:
            self._download(name, file)
        for file in self.files:
            if found := self._download(name, file):
                return found
        raise MissingError(f"{name}: {self.page} has none of {', '.join(self.files)}. {ELSEWHERE}")

    def _reachable(self, name: str) -> None:
        from huggingface_hub import constants, get_token

        silence = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
        if silence and self.gated and get_token() is None:
            raise denial(self, name)
        if silence:
            raise MissingError(f"{name}: no weights here, and {self.page} was not asked: {silence}. {ELSEWHERE}")

    def _download(self, name: str, file: str) -> Path | None:
        """The file in the hub's cache, or None where the repository has no such file."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

        try:
            found = hf_hub_download(self.repository, file, revision=self.revision, repo_type=self.kind, etag_timeout=PATIENCE)
        except LocalEntryNotFoundError as error:  # raised by the client if there is no answer
            raise MissingError(f"{name}: {file} of {self.page} did not arrive. {ELSEWHERE}") from error
        except EntryNotFoundError:
            return None
        except HfHubHTTPError as error:
            status = getattr(error.response, "status_code", None)
            if isinstance(error, GatedRepoError) or status == 403 or (status == 401 and self.gated):
                raise denial(self, name) from None  # the client's message may contain the request
            raise MissingError(f"{name}: {self.page} answers {status or type(error).__name__}. {ELSEWHERE}") from None
        except OSError as error:
            raise MissingError(f"{name}: {file} of {self.page} did not arrive ({error}). {ELSEWHERE}") from error
        return Path(found)


@dataclass(frozen=True)
class Url:
    """One file at an address, kept where torch keeps its own. Its name ends in the first digits of its sha256."""

    address: str
    page: str
    gated: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.page.rpartition("/")[2]

    @property
    def files(self) -> tuple[str, ...]:
        return (self.address.rpartition("/")[2],)

    def cached(self) -> Path | None:
        return self._place if self._place.is_file() else None

    def fetch(self, name: str) -> Path:
        if found := self.cached():
            return found
        silence = "HF_HUB_OFFLINE is set" if _offline() else unreachable(self.address)
        if silence:
            raise MissingError(f"{name}: no weights here, and {self.address} was not asked: {silence}. {ELSEWHERE}")
        self._place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._place.parent, delete=False) as part:
            try:
                with urlopen(self.address, timeout=PATIENCE) as answer:
                    shutil.copyfileobj(answer, part)
                part.flush()
                self._check(name, Path(part.name))
                Path(part.name).replace(self._place)
            except OSError as error:
                raise MissingError(f"{name}: {self.address} did not arrive ({error}). {ELSEWHERE}") from error
            finally:
                Path(part.name).unlink(missing_ok=True)
        return self._place

    def _check(self, name: str, part: Path) -> None:
        with part.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        wanted = self._place.stem.rpartition("-")[2]
        if not digest.startswith(wanted):
            raise DamagedError(f"{name}: what {self.address} sends has sha256 {digest[:8]}..., not {wanted}...")

    @property
    def _place(self) -> Path:
        from torch.hub import get_dir

        return Path(get_dir()) / "checkpoints" / self.files[0]


def denial(origin: Origin, name: str) -> GatedError:
    """The error for gated weights, with what to do."""
    return GatedError(f"{name} is gated: ask for access on {origin.page} and set HF_TOKEN to your token. {ELSEWHERE}")


def absent(origin: Origin, name: str) -> MissingError:
    """The error for weights that are not downloaded yet; contacts no server."""
    if origin.gated:
        return denial(origin, name)
    return MissingError(f"{name} is not here yet: it is fetched from {origin.page} when it is first used. {ELSEWHERE}")


@cache
def unreachable(address: str) -> str:
    """Why a server does not answer, or "" if it does. Tested once in a process, so that only one call waits for a timeout."""
    try:
        urlopen(Request(address, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return ""  # it answers
    except URLError as error:
        return f"no answer ({error.reason})"
    except OSError as error:
        return f"no answer ({error})"
    return ""


@contextmanager
def local_only() -> Iterator[None]:
    """A context in which libraries that contact the hub by themselves use only cached files."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)

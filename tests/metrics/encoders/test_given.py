"""`bench features` and `bench run --features`: features that were computed before give the same numbers, or a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.errors import DamagedError, MissingError, UsageError
from bench.results import schema
from bench.results.schema import ResultRecord
from metrics.encoders.given import FeatureFile, read_features
from tests.small_run import SMALL, bench, run

RUN = ["-g", "flat-colour", "-t", "cam16-seg", "--no-downstream", "-m", "fd", "--controls", "none", "--seeds", "0", *SMALL]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a run by `stain`, and the features of its real and generated patches in a folder."""
    place = tmp_path_factory.mktemp("given")
    plain = run(*RUN, "-e", "stain", home=place / "home", out=place / "plain")
    for words in (
        ["export", "samples", plain, "--out", place / "samples"],
        ["features", "-e", "stain", "--data", place / "samples", "--out", place / "features/generated.npz"],
        ["features", "-e", "stain", "--data", "embedded", "-t", "cam16-seg", "--out", place / "features/real.npz", *SMALL],
    ):
        done = bench(*words, home=place / "home")
        assert done.exit_code == 0, done.stderr
    return place


def fd(folder: Path) -> ResultRecord:
    (found,) = [one for one in schema.read([next(folder.rglob("results.jsonl"))]) if one.measure == "fd"]
    return found


def test_given_features_give_the_same_number_and_their_precision_is_in_the_protocol(place: Path, tmp_path: Path) -> None:
    run(*RUN, "-e", "none", "--features", place / "features", home=place / "home", out=tmp_path / "given")
    given, plain = fd(tmp_path / "given"), fd(place / "plain")
    assert given.value == plain.value and (given.encoder, plain.encoder) == ("stain", "stain")
    assert given.described["encoder"]["given"]["precision"] == "float32" and given.protocol != plain.protocol
    half = tmp_path / "half"
    half.mkdir()
    for name in ("real", "generated"):
        held = read_features(place / f"features/{name}.npz")
        rounded = held.features.astype(np.float16).astype(np.float32)
        replace(held, features=rounded, about={**held.about, "precision": "float16"}).write(half / f"{name}.npz")
    run(*RUN, "-e", "none", "--features", half, home=place / "home", out=tmp_path / "other")
    assert fd(tmp_path / "other").value != plain.value and fd(tmp_path / "other").protocol != given.protocol


def test_files_of_one_encoder_are_one_protocol_and_keys_follow_their_content(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    for name in ("real", "generated"):
        held = read_features(place / f"features/{name}.npz")
        replace(held, features=held.features * np.float32(2)).write(folder / f"{name}.npz")
    one, other = (registry.load("encoders", f"given:{path}") for path in (place / "features", folder))
    assert registry.describe(one) == registry.describe(other) and one.content != other.content
    run(*RUN, "-e", "none", "--features", folder, home=place / "home", out=tmp_path / "out")
    assert fd(tmp_path / "out").value != fd(place / "plain").value


def test_images_without_features_are_counted(place: Path, tmp_path: Path) -> None:
    words = [*RUN, "-e", "none", "--features", place / "features/real.npz"]
    done = bench("run", *words, "--out", tmp_path / "out", home=place / "home")
    record = fd(tmp_path / "out")
    assert record.status == "skipped" and "has no features of 24 of 24 images" in record.reason, done.stderr


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": np.full((2, 3), np.nan, np.float32)}, DamagedError, "2 of 2 rows of features have NaN"),
        ({"features": np.zeros((3, 3), np.float32)}, DamagedError, "3 features and 2 images"),
        ({"features": np.zeros((2, 3, 1), np.float32)}, DamagedError, r"not floats \(n, d\)"),
        ({"about": {"encoder": "stain"}}, DamagedError, "about states encoder, version, weights, precision"),
    ],
)
def test_files_that_fit_nothing_are_refused(
    change: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    two = np.array(["a", "b"])
    about = {"encoder": "stain", "version": "1", "weights": "", "precision": "float32"}
    held = FeatureFile(np.zeros((2, 3), np.float32), two, two, two, about)
    replace(held, **change).write(tmp_path / "one.npz")  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        read_features(tmp_path / "one.npz")


def test_folders_of_several_encoders_and_other_files_are_refused(place: Path, tmp_path: Path) -> None:
    held = read_features(place / "features/real.npz")
    held.write(tmp_path / "a.npz")
    replace(held, about={**held.about, "encoder": "texture"}).write(tmp_path / "b.npz")
    with pytest.raises(UsageError, match="differ in encoder: 'stain' and 'texture'"):
        registry.load("encoders", f"given:{tmp_path}")
    replace(held, features=held.features[:, :3]).write(tmp_path / "b.npz")
    with pytest.raises(DamagedError, match="of 3 and 12 columns"):
        _ = registry.load("encoders", f"given:{tmp_path}").dim
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    with pytest.raises(DamagedError, match="is no file of features"):
        read_features(tmp_path / "c.npz")
    with pytest.raises(MissingError):
        registry.load("encoders", f"given:{tmp_path / 'absent.npz'}")


def test_what_is_written_is_checked_first(tmp_path: Path) -> None:
    words = ["features", "-e", "stain", "--data", tmp_path]
    assert bench(*words, "--out", tmp_path / "x.csv", home=tmp_path / "home").exit_code == 2
    assert bench(*words, "--out", tmp_path / "x.npz", home=tmp_path / "home").exit_code == 3
    wrong = bench(*words, "--out", tmp_path / "x.npz", "-o", "dataset.size=9", home=tmp_path / "home")
    assert wrong.exit_code == 2 and "with --task alone" in wrong.stderr

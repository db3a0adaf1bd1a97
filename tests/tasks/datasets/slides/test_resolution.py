"""Microns per pixel: the order of sources, the override, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import DamagedError, MissingError, UsageError
from tasks.datasets.slides.phantom_files import write_pyramid
from tasks.datasets.slides.reader import open_slide
from tasks.datasets.slides.resolution import find_mpp
from tests.tasks.datasets.slides.test_reader import picture

HERE = Path("s.svs")
ALL = {
    "openslide.mpp-x": "0.25",
    "openslide.mpp-y": "0.25",
    "aperio.MPP": "0.26",
    "hamamatsu.XResolution": "40000",
    "openslide.comment": "Aperio|AppMag = 20|MPP = 0.4990|Left = 25",
    "tiff.XResolution": "50800",
    "tiff.YResolution": "50800",
    "tiff.ResolutionUnit": "inch",
}


def test_sources_are_taken_in_order() -> None:
    left = dict(ALL)
    expected = [
        ("openslide.mpp-x", 0.25),
        ("aperio.MPP", 0.26),
        ("hamamatsu.XResolution", 0.25),
        ("openslide.comment", 0.499),
        ("tiff.XResolution", 0.5),
    ]
    for name, mpp in expected:
        found = find_mpp(HERE, left)
        assert (found.source, found.mpp) == (name, pytest.approx(mpp))
        left = {key: value for key, value in left.items() if key != name and key != name.replace("x", "y")}
    assert find_mpp(HERE, {"tiff.XResolution": "20000", "tiff.ResolutionUnit": "centimeter"}).mpp == 0.5


@pytest.mark.parametrize(
    "properties", [{}, {"openslide.mpp-x": "unknown"}, {"tiff.XResolution": "72", "tiff.ResolutionUnit": "none"}]
)
def test_a_slide_that_does_not_say_it_is_refused(properties: dict[str, str]) -> None:
    with pytest.raises(MissingError, match="s.svs does not say how many microns.*columns slide,mpp: --mpp-csv FILE"):
        find_mpp(HERE, properties)


def test_implausible_values_are_refused() -> None:
    for value in ("0.05", "4.99", "352.8"):
        with pytest.raises(
            DamagedError, match=rf"says {value} microns per pixel \(openslide.mpp-x\), and slides have 0.1 to 4"
        ):
            find_mpp(HERE, {"openslide.mpp-x": value})
    with pytest.raises(DamagedError, match="0.5 microns per pixel across and 0.52 down.*square within 2%"):
        find_mpp(HERE, {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.52"})
    assert find_mpp(HERE, {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.508"}).mpp == pytest.approx(0.504)


def test_ten_times_off_the_objective_is_refused_unless_confirmed() -> None:
    properties = {"openslide.mpp-x": "2.5", "openslide.objective-power": "40"}
    with pytest.raises(DamagedError, match="says 2.5 .* an objective of 40x, which has about 0.25.*--confirm-mpp"):
        find_mpp(HERE, properties)
    assert find_mpp(HERE, properties, confirmed=True).mpp == 2.5
    trap = {"openslide.mpp-x": "0.243", "openslide.objective-power": "20"}  # CAMELYON16, Radboud
    assert find_mpp(HERE, trap).mpp == 0.243


def test_an_override_wins_and_is_recorded() -> None:
    assert find_mpp(HERE, ALL, 0.3).source == "--mpp-csv (openslide.mpp-x says 0.25)"
    assert find_mpp(HERE, {}, 0.3).mpp == 0.3
    assert find_mpp(HERE, {"openslide.mpp-x": "352"}, 0.3).mpp == 0.3
    with pytest.raises(UsageError, match=r"5 microns per pixel were given for s.svs, and slides have 0.1 to 4"):
        find_mpp(HERE, ALL, 5.0)
    with pytest.raises(UsageError, match="2.5 .*the slide says 0.25 .*more than a factor of 2 away.*--confirm-mpp"):
        find_mpp(HERE, ALL, 2.5)
    assert find_mpp(HERE, ALL, 2.5, confirmed=True).mpp == 2.5


def test_the_override_changes_what_is_read(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "s.tif", picture(), 0.25)
    with open_slide(tmp_path / "s.tif", mpp=0.5) as opened:
        assert opened.size_at(1.0) == (350, 250) and opened.info.mpp == 0.5
    with open_slide(tmp_path / "s.tif", mpp=1.0, confirm_mpp=True) as opened:
        assert opened.size_at(1.0) == (700, 500)
    with pytest.raises(UsageError):
        open_slide(tmp_path / "s.tif", mpp=1.0)

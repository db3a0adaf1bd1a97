"""The report in a real browser, from a file and without a network: sorting, filtering, enlarging, a phone, the keyboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboards.report import site
from tests.leaderboards.browsing import BROWSER, CONTRAST, Visit, opened
from tests.leaderboards.small_report import material

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    made = material(root, ["middling", "best", HOSTILE], n=40)
    return site.build(
        site.ReportConfig((made.runs,), root / "out", patches=30, published=root), made.store, log=lambda text: None
    )


@pytest.fixture
def visit(browser: Any, page_file: Path) -> Iterator[Visit]:
    found = opened(browser, page_file)
    yield found
    found.page.close()
    assert not found.complaints
    assert found.requests and all(url.startswith("file:") for url in found.requests)


def names(page: Any) -> list[str]:
    return [each.inner_text() for each in page.query_selector_all("table.board tbody th") if each.is_visible()]


def test_a_heading_sorts_and_says_so(visit: Visit) -> None:
    page = visit.page
    page.select_option("#choose-measure", "fd")
    heading = page.locator("table.board thead th:visible", has_text="fd").first
    heading.locator("button").click()
    down = names(page)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending" and names(page) == down[::-1]
    assert down == ["middling", "best", HOSTILE]


def test_what_is_better_when_higher_is_sorted_from_the_top(visit: Visit) -> None:
    page = visit.page
    page.select_option("#choose-measure", "iou")
    page.locator("table.board thead th:visible button").nth(1).click()
    assert page.locator("[aria-sort=descending]").count() == 1


def test_filters_hide_rows_and_columns(visit: Visit) -> None:
    page = visit.page
    columns = page.locator("table.board thead th:visible")
    assert columns.count() == 3 and page.input_value("#choose-measure") == "fd-normalised"
    page.select_option("#choose-measure", "")
    assert columns.count() == 8
    page.fill("#choose-generator", "BES")
    assert names(page) == ["best"] and page.inner_text("#shown") == "1 of 3 rows"
    page.click("#every summary")
    assert page.locator("table.long tbody tr:visible").count() == 7


def test_a_hostile_name_is_a_name(visit: Visit) -> None:
    page = visit.page
    assert HOSTILE in names(page) and page.locator("img[src=x]").count() == 0
    page.select_option("#choose-exhibit", "2")
    assert page.locator("#choose-exhibit option").nth(2).inner_text().startswith(HOSTILE)


def test_a_patch_is_enlarged_closed_and_the_focus_returns(visit: Visit) -> None:
    page = visit.page
    page.locator("#grid button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#enlarged[open] img").count() == 5
    first = page.inner_text("#enlarged-title")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#enlarged-title") != first
    page.keyboard.press("Escape")
    assert page.locator("#enlarged[open]").count() == 0
    assert page.evaluate("[...document.querySelectorAll('#grid button')].indexOf(document.activeElement)") == 1


def test_the_gallery_turns_pages_and_orders_by_measures(visit: Visit) -> None:
    page = visit.page
    assert page.locator("#grid li").count() == 24 and page.is_disabled("#previous")
    page.click("#next")
    assert page.locator("#grid li").count() == 6 and page.is_disabled("#next")
    page.select_option("#choose-order", label="farthest from its real patch")
    shown = page.eval_on_selector_all("#grid .tag.says:nth-of-type(4)", "all => all.map(each => parseFloat(each.textContent))")
    assert len(shown) == 24 and shown == sorted(shown, reverse=True)
    page.select_option("#choose-order", label="closest to its real patch")
    assert page.locator("#grid li").first.inner_text().count("from its real patch") == 1


def test_pictures_load_and_only_those_that_are_near(visit: Visit) -> None:
    page = visit.page
    page.locator("#grid img").first.scroll_into_view_if_needed()
    shown = page.locator("#grid img").first
    until = time.monotonic() + 20
    # not `wait_for_function`: it asks for eval again where the first look was too early, which the page forbids
    while (width := shown.evaluate("image => image.naturalWidth")) == 0 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert width == 32
    assert page.locator("#grid img:not([loading=lazy])").count() == 0


def test_a_phone_scrolls_tables_inside_their_boxes(browser: Any, page_file: Path) -> None:
    found = opened(browser, page_file, viewport={"width": 360, "height": 740})
    found.page.select_option("#choose-measure", "")
    for details in found.page.query_selector_all("details > summary"):
        details.click()
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert found.page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.scroll'))")
    found.page.locator("#grid button").first.click()
    assert found.page.evaluate("document.getElementById('enlarged').getBoundingClientRect().width") <= 360
    found.page.close()


def test_landmarks_headings_and_captions_are_in_order(visit: Visit) -> None:
    page = visit.page
    assert [page.locator(name).count() for name in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    levels = page.eval_on_selector_all("main h2, main h3, h1", "all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption)")
    assert page.evaluate("[...document.querySelectorAll('select, input')].every(field => field.labels.length)")
    assert page.evaluate("[...document.querySelectorAll('img')].every(image => image.alt)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(browser: Any, page_file: Path, scheme: str) -> None:
    found = opened(browser, page_file, color_scheme=scheme)
    paper = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert found.page.evaluate(CONTRAST) == []
    found.page.close()


@pytest.mark.slow
def test_twenty_generators_and_five_thousand_patches(browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = material(tmp_path, [f"generator-{i:02d}" for i in range(20)], n=250)
    began, worked = time.perf_counter(), time.process_time()
    file = site.build(
        site.ReportConfig((made.runs,), tmp_path / "out", patches=250, published=tmp_path), made.store, log=lambda text: None
    )
    took = f"built in {time.process_time() - worked:.1f} s of a core ({time.perf_counter() - began:.1f} s)"
    found = opened(browser, file)
    loaded = found.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    began = time.perf_counter()
    found.page.fill("#choose-generator", "generator-07")
    found.page.wait_for_function("document.getElementById('shown').textContent === '1 of 20 rows'")
    filtered = time.perf_counter() - began
    size = file.stat().st_size / 1e6
    with capsys.disabled():
        print(f"\n{took}; page of {size:.1f} MB loaded in {loaded:.0f} ms; filtered in {1000 * filtered:.0f} ms")
    assert loaded < 5000 and len(found.requests) < 200
    found.page.close()

"""The page of a reader in a real browser, from a file: answers by mouse and by keyboard alone, regions, resume, export, and
what the page lets nobody know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards.studies.answers import read_answers
from leaderboards.studies.schema import REAL
from tests.leaderboards.browsing import BROWSER, CONTRAST, Visit, opened
from tests.leaderboards.studies.small_study import SIZE, Made, make

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("study"))


def start(visit: Visit, name: str) -> Any:
    visit.page.fill("#reader", name)
    visit.page.press("#reader", "Enter")
    return visit.page


def end(visit: Visit) -> None:
    """Nothing was complained of, and nothing but the page and its own data was asked for."""
    visit.page.close()
    assert not visit.complaints
    assert visit.requests and all(url.startswith(("file:", "data:", "blob:")) for url in visit.requests)


def contrast_of(page: Any) -> int:
    """What a reader can see: the largest value in the image on the screen, as a score from 1 to 3."""
    page.wait_for_function("document.getElementById('image').complete && document.getElementById('image').naturalWidth")
    largest = page.evaluate("""() => {
      const image = document.getElementById("image"), canvas = document.createElement("canvas");
      canvas.width = canvas.height = image.naturalWidth;
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return Math.max(...context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 < 3));
    }""")
    return 3 if largest > 200 else 2 if largest else 1


def read_by_mouse(page: Any, count: int, score: Any) -> None:
    """Clicks an answer to every question about each image."""
    for _ in range(count):
        seen = contrast_of(page)
        for question in ("overall", "structure", "nuclei"):
            page.check(f"input[name={question}][value='{score(seen)}']", force=True)
        page.check("input[name=hallucination][value='0']", force=True)
        page.check(f"input[name=synthetic][value='{int(seen < 3)}']", force=True)
        page.click("#next")


def save(page: Any, file: Path) -> Path:
    with page.expect_download() as found:
        page.click("#save")
    found.value.save_as(file)
    return file


def test_three_readers_read_by_mouse_and_keyboard_and_are_joined(browser: Any, made: Made, tmp_path: Path) -> None:
    """One reader scores what is there, one the opposite, one answers 2 by the keyboard alone: the table has just that."""
    files, count = [], len(made.key.orders["reader-1"])
    for reader, score in ((1, lambda seen: seen), (2, lambda seen: 4 - seen)):
        visit = opened(browser, made.page(reader), **(PHONE if reader == 2 else {}))
        read_by_mouse(start(visit, f"R{reader}"), count, score)
        files.append(save(visit.page, tmp_path / f"{reader}.json"))
        end(visit)
    visit = opened(browser, made.page(3))
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "reader"
    page.keyboard.type("R3")
    page.keyboard.press("Enter")
    for _ in range(count):
        page.keyboard.type("22201")
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "end-title"
    with page.expect_download() as found:
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    found.value.save_as(tmp_path / "3.json")
    end(visit)
    table = read_answers(made.folder, [*files, tmp_path / "3.json"], made.key_file)
    overall = table[table.question == "overall"].groupby(["reader", "arm"]).value.agg(["mean", "std"])
    assert (overall["std"] == 0).all()
    truth = {REAL: 3, "ldm-hidden": 1, "paste-hidden": 2}
    for arm, value in truth.items():
        assert [overall.loc[(name, arm), "mean"] for name in ("R1", "R2", "R3")] == [value, 4 - value, 2]
    answered = table[table.question == "synthetic"]
    assert (answered[answered.reader == "R1"].value == (answered[answered.reader == "R1"].arm != REAL)).all()
    assert (table.groupby("reader").repeat.sum() == 4 * 5).all() and (table.seconds > 0).all()


def test_answers_are_kept_when_the_page_is_closed_and_in_a_copy(browser: Any, made: Made, tmp_path: Path) -> None:
    visit = opened(browser, made.page())
    page = start(visit, "R1")
    read_by_mouse(page, 3, lambda seen: seen)
    page.check("input[name=overall][value='5']", force=True)
    page.reload()
    assert page.inner_text("#begin") == f"Continue at image 4 of {len(made.key.orders['reader-1'])}"
    assert page.input_value("#reader") == "R1"
    page.click("#begin")
    assert page.is_checked("input[name=overall][value='5']") and not page.is_checked("input[name=nuclei][value='5']")
    page.click("summary:has-text('Keyboard')")
    with page.expect_download() as found:
        page.click("#save-copy")
    copy = tmp_path / "copy.json"
    found.value.save_as(copy)
    page.evaluate("localStorage.clear()")
    page.evaluate("state = null")
    page.reload()
    assert page.inner_text("#begin") == "Start"
    copy.with_name("edited.json").write_text(copy.read_text().replace('"R1"', '"R9"'))
    page.click("summary:has-text('saved copy')")
    page.set_input_files("#copy", copy.with_name("edited.json"))
    page.wait_for_selector("#start-message:has-text('was changed')")
    page.set_input_files("#copy", copy)
    page.wait_for_selector("#where:has-text('Image 4')")
    page.click("#back")
    assert page.locator("#questions input:checked").count() == 5
    end(visit)


def test_an_image_that_is_not_answered_is_not_left(browser: Any, made: Made) -> None:
    visit = opened(browser, made.page())
    page = start(visit, "R1")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    assert "Please answer: Tissue structure" in page.inner_text("#message")
    assert page.evaluate("document.activeElement.name") == "structure"
    assert page.inner_text("#where").startswith("Image 1 of")
    end(visit)


def test_regions_are_marked_by_mouse_touch_and_keyboard(browser: Any, made: Made) -> None:
    for how in ({}, PHONE):
        visit = opened(browser, made.page(), **how)
        page = start(visit, "R1")
        page.click("#mark")
        around = page.locator("#stage").bounding_box()
        side = around["width"]
        corner = np.array([around["x"], around["y"]])
        if how:
            client = page.context.new_cdp_session(page)
            for kind, share in (("touchStart", 0.25), ("touchMove", 0.5), ("touchMove", 0.75), ("touchEnd", None)):
                points = [] if share is None else [dict(zip("xy", (corner + share * side).tolist(), strict=True))]
                client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        else:
            page.mouse.move(*(corner + 0.25 * side).tolist())
            page.mouse.down()
            page.mouse.move(*(corner + 0.75 * side).tolist())
            page.mouse.up()
        page.wait_for_selector("#regions li")
        quarter = SIZE // 4
        box = {"x": quarter, "y": quarter, "width": 2 * quarter, "height": 2 * quarter}
        assert page.evaluate("answerOf(0).regions") == [box]
        assert page.is_checked("input[name=hallucination][value='1']")
        page.keyboard.press("m")
        for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Enter"):
            page.keyboard.press(key)
        assert page.evaluate("answerOf(0).regions[1]") == {"x": 11, "y": 11, "width": 9, "height": 8}
        assert page.locator("#boxes rect.over").count() == 2
        page.click("[aria-label='Remove region 1']")
        assert page.evaluate("answerOf(0).regions.length") == 1 and page.locator("#regions li").count() == 1
        page.keyboard.press("m")
        page.keyboard.press("Escape")
        assert page.get_attribute("#mark", "aria-pressed") == "false"
        end(visit)


def test_the_scale_bar_is_as_long_as_it_says_at_every_zoom(browser: Any, made: Made) -> None:
    visit = opened(browser, made.page())
    page = start(visit, "R1")
    for zoom in (1, 1.5, 2, 3):
        width = page.locator("#image").bounding_box()["width"]
        micron = width / (SIZE * 0.5)  # screen pixels
        says = float(page.inner_text("#scale-text").removesuffix(" µm"))
        assert page.locator("#scale-bar").bounding_box()["width"] == pytest.approx(says * micron, rel=0.02)
        assert width == pytest.approx(zoom * page.evaluate("document.getElementById('viewer').clientWidth"), rel=0.02)
        page.keyboard.press("+")
    page.keyboard.press("f")
    assert page.inner_text("#zoom-text").startswith("Zoom 1,")
    page.click("summary:has-text('Keyboard')")
    page.uncheck("#shortcuts")
    page.keyboard.press("+")
    assert page.inner_text("#zoom-text").startswith("Zoom 1,")
    end(visit)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_and_can_be_read_out(browser: Any, made: Made, width: int) -> None:
    visit = opened(browser, made.page(), viewport={"width": width, "height": 900})
    assert visit.page.evaluate(CONTRAST) == []
    page = start(visit, "R1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert page.locator("fieldset").count() == page.locator("fieldset > legend").count() == 5
    assert page.evaluate("[...document.querySelectorAll('input')].every(field => field.labels.length)")
    assert page.evaluate("[...document.querySelectorAll('img')].every(image => image.alt)")
    assert page.get_attribute("#image", "alt") == page.inner_text("#where")
    tops = [page.locator(name).bounding_box() for name in ("#viewer", "#form")]
    assert (tops[0]["y"] + tops[0]["height"] <= tops[1]["y"]) == (width == 390)
    end(visit)


def test_outlines_are_shown_and_hidden(browser: Any, tmp_path: Path) -> None:
    visit = opened(browser, make(tmp_path, questions="nuclei").page())
    page = start(visit, "R1")
    assert page.is_visible("#over") and page.inner_text("#legend").split() == ["stroma", "tumour"]
    page.keyboard.press("o")
    assert not page.is_visible("#over") and page.get_attribute("#outlines", "aria-pressed") == "false"
    page.keyboard.type("5533")
    page.keyboard.press("Enter")
    assert page.inner_text("#where").startswith("Image 2 of")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    end(visit)


def test_the_page_names_no_arm_and_no_image_file_differs_but_in_its_pixels(made: Made) -> None:
    """A reader who opens the source finds neither arms, conditions, slides nor ids of images, and files of all arms are equal
    in everything but pixels and checksums."""
    import base64
    import struct

    text = made.page().read_text()
    images = {one.image: one for one in made.key.images}
    for secret in {one.arm for one in images.values()} - {REAL} | {one.condition for one in images.values()}:
        assert secret not in text
    for secret in [*images, made.key.salt, *{one.slide for one in images.values()}]:
        assert secret not in text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert {frozenset(item) for item in data["items"]} == {frozenset(("item", "practice", "image", "outlines"))}
    shapes = set()
    for item in data["items"]:
        content = base64.b64decode(item["image"])
        at, chunks = 8, []
        while at < len(content):
            length, kind = struct.unpack_from(">I4s", content, at)
            chunks.append((kind, length))
            at += 12 + length
        shapes.add((len(content), tuple(chunks), content[:33]))
    ((_, chunks, _),) = shapes
    assert {kind for kind, _ in chunks} == {b"IHDR", b"IDAT", b"IEND"}
    assert len({np.frombuffer(base64.b64decode(item["image"]), np.uint8).tobytes() for item in data["items"]}) > 3

"""The pages in a real browser, from file://."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import Seen, open_page, serious_violations
from small_dataset import MARKUP

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWS = [
    "#/",
    "#/records?group=label",
    "#/record/val-copy",
    "#/record/val%2Ftalk%231%3F",
    "#/distributions",
    "#/findings",
    "#/duplicates",
    "#/quarantine",
]


@pytest.fixture
def seen(browser: Browser, report: Path) -> Iterator[Seen]:
    seen = open_page(browser, report / "index.html")
    yield seen
    seen.page.context.close()


def test_no_view_complains_and_each_has_its_heading(seen: Seen) -> None:
    headings = [seen.go(view).locator("h1").inner_text() for view in VIEWS[1:]]
    assert headings == [
        "Records",
        "val-copy",
        "val/talk#1?",
        "Distributions",
        "Findings",
        "Near-duplicates across splits",
        "Quarantine",
    ]
    assert seen.wrong == []


def test_filters_search_and_sorting_show_the_right_records(seen: Seen) -> None:
    def count(address: str) -> str:
        return seen.go(address).locator("#count").inner_text()

    assert count("#/records") == "305"
    assert count("#/records?split=val") == "5 of 305"
    assert count("#/records?label=class+0") == "101 of 305"
    assert count("#/records?rule=F206") == "1 of 305"
    assert count("#/records?q=RAIN-29") == "11 of 305"
    seen.page.fill("#query", "say that")
    seen.page.press("#query", "Enter")
    seen.page.wait_for_function("() => document.querySelector('#count').textContent === '1 of 305'")
    first = seen.go("#/records?split=val&sort=images").locator(".tile").first
    assert first.locator(".tile-name").inner_text() == "val/talk#1?"
    assert seen.wrong == []


def test_only_what_is_in_sight_is_loaded(browser: Browser, report: Path) -> None:
    seen = open_page(browser, report / "index.html")
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url.rpartition("/data/")[2]))
    seen.go("#/records")
    seen.page.wait_for_selector(".tile-note:not(:empty)")
    assert seen.page.locator(".tile").count() < 60
    assert "sprites/0-0.webp" in asked
    assert "sprites/0-4.webp" not in asked
    seen.page.mouse.wheel(0, 100_000)
    seen.page.wait_for_function(
        "() => [...document.querySelectorAll('.tile-note')].some(n => n.textContent === 'val-missing')"
    )
    assert "sprites/1-0.webp" in asked


def test_a_record_shows_its_crops_and_what_is_supervised(seen: Seen) -> None:
    page = seen.go("#/record/val%2Ftalk%231%3F")
    assert page.locator("mark.supervised").all_inner_texts()[-2:] == ["Two.<|end|>", "One.<|end|>\n<|endoftext|>"]
    assert "No.<|end|>" in " ".join(page.locator(".masked").all_inner_texts())
    assert page.locator(".image-chip").count() == 3
    assert page.locator(".pane").first.locator("rect.crop").count() == 4
    page.keyboard.press("]")
    page.wait_for_function("() => document.querySelectorAll('.frame')[1].getAttribute('aria-pressed') === 'true'")
    assert "640 × 360" in page.locator(".pane").first.inner_text()
    assert "nearly its pixels, scaled by this browser" in page.locator(".pane").nth(1).inner_text()
    loaded = page.locator(".pane img").evaluate_all("images => images.every(i => i.complete && i.naturalWidth > 0)")
    assert loaded
    page.keyboard.press("c")
    assert page.locator(".panes.bare").count() == 1
    page = seen.go("#/record/val-copy")
    assert "its own pixels" in page.locator(".pane").nth(1).inner_text()
    page.wait_for_function("() => [...document.querySelectorAll('.viewer img')].every(i => i.naturalWidth > 0)")
    assert seen.wrong == []


def test_keys_go_from_record_to_record_and_back_to_the_list(seen: Seen) -> None:
    page = seen.go("#/records?split=val")
    page.locator(".tile").first.click()
    page.wait_for_function("() => document.querySelector('h1').textContent === 'val-copy'")
    page.keyboard.press("j")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'val-markup'")
    page.keyboard.press("Escape")
    page.wait_for_function("() => location.hash === '#/records?split=val'")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1


def test_nothing_from_the_data_runs(seen: Seen) -> None:
    for view in ("#/records?split=val&group=label", "#/record/val-markup", "#/quarantine", "#/"):
        page = seen.go(view)
        assert page.locator("main script, main img[src=x]").count() == 0
        assert not page.title().startswith("run")
    page = seen.go("#/record/val-markup")
    assert MARKUP in page.locator(".prompt").inner_text()
    assert "polluted" in page.locator(".record-text").inner_text()
    assert page.evaluate("({}).polluted") is None
    # The policy itself: a script that gets in all the same does not run.
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in line for line in seen.wrong)


def test_characters_that_turn_the_line_around_are_named(seen: Seen) -> None:
    page = seen.go("#/record/val-right-to-left")
    assert page.locator(".prompt .unseen").inner_text() == "U+202E"
    assert page.locator(".chips").first.inner_text().split() == ["כן", "yes"]


def test_findings_lead_to_their_record_and_a_missing_image_says_so(seen: Seen) -> None:
    page = seen.go("#/findings?rule=F206")
    page.get_by_role("link", name="val-missing").click()
    page.wait_for_selector(".banner.error")
    assert "val/none.jpg does not exist" in page.locator(".banner.error").first.inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_view_is_inaccessible_or_wider_than_the_window(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    seen = open_page(browser, report / "index.html", width, scheme)
    for view in VIEWS:
        page = seen.go(view) if view != "#/" else seen.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_violations(page) == [], view
    seen.page.context.close()

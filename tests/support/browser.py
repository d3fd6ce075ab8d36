"""A real headless Chromium for tests that look at pages; without one they are skipped with the reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; PHI3V_CHROMIUM names another."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = os.environ.get("PHI3V_CHROMIUM")
    program = named or next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one by PHI3V_CHROMIUM")
    with playwright.sync_playwright() as started:
        # Its sandbox needs rights that containers do not have; the pages are our own.
        yield started.chromium.launch(executable_path=program, args=["--no-sandbox"])


@dataclass
class Seen:
    """A page, and what went wrong on it: console messages, errors, files that failed to load."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, address: str) -> Page:
        """Show a view, and wait until it is drawn."""
        before = self.page.evaluate("document.querySelector('main').dataset.turn ?? ''")
        self.page.evaluate("address => { location.hash = address; }", address)
        self.page.wait_for_function("before => document.querySelector('main').dataset.turn !== before", arg=before)
        return self.page


def open_page(browser: Browser, index: Path, width: int = 1280, scheme: str = "light") -> Seen:
    """Open a report from file://, and keep what it complains about."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    seen = Seen(context.new_page())
    seen.page.on("console", lambda message: seen.wrong.append(f"{message.type}: {message.text}"))
    seen.page.on("pageerror", lambda error: seen.wrong.append(f"error: {error}"))
    seen.page.on("requestfailed", lambda request: seen.wrong.append(f"failed: {request.url}"))
    seen.page.goto(index.resolve().as_uri())
    seen.page.wait_for_selector("html[data-ready]")
    return seen


def serious_violations(page: Page) -> list[str]:
    """What axe-core finds on a page that keeps people from using it: of contrast in both themes, of all else in one."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    found = list(axe.run(page).response["violations"])
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.emulate_media(color_scheme="light" if dark else "dark")
    found += axe.run(page, options={"runOnly": ["color-contrast"]}).response["violations"]
    page.emulate_media(color_scheme="dark" if dark else "light")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in ("serious", "critical")]

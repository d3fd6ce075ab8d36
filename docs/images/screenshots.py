"""Screenshots of every view of a report: at 1280 and at 390 pixels, light and dark.

    python docs/images/screenshots.py REPORT --out shots
    phi3v-data report demo/data --model-pixels 230 --out report && python docs/images/screenshots.py report --readme

REPORT is what `phi3v-data report` wrote. The second line writes docs/images/report.png, the image in README, from the
dataset that `make demo` makes. The pages are opened in the machine's Chromium by playwright; PHI3V_CHROMIUM names
another one.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Scheme = Literal["light", "dark"]
_WIDTHS = (1280, 390)
_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_README = Path(__file__).with_name("report.png")
_README_VIEW = "#/record/val-0000000180"
# What no tab leads to: the first record of a dataset, the first prediction of a run.
_FIRSTS = {"records": "#/record?n=0", "predictions": "#/prediction/0"}


def main() -> None:
    """Take the screenshots, and print their names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=Path("shots"))
    parser.add_argument("--view", action="append", help="an address, such as #/record/val-3; more than one is taken")
    parser.add_argument("--readme", action="store_true", help="write the image in README instead")
    arguments = parser.parse_args()
    program = os.environ.get("PHI3V_CHROMIUM") or shutil.which("chromium")
    if program is None:
        raise SystemExit("no Chromium: apt-get install chromium, or name one by PHI3V_CHROMIUM")
    from playwright.sync_api import sync_playwright

    page = arguments.report / "index.html"
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        if arguments.readme:
            _take(browser, page, (arguments.view or [_README_VIEW])[0], 1280, "light", _README, whole=False)
            return
        arguments.out.mkdir(parents=True, exist_ok=True)
        for view in arguments.view or _views(browser, page):
            name = view.removeprefix("#/").partition("?")[0].replace("/", "-") or "overview"
            for width in _WIDTHS:
                for scheme in _SCHEMES:
                    target = arguments.out / f"{name}-{width}-{scheme}.png"
                    _take(browser, page, view, width, scheme, target, whole=name != "records")
                    click.echo(str(target))


def _views(browser: Browser, page: Path) -> list[str]:
    view = browser.new_page()
    view.goto(page.resolve().as_uri())
    view.wait_for_selector("html[data-ready]")
    tabs = [str(tab.get_attribute("href")) for tab in view.locator(".tabs a").all()]
    view.close()
    return [*tabs, *(first for tab, first in _FIRSTS.items() if f"#/{tab}" in tabs)]


def _take(browser: Browser, page: Path, view: str, width: int, scheme: Scheme, target: Path, *, whole: bool) -> None:
    height = 800 if width > 1000 else 844
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    shown = context.new_page()
    shown.goto(f"{page.resolve().as_uri()}{view}")
    shown.wait_for_selector("html[data-ready]")
    shown.wait_for_load_state("networkidle")
    shown.screenshot(path=target, full_page=whole)
    context.close()


if __name__ == "__main__":
    main()

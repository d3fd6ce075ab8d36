"""The report of runs: what they answered, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import open_page, serious_violations
from small_dataset import MARKUP, record, write_dataset, write_image
from small_run import write_run

from phi3v_data.cli.main import run_command
from phi3v_data.data_cards.report.predictions import asked, columns_of, confusion
from phi3v_data.data_cards.run_files import read_run
from phi3v_data.schema.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWS = ["#/", "#/curves", "#/predictions", "#/prediction/0", "#/confusion", "#/settings"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    data = folder / "data"
    records = [
        record(f"q-{place}", [f"{place}.jpg"], f"What is {place}?", "x", answers=["cat", "Cat"]) for place in range(5)
    ]
    write_dataset(data, {"val": records})
    for place in range(5):
        write_image(data / f"images/{place}.jpg", place)
    return [
        write_run(folder / "a", data, 0.1, ["cat", "Dog", "dog", "", MARKUP]),
        write_run(folder / "b", data, 0.2, ["cat", "dog", "cat", "cat", "x"]),
    ]


@pytest.fixture(scope="module")
def report(runs: list[Path]) -> Path:
    out = runs[0].parent / "report"
    assert run_command(["report", *map(str, runs), "--out", str(out)]) == 0
    return out


def test_wrong_answers_come_first_and_confusion_counts_every_answer(runs: list[Path]) -> None:
    columns = columns_of([read_run(str(run)) for run in runs])
    assert [(column.run, column.name) for column in columns] == [
        (0, "before"),
        (0, "after"),
        (1, "before"),
        (1, "after"),
    ]
    assert [row.id for row in asked(columns)] == ["q-3", "q-2", "q-4", "q-0", "q-1"]
    first = read_run(str(runs[0])).evaluations["after"]
    assert confusion(first) is None  # an answer is too long for a class
    classes = type(first)("val", first.answers[:4])
    found = confusion(classes)
    assert found is not None
    assert found.labels == ["cat", "dog"]
    assert found.matrix == [[1, 1, 0], [0, 1, 1]]


def test_a_run_that_is_none_or_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json: cannot be read .*expected a run's folder"):
        read_run(str(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_run(str(tmp_path))


def test_predictions_are_filtered_by_score_text_and_what_changed(browser: Browser, report: Path) -> None:
    seen = open_page(browser, report / "index.html")

    def shown(address: str) -> list[str]:
        return seen.go(address).locator(".predicted .mono").all_inner_texts()

    assert shown("#/predictions") == ["q-3", "q-2", "q-4", "q-0", "q-1"]
    assert shown("#/predictions?column=1&show=wrong") == ["q-3", "q-2"]
    assert shown("#/predictions?column=1&show=learned") == ["q-4", "q-0", "q-1"]
    assert shown("#/predictions?show=disagree") == ["q-2", "q-4"]
    assert shown("#/predictions?q=what+is+2") == ["q-2"]
    assert shown("#/predictions?column=1&expected=cat&given=Dog.") == ["q-2"]
    page = seen.go("#/prediction/0/q-4")
    assert page.locator("h1").inner_text() == "q-4"
    assert MARKUP in page.locator(".answers").inner_text()
    page.wait_for_function("() => document.querySelector('.shown img').naturalWidth > 0")
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'q-2'")
    assert seen.wrong == []


def test_runs_are_compared_by_settings_curves_and_results(browser: Browser, report: Path) -> None:
    seen = open_page(browser, report / "index.html")
    assert seen.page.locator(".results tbody tr").count() == 4
    assert "0.600\n0.100–0.900" in seen.page.locator(".results").inner_text()
    page = seen.go("#/settings")
    assert page.locator("table").first.locator("tbody tr").all_inner_texts() == ["optimizer.lr\t0.1\t0.2"]
    page = seen.go("#/curves")
    assert page.locator(".curve h3").all_inner_texts() == ["Loss", "Learning rate", "Images a second"]
    assert seen.wrong == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_view_of_runs_is_inaccessible_or_wider_than_the_window(browser: Browser, report: Path, width: int) -> None:
    seen = open_page(browser, report / "index.html", width, "dark" if width == 390 else "light")
    for view in VIEWS:
        page = seen.go(view) if view != "#/" else seen.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_violations(page) == [], view

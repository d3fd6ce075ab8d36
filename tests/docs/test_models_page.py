"""The page about models says what the configuration says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from phi3v_data.trainer.config import Precision, Strategy, make_config, setting_names
from phi3v_data.trainer.phi3v.loss import CHUNK
from phi3v_data.trainer.precision import dtypes_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def _rows(column: str) -> dict[str, list[str]]:
    """The table whose first column has a heading, by its first cell."""
    (table,) = re.findall(rf"^\| {re.escape(column)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines()]
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def test_strategies_and_their_learning_rates_are_the_configurations() -> None:
    rows = _rows("strategy")
    assert tuple(rows) == get_args(Strategy)
    for strategy, cells in rows.items():
        assert float(cells[-1]) == make_config({"strategy": strategy}).learning_rate


def test_dtypes_are_those_of_the_presets() -> None:
    rows = _rows("`--precision`")
    presets: tuple[Precision, ...] = get_args(Precision)
    assert tuple(rows) == presets
    for precision in presets:
        cells = rows[precision]
        dtypes = dtypes_of(precision)
        written = [str(dtype).removeprefix("torch.") for dtype in (dtypes.trained, dtypes.frozen, dtypes.compute)]
        assert [cell.split(",")[0] for cell in cells] == written
        assert ("scaled" in cells[-1]) == dtypes.scaled


def test_settings_and_numbers_that_are_named_are_the_codes_own() -> None:
    text = PAGE.read_text()
    names = {name for name, _ in setting_names()}
    assert set(re.findall(r"`((?:optimizer|lora|model)\.\w+)", text)) <= names
    assert f"{CHUNK:,} supervised tokens" in text

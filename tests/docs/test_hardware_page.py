"""The table of what fits is what `estimate` works out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phi3v_data.trainer.capacity import Gpus, strategy_capacities
from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.estimate import Balance, DataEstimate, Spread
from phi3v_data.trainer.phi3v import Phi3VConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hardware.md").read_text()
CLUSTERS = [(1, 24), (4, 48), (8, 80)]


def always(number: int) -> Spread:
    return Spread(total=number, mean=number, least=number, p50=number, p90=number, p99=number, most=number)


def pages_of(tokens: int, crops: int) -> DataEstimate:
    even = Balance(steps=1, micro_batches=1, padding=0, imbalance=0, worst_imbalance=0, imbalance_in_order=0)
    return DataEstimate(
        records=1,
        faulty=0,
        unanswered=0,
        too_long=[],
        batch_size=64,
        ranks=1,
        epochs=1,
        steps=1,
        tokens=always(tokens),
        supervised=always(20),
        images=always(1),
        crops=always(crops),
        crop_padding=0,
        teraflop=1,
        balance=even,
    )


@pytest.mark.parametrize("column", range(3))
def test_the_table_is_what_estimate_gives(column: int) -> None:
    rows = re.findall(r"^\| ([\w-]+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    shown = {name: cells[column] for name, *cells in rows if name in ("full", "frozen-vision", "lora", "qlora")}
    count, memory = CLUSTERS[column]
    found = strategy_capacities(make_config({}), Phi3VConfig(), pages_of(2443, 17), Gpus(count, memory * 1e9))
    assert shown == {
        each.memory.strategy: each.advice.partition(":")[0] or f"{each.micro_batch_tokens:,}" for each in found
    }

"""Counts in messages."""

from __future__ import annotations

import pytest

from phi3v_data.schema.wording import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 items"), (1, "1 item"), (2, "2 items")])
def test_only_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "item") == said

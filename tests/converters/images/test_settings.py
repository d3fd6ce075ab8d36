from __future__ import annotations

import pytest

from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.errors import UsageError


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"quality": 0}, "--quality 0: expected 1 to 100"),
        ({"quality": 101}, "--quality 101: expected 1 to 100"),
        ({"max_pixels": 0}, "--max-pixels 0: expected at least 1"),
        ({"max_side": -1}, "--max-side -1: expected at least 1"),
        ({"fit_crops": 0}, "--fit-crops 0: expected at least 1"),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_the_name_of_its_option(setting: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ImageSettings(**setting)  # type: ignore[arg-type]  # the point of the test
    assert str(caught.value) == said

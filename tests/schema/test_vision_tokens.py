"""From an image's size to its crops and tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.vision_tokens import VisionGeometry, crop_grid

SIDES = st.integers(1, 20_000)
CROPS = st.integers(1, 40)


@pytest.mark.parametrize(
    ("size", "num_crops", "grid", "tokens"),
    [
        # What the published processor gives: 757 tokens for 2x2 crops, 1921 for 4x3, 2509 for 4x4.
        ((336, 336), 1, (1, 1), 313),
        ((1000, 1000), 4, (2, 2), 757),
        ((320, 240), 4, (2, 2), 757),
        ((1344, 1008), 12, (3, 4), 1921),
        ((1008, 1344), 12, (4, 3), 1933),
        ((500, 500), 16, (4, 4), 2509),
    ],
)
def test_the_grid_and_the_tokens_are_the_published_processors(
    size: tuple[int, int], num_crops: int, grid: tuple[int, int], tokens: int
) -> None:
    found = crop_grid(*size, num_crops)
    assert (found.rows, found.columns) == grid
    assert found.tokens == tokens
    assert found.canvas_size == (grid[1] * 336, grid[0] * 336)


@given(width=SIDES, height=SIDES, num_crops=CROPS)
def test_a_canvas_holds_the_image_in_whole_crops_and_no_more_than_asked(
    width: int, height: int, num_crops: int
) -> None:
    grid = crop_grid(width, height, num_crops)
    assert 1 <= grid.rows * grid.columns <= max(num_crops, 1)
    assert 1 <= grid.content_width <= grid.canvas_size[0]
    assert 1 <= grid.content_height <= grid.canvas_size[1]
    # The padding is less than a crop, and only along the short side.
    assert grid.canvas_size[0] - grid.content_width < 336
    assert grid.canvas_size[1] - grid.content_height < 336
    assert grid.content_width == grid.canvas_size[0] or grid.content_height == grid.canvas_size[1]


@given(width=SIDES, height=SIDES, num_crops=CROPS)
def test_a_portrait_is_laid_out_as_its_transpose(width: int, height: int, num_crops: int) -> None:
    grid, turned = crop_grid(width, height, num_crops), crop_grid(height, width, num_crops)
    if width != height:
        assert (grid.rows, grid.columns) == (turned.columns, turned.rows)
        assert (grid.content_width, grid.content_height) == (turned.content_height, turned.content_width)


@given(width=SIDES, height=SIDES, num_crops=CROPS)
def test_the_shape_of_the_image_is_kept_to_a_pixel(width: int, height: int, num_crops: int) -> None:
    grid = crop_grid(width, height, num_crops)
    long, short = max(grid.content_width, grid.content_height), min(grid.content_width, grid.content_height)
    exact = long * min(width, height) / max(width, height)
    assert short == 1 or abs(short - exact) <= 1


@given(width=SIDES, height=SIDES, num_crops=CROPS, side=st.integers(1, 30), crop=st.integers(1, 700))
def test_tokens_are_the_crops_the_global_crop_and_the_separators(
    width: int, height: int, num_crops: int, side: int, crop: int
) -> None:
    grid = crop_grid(width, height, num_crops, VisionGeometry(crop, side))
    crops = grid.rows * side * (grid.columns * side + 1)
    overview = side * (side + 1)
    assert grid.tokens == crops + 1 + overview


@given(width=SIDES, height=SIDES, num_crops=CROPS)
def test_more_crops_never_give_fewer_tokens_along_the_long_side(width: int, height: int, num_crops: int) -> None:
    fewer, more = crop_grid(width, height, num_crops), crop_grid(width, height, num_crops + 1)
    assert max(more.rows, more.columns) >= max(fewer.rows, fewer.columns)


@pytest.mark.parametrize(("width", "height", "num_crops"), [(0, 1, 1), (1, 0, 1), (-1, 5, 1), (1, 1, 0)])
def test_sizes_that_are_none_are_refused(width: int, height: int, num_crops: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        crop_grid(width, height, num_crops)


@pytest.mark.parametrize("sizes", [(0, 12), (336, 0)])
def test_a_geometry_of_nothing_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        VisionGeometry(*sizes)


@pytest.mark.parametrize(
    ("width", "height", "num_crops", "encoded"), [(320, 240, 1, 1), (320, 240, 4, 5), (10, 900, 16, 17)]
)
def test_the_only_crop_of_an_image_is_encoded_once_and_its_tokens_stay(
    width: int, height: int, num_crops: int, encoded: int
) -> None:
    grid = crop_grid(width, height, num_crops)
    assert grid.encoded_crops == encoded
    assert grid.tokens == (grid.rows * grid.columns + 1) * 144 + 1 + (grid.rows + 1) * 12

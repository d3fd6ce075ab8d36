"""Frames as a player shows them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from phi3v_data.converters.video.upright import Display, as_stored, read_display, upright

ONE = 1 << 16
QUARTER_TURNS_AND_MIRRORINGS = [
    (a, b, c, d)
    for one in (ONE, -ONE)
    for other in (ONE, -ONE)
    for a, b, c, d in ((one, 0, 0, other), (0, one, other, 0))
]


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()


def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize(("a", "b", "c", "d"), QUARTER_TURNS_AND_MIRRORINGS)
def test_every_point_is_shown_where_the_matrix_puts_it(a: int, b: int, c: int, d: int) -> None:
    stored = frame()
    shown = upright(stored, read_display(matrix(a, b, c, d), None))
    height, width = shown.shape[:2]
    for y in range(4):
        for x in range(6):
            # The point goes to (ax + cy, bx + dy), and the whole is moved back to where it starts at 0.
            across = (a * x + c * y) // ONE % width if a + c > 0 else width - 1 + (a * x + c * y) // ONE
            down = (b * x + d * y) // ONE % height if b + d > 0 else height - 1 + (b * x + d * y) // ONE
            assert np.array_equal(shown[down, across], stored[y, x])


@pytest.mark.parametrize(("a", "b", "c", "d"), QUARTER_TURNS_AND_MIRRORINGS)
def test_a_turned_frame_is_turned_back(a: int, b: int, c: int, d: int) -> None:
    display = read_display(matrix(a, b, c, d), None)
    assert np.array_equal(as_stored(upright(frame(), display), display), frame())


@pytest.mark.parametrize("given", [None, matrix(46341, 46341, -46341, 46341), matrix(0, 0, 0, 0), matrix(ONE, 0, 0, 0)])
def test_a_matrix_that_is_no_quarter_turn_is_not_followed(given: bytes | None) -> None:
    assert read_display(given, None) == Display()


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [(None, 1), (Fraction(0), 1), (Fraction(1000), 1), (Fraction(1, 1000), 1), (Fraction(4, 3), Fraction(4, 3))],
)
def test_a_pixel_aspect_that_cannot_be_is_not_followed(aspect: Fraction | None, expected: Fraction) -> None:
    assert read_display(None, aspect).pixel_aspect == expected


def test_the_width_is_stretched_before_the_frame_is_turned() -> None:
    turned = Display(swap=True, flip_columns=True, pixel_aspect=Fraction(2))
    assert upright(frame(), turned).shape == (12, 4, 3)
    assert upright(frame(), Display(pixel_aspect=Fraction(1, 2))).shape == (4, 3, 3)


def test_a_frame_as_it_should_be_is_not_touched() -> None:
    assert np.array_equal(upright(frame(), Display()), frame())

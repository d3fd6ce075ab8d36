"""Damage that libjpeg passes over is found; what some encoders add is none."""

from __future__ import annotations

import random

import numpy as np
import pytest

from phi3v_data.schema.jpeg import jpeg_damage, jpeg_grey
from phi3v_data.schema.rules.examples import Drawing

_GOOD = Drawing(width=640, height=480).encode()


def test_an_intact_jpeg_comes_at_its_own_size_or_smaller() -> None:
    for mode in ("RGB", "L"):
        data = Drawing(width=640, height=480, mode=mode).encode()
        assert jpeg_damage(data) == ""
        whole, small = jpeg_grey(data), jpeg_grey(data, 96)
        assert whole is not None
        assert small is not None
        assert (whole.shape, small.shape) == ((480, 640), (120, 160))
        means = whole.reshape(120, 4, 160, 4).mean(axis=(1, 3))
        assert float(np.abs(means - small).mean()) < 2


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (_GOOD[:-200], "Premature end of JPEG file"),
        (_GOOD[:-200] + _GOOD[-2:], "premature end of data segment"),
        (Drawing(damaged=True).encode(), "premature end of data segment"),
        (Drawing(mode="CMYK", damaged=True).encode(), "premature end of data segment"),
        (_GOOD[:-2] + b"left over" + _GOOD[-2:], "5 extraneous bytes before marker 0xd9"),
    ],
)
def test_damage_is_named_also_where_less_is_computed(data: bytes, damage: str) -> None:
    assert jpeg_damage(data) == damage
    assert jpeg_grey(data) is None
    assert jpeg_grey(data, 96) is None


def test_zeros_before_the_end_and_bytes_behind_it_are_no_damage() -> None:
    assert jpeg_damage(_GOOD[:-2] + bytes(30) + _GOOD[-2:]) == ""
    assert jpeg_damage(_GOOD + b"anything") == ""
    assert jpeg_damage(Drawing("PNG").encode()) == "", "of a kind that is not known"


def test_bytes_that_were_lost_are_noticed_more_often_than_not() -> None:
    dice = random.Random(0)
    begin = _GOOD.index(b"\xff\xda") + 20
    found = 0
    for _ in range(40):
        at = dice.randrange(begin, len(_GOOD) - 200)
        found += bool(jpeg_damage(_GOOD[:at] + _GOOD[at + 100 :]))
    assert found > 20

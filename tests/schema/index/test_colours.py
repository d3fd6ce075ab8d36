"""Drawings that differ in colour alone are no copies of one another."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from validated import validated

from phi3v_data.schema.index.colours import colours_in, colours_of, same_colours
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.rules.examples import Drawing, line
from phi3v_data.storage import LocalFolder

_RED, _BLUE = (200, 40, 40), (40, 60, 255)  # of nearly the same grey


def _drawing(*colours: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (400, 200), (211, 211, 211))
    for number, colour in enumerate(colours):
        left = 20 + 90 * number
        ImageDraw.Draw(image).rectangle((left, 20 + 30 * number, left + 60, 100 + 30 * number), fill=colour)
    return image


def _encoded(image: Image.Image, suffix: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, suffix, quality=60)
    return buffer.getvalue()


def test_copies_have_the_same_colours_and_other_drawings_have_not() -> None:
    drawing = _drawing(_RED, _BLUE, _RED)
    one = colours_of(drawing)
    assert same_colours(one, colours_of(Image.open(io.BytesIO(_encoded(drawing, "JPEG")))))
    assert same_colours(one, colours_of(drawing.crop((8, 4, 392, 196))))
    assert same_colours(one, colours_of(drawing.convert("L")))
    assert not same_colours(one, colours_of(_drawing(_RED, _BLUE, _BLUE)))


@pytest.mark.parametrize(("colours", "found"), [((_RED, _BLUE, _RED), True), ((_RED, _BLUE, _BLUE), False)])
def test_a_drawing_in_two_splits_is_found_and_one_in_other_colours_is_not(
    tmp_path: Path, colours: tuple[tuple[int, int, int], ...], found: bool
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(_encoded(_drawing(_RED, _BLUE, _RED)))
    (tmp_path / "images" / "b.jpg").write_bytes(_encoded(_drawing(*colours), "JPEG"))
    (tmp_path / "x_train.jsonl").write_text(line("a", images=["a.png"]))
    (tmp_path / "x_val.jsonl").write_text(line("b", images=["b.jpg"]))
    findings = validated(tmp_path, level="pixels", select=["S605"])[0]
    assert [each.rule for each in findings] == ["S605"] * found


def test_colours_are_read_from_files_and_from_members_of_a_tar_and_of_damaged_ones_there_are_none(
    tmp_path: Path,
) -> None:
    data = Drawing().encode()
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "shards.tar").write_bytes(bytes(512) + data + bytes(512))
    folder = LocalFolder(tmp_path)
    file = colours_in(folder, ImageFacts(name="a.jpg", size=len(data)))
    member = colours_in(folder, ImageFacts(name="shards.tar@512", size=len(data)))
    assert file is not None
    assert member is not None
    assert (file == member).all()
    assert colours_in(folder, ImageFacts(name="a.jpg", size=50)) is None
    assert colours_in(folder, ImageFacts(name="b.jpg", size=50)) is None

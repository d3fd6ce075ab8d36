"""Image facts: the quick header says what Pillow says, and what has not changed is not looked at again."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from validated import validated

from phi3v_data.schema.index import image_reader
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.index.facts_table import FactsTable, batch_of
from phi3v_data.schema.index.header import (
    LONG_HEAD,
    HeaderError,
    QuickHeaders,
    exif_orientation,
    header_of,
    quick_header,
)
from phi3v_data.schema.index.image_reader import ImageReader
from phi3v_data.schema.index.looks import line_height_of, looks_like_page, near_identical, thumbnail_of
from phi3v_data.schema.index.quick_files import QuickFacts, QuickFiles
from phi3v_data.schema.rules.examples import Drawing, line
from phi3v_data.schema.rules.rule import Level
from phi3v_data.storage import LocalFolder

_DRAWINGS = [
    *(Drawing("JPEG", 60, 40, mode, seed=seed) for seed, mode in enumerate(("RGB", "L", "CMYK"))),
    *(Drawing("PNG", 33, 44, mode) for mode in ("RGB", "L", "RGBA", "LA", "P", "1", "I;16")),
    *(Drawing("JPEG", 50, 30, orientation=number) for number in range(1, 9)),
    Drawing("GIF", 20, 20, "P", frames=3),
    Drawing("TIFF", 20, 20),
    Drawing("WEBP", 20, 20),
]


def agrees_with_pillow(data: bytes) -> bool:
    """Tell whether the quick header answered; where it does, Pillow has to say the same."""
    quick = quick_header(data[:LONG_HEAD])
    if quick is None:
        return False
    with Image.open(io.BytesIO(data)) as image:
        said = (image.format, image.width, image.height, image.mode, exif_orientation(image))
        assert said == (quick.format, quick.width, quick.height, quick.mode, quick.orientation)
        assert image.has_transparency_data == quick.transparent
    return True


def test_the_quick_header_says_what_pillow_says() -> None:
    answered = [agrees_with_pillow(drawing.encode()) for drawing in _DRAWINGS]
    assert answered == [drawing.format in ("JPEG", "PNG") for drawing in _DRAWINGS]


def test_remembered_headers_are_those_that_are_read_anew() -> None:
    headers = QuickHeaders()
    drawings = [drawing.encode()[:LONG_HEAD] for drawing in _DRAWINGS]
    dice = random.Random(0)
    for _ in range(300):
        data = bytearray(dice.choice(drawings))
        if dice.random() < 0.5:
            data[dice.randrange(min(len(data), 700))] = dice.randrange(256)
        assert headers.read(bytes(data)) == quick_header(bytes(data))


def test_a_header_behind_a_long_preview_is_read_without_the_rest(tmp_path: Path) -> None:
    """Its comment is longer than the bytes that are read first."""
    data = Drawing().encode()
    comment = b"\xff\xfe" + (10_000).to_bytes(2, "big") + bytes(9_998)
    (tmp_path / "a.jpg").write_bytes(data[:2] + comment + data[2:])
    facts = ImageReader(LocalFolder(tmp_path), "header").file("a.jpg").facts
    assert (facts.format, facts.width, facts.height, facts.failure) == ("JPEG", 384, 256, "")


@pytest.mark.real_data
def test_the_quick_header_says_what_pillow_says_of_real_files(real_data: Path) -> None:
    files = [*(real_data / "images").iterdir(), *(real_data / "documents" / "documents").iterdir()]
    assert sum(agrees_with_pillow(file.read_bytes()) for file in files) >= 7


def test_mutated_headers_are_errors_of_ours_and_never_disagree() -> None:
    dice = random.Random(0)
    sources = [drawing.encode() for drawing in _DRAWINGS]
    faults = set()
    for _ in range(600):
        data = bytearray(dice.choice(sources))
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(min(len(data), 400))] = dice.randrange(256)
        try:
            header = header_of(bytes(data))
        except HeaderError as error:
            faults.add(error.failure)
            continue
        assert min(header.width, header.height) > 0
    assert faults <= {"not-an-image", "too-many-pixels"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    records = []
    for number in range(3):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(Drawing(seed=number).encode())
        records.append(line(f"r{number}", images=[f"{number}.jpg"]))
    (tmp_path / "x_train.jsonl").write_text("\n".join(records))
    return tmp_path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that were looked at."""
    names: list[str] = []
    look = ImageReader._look

    def noted(self: ImageReader, name: str, *rest: object) -> ImageFacts:
        names.append(name)
        return look(self, name, *rest)  # type: ignore[arg-type]  # the same as it was given

    read = QuickFiles.read

    def noted_many(self: QuickFiles, asked: Iterable[str]) -> QuickFacts:
        found = read(self, asked)
        names.extend(f"images/{name}" for name in found.names)
        return found

    monkeypatch.setattr(image_reader.ImageReader, "_look", noted)
    monkeypatch.setattr(QuickFiles, "read", noted_many)
    return names


def test_a_second_run_looks_at_what_has_changed_only(root: Path, decoded: list[str]) -> None:
    assert validated(root, level="pixels")[0] == []
    assert decoded == ["images/0.jpg", "images/1.jpg", "images/2.jpg"]
    decoded.clear()
    assert validated(root, level="pixels")[0] == []
    assert decoded == []
    (root / "images" / "1.jpg").write_bytes(Drawing(seed=1, cut=100).encode())
    assert [each.rule for each in validated(root, level="pixels")[0]] == ["P301"]
    assert decoded == ["images/1.jpg"]
    decoded.clear()
    assert [each.rule for each in validated(root, level="pixels")[0]] == ["P301"]
    assert decoded == []


def test_a_process_that_has_opened_no_image_yet_names_damage_like_any_other(root: Path) -> None:
    (root / "images" / "0.jpg").write_bytes(Drawing(cut=100).encode())
    here = validated(root, level="pixels", workers=2)[0]
    assert [each.rule for each in here] == ["P301"]


def test_headers_are_not_enough_where_pixels_are_asked_for_and_pixels_are_where_headers_are(
    root: Path, decoded: list[str]
) -> None:
    validated(root, level="files")
    validated(root, level="pixels")
    assert len(decoded) == 6
    validated(root, level="files")
    assert len(decoded) == 6


def test_a_second_run_finds_what_the_first_found(tmp_path: Path) -> None:
    """Two frames that look the same, and differ in their bytes; an odd image; one that is shown by two records."""
    (tmp_path / "images").mkdir()
    for name, effort in (("a.png", 1), ("b.png", 9)):
        with Image.open(io.BytesIO(Drawing("PNG").encode())) as image:
            image.save(tmp_path / "images" / name, compress_level=effort)
    (tmp_path / "images" / "c.jpg").write_bytes(Drawing(mode="CMYK").encode())
    lines = [line("r", images=["a.png", "b.png"]), line("s", images=["c.jpg"]), line("t", images=["c.jpg"])]
    (tmp_path / "x_train.jsonl").write_text("\n".join(lines))
    levels: tuple[Level, ...] = ("files", "pixels")
    for level in levels:
        first = [(each.rule, each.line) for each in validated(tmp_path, level=level)[0]]
        assert first == [*([("P308", 1)] if level == "pixels" else []), ("P303", 2)]
        assert [(each.rule, each.line) for each in validated(tmp_path, level=level)[0]] == first


def test_a_damaged_table_is_made_again(root: Path, decoded: list[str]) -> None:
    validated(root)
    path = root / ".index" / "images.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert validated(root)[0] == []
    assert len(decoded) == 6


def test_new_rows_take_the_place_of_old_ones_in_order(tmp_path: Path) -> None:
    table = FactsTable(LocalFolder(tmp_path))
    for start in (0, 50, 25):
        rows = [ImageFacts(name=f"images/{number}", size=start, width=number) for number in range(start, start + 50)]
        table = table.update([batch_of(rows[:20]), batch_of(rows[20:])])
    assert len(table) == 100
    assert (np.diff(table.keys.astype(object)) > 0).all()
    assert sorted((each.name, each.size) for each in map(table.at, range(100))) == sorted(
        (f"images/{number}", 25 if 25 <= number < 75 else 0 if number < 25 else 50) for number in range(100)
    )


def test_the_height_of_lines_is_that_of_the_page_and_images_have_none() -> None:
    for pitch in (20, 40):
        page = Image.open(io.BytesIO(Drawing("PNG", 800, 1000, "L", text_lines=1000 // pitch).encode()))
        grey = np.asarray(page.convert("L"))
        assert line_height_of(grey) == pytest.approx(1000 / (1000 // pitch), abs=1)
    grey = np.asarray(Image.open(io.BytesIO(Drawing(width=800, height=600).encode())).convert("L"))
    assert not looks_like_page(thumbnail_of(grey))


@pytest.mark.real_data
def test_the_height_of_lines_of_real_pages_is_that_of_their_text(real_data: Path) -> None:
    for name, height in (("linn.png", 40), ("typewriter.png", 137)):
        with Image.open(real_data / "documents" / "documents" / name) as page:
            grey = np.asarray(page.convert("L"))
        assert line_height_of(grey) == pytest.approx(height, abs=3)


def test_images_that_differ_in_one_place_are_not_near_identical() -> None:
    one = Image.open(io.BytesIO(Drawing(seed=5).encode())).convert("L")
    other = one.copy()
    ImageDraw.Draw(other).rectangle((100, 60, 200, 160), fill=255)
    assert near_identical(thumbnail_of(np.asarray(one)), thumbnail_of(np.asarray(one)))
    assert not near_identical(thumbnail_of(np.asarray(one)), thumbnail_of(np.asarray(other)))


def test_a_link_that_leads_out_is_known_and_one_within_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "data" / "images" / "deep").mkdir(parents=True)
    (tmp_path / "outside.jpg").write_bytes(b"x")
    (tmp_path / "data" / "images" / "real.jpg").write_bytes(b"x")
    (tmp_path / "data" / "images" / "out.jpg").symlink_to("../../outside.jpg")
    (tmp_path / "data" / "images" / "deep" / "in.jpg").symlink_to("../real.jpg")
    reader = ImageReader(LocalFolder(tmp_path / "data"), "header")
    for name, leaves in (("out.jpg", True), ("deep/in.jpg", False), ("real.jpg", False)):
        look = reader.file(f"images/{name}")
        assert look.is_link == (name != "real.jpg")
        assert reader.leaves_folder(f"images/{name}", look.is_link) == leaves

"""An image somewhere in the raw data: one path rule, one reader, one message for each way to be missing."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phi3v_data.converters.rows.image_ref import ImageReader, ImageRef, path_in_input
from phi3v_data.schema.errors import ItemError, MediaError
from phi3v_data.storage import LocalFolder

URI = "data:image/png;base64," + base64.b64encode(b"inline").decode()


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    for name in ("a.png", "qa/a.png", "qa/only.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    cells = [{"scan": [{"bytes": b"first", "path": "a.png"}, {"bytes": None, "path": "a.png"}]}]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "qa/t.parquet")
    return LocalFolder(tmp_path)


@pytest.mark.parametrize(
    ("image", "data"),
    [
        (ImageRef("a.png"), b"a.png"),
        (ImageRef("a.png", "qa/t.parquet"), b"qa/a.png"),
        (ImageRef("only.png", "qa/t.parquet"), b"qa/only.png"),
        (ImageRef("qa/only.png", "qa/t.parquet"), b"qa/only.png"),
        (ImageRef(URI), b"inline"),
        (ImageRef("", "qa/t.parquet", 0, "scan", (0,)), b"first"),
        (ImageRef("a.png", "qa/t.parquet", 0, "scan", (1,)), b"qa/a.png"),
    ],
)
def test_an_image_is_read_wherever_it_is(folder: LocalFolder, image: ImageRef, data: bytes) -> None:
    assert ImageReader(folder).read(image) == data
    assert image.is_file == (not image.column and image.path != URI)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (ImageRef("none.png"), MediaError, "none.png: no such image in the input"),
        (ImageRef("a.png/inside"), MediaError, "a.png/inside: no such image in the input"),
        (ImageRef("qa"), MediaError, "qa: a folder, not an image"),
        (ImageRef("data:image/png;base64,@@@@"), ItemError, "damaged base64"),
        (
            ImageRef("", "qa/t.parquet", 0, "scan", (1,)),
            ItemError,
            "qa/t.parquet, row 1, column scan: no bytes of an image; the cell is empty or holds a path alone",
        ),
        (ImageRef("", "qa/t.parquet", 0, "scan", ("x", 3)), ItemError, "no bytes of an image"),
        (ImageRef("none.png", "qa/t.parquet", 0, "scan", (1,)), MediaError, "none.png: no such image in the input"),
    ],
)
def test_a_missing_image_has_one_message(
    folder: LocalFolder, image: ImageRef, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        ImageReader(folder).read(image)
    assert message in str(caught.value)


def test_what_the_input_does_not_hold_may_be_fetched(folder: LocalFolder) -> None:
    reader = ImageReader(folder, fetch=lambda path: f"fetched {path}".encode())
    assert reader.read(ImageRef("none.png")) == b"fetched none.png"
    assert reader.read(ImageRef("a.png")) == b"a.png"


@pytest.mark.parametrize(
    ("text", "path"),
    [("a/b.png", "a/b.png"), ("./a.png", "a.png"), ("a//b.png", "a/b.png"), ("/raw/a.png", "a.png"), (URI, URI)],
)
def test_a_path_below_the_input_is_kept(text: str, path: str) -> None:
    assert path_in_input(text, "/raw") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("../a.png", "../a.png: outside the input /raw"),
        ("/etc/passwd", "/etc/passwd: outside the input /raw"),
        ("/raw/../etc/passwd", "outside the input /raw"),
        ("a\\b.png", "outside the input /raw; expected one such as images/a.jpg"),
        ("https://x.org/a.png", "https://x.org/a.png: images are not fetched"),
        ("data:image/png,abc", "a data: URI that is not base64"),
    ],
)
def test_what_is_not_below_the_input_is_refused(text: str, message: str) -> None:
    with pytest.raises(ItemError) as caught:
        path_in_input(text, "/raw")
    assert message in str(caught.value)

"""Rows that only `datasets` can read, here from a view on the disk, without any hub."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from phi3v_data.converters.input.hub_dataset import FILES, HubStream, HubView
from phi3v_data.schema.errors import InputError, ItemError


@pytest.fixture
def stream(tmp_path: Path) -> HubStream:
    (tmp_path / FILES).mkdir()
    with tarfile.open(tmp_path / FILES / "a.tar", "w") as tar:
        for number in range(3):
            for suffix, data in (("bin", b"image %d" % number), ("txt", b"text %d" % number)):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    view = HubView(
        repo="owner/x", commit="0", module="webdataset", arguments={}, splits={"train": ["a.tar"]}, classes={}
    )
    return HubStream(view, tmp_path, "train")


def test_rows_are_plain_values_with_marks_in_the_place_of_bytes(stream: HubStream) -> None:
    rows = [row.cells() for row in stream.rows()]
    assert [row["txt"] for row in rows] == ["text 0", "text 1", "text 2"]
    assert [row["bin"] for row in rows] == [{"path": None, "bytes": True}] * 3


def test_bytes_are_read_forward_and_back(stream: HubStream) -> None:
    assert [stream.read(number, "bin", ()) for number in (0, 2, 2, 1)] == [b"image %d" % n for n in (0, 2, 2, 1)]


@pytest.mark.parametrize(
    ("number", "column", "said"), [(3, "bin", "there is none"), (0, "txt", "no bytes of an image")]
)
def test_a_place_without_bytes_is_the_items_failure(stream: HubStream, number: int, column: str, said: str) -> None:
    with pytest.raises(ItemError, match=said):
        stream.read(number, column, ())


def test_what_datasets_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / FILES).mkdir()
    (tmp_path / FILES / "a.csv").write_text("a;b\n1\n")
    arguments = {"delimiter": ";", "names": 7}
    view = HubView(
        repo="owner/x", commit="0", module="csv", arguments=arguments, splits={"train": ["a.csv"]}, classes={}
    )
    with pytest.raises(InputError, match="owner/x: `datasets` cannot read the split train"):
        list(HubStream(view, tmp_path, "train").rows())

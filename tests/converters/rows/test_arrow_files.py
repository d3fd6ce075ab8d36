from __future__ import annotations

import datetime as dt
import decimal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phi3v_data.converters.rows import RowImages, read_rows
from phi3v_data.schema.errors import ItemError
from phi3v_data.storage import LocalFolder, open_folder

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CELLS = [{"bytes": b"one", "path": "1.png"}, {"bytes": b"two", "path": None}, None]
TABLE = pa.table(
    {
        "id": [1, 2, 3],
        "image": pa.array(CELLS, IMAGE),
        "images": pa.array([CELLS[:2], [], None], pa.list_(IMAGE)),
        "raw": pa.array([b"a", b"b", b"c"]),
        "raws": pa.array([[b"p", b"q"], None, []], pa.list_(pa.binary())),
        "deep": pa.array(
            [[{"pic": CELLS[0], "text": "t"}], [], None], pa.list_(pa.struct([("pic", IMAGE), ("text", pa.string())]))
        ),
        "texts": [[{"user": "u"}], [], [{"user": "v"}]],
        "day": pa.array([dt.date(2024, 5, 6)] * 3),
        "price": pa.array([decimal.Decimal("1.50")] * 3),
    }
)
IN_CELL = {"path": None, "bytes": True}
ONE = {"path": "1.png", "bytes": True}
PLAIN = {"day": "2024-05-06", "price": "1.50"}
EXPECTED: list[dict[str, Any]] = [
    {
        "id": 1,
        "image": ONE,
        "images": [ONE, IN_CELL],
        "raw": IN_CELL,
        "raws": [IN_CELL, IN_CELL],
        "deep": [{"pic": ONE, "text": "t"}],
        "texts": [{"user": "u"}],
        **PLAIN,
    },
    {
        "id": 2,
        "image": IN_CELL,
        "images": [],
        "raw": IN_CELL,
        "raws": None,
        "deep": [],
        "texts": [],
        **PLAIN,
    },
    {
        "id": 3,
        "image": None,
        "images": None,
        "raw": IN_CELL,
        "raws": [],
        "deep": None,
        "texts": [{"user": "v"}],
        **PLAIN,
    },
]
FORMS = ("rows.parquet", "stream.arrow", "file.arrow")


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    pq.write_table(TABLE, tmp_path / "rows.parquet", row_group_size=2)
    with pa.ipc.new_stream(str(tmp_path / "stream.arrow"), TABLE.schema) as stream:
        stream.write_table(TABLE, max_chunksize=2)
    with pa.ipc.new_file(str(tmp_path / "file.arrow"), TABLE.schema) as file:
        file.write_table(TABLE, max_chunksize=2)
    return LocalFolder(tmp_path)


@pytest.mark.parametrize("name", FORMS)
def test_cells_are_plain_values_and_bytes_are_marked(folder: LocalFolder, name: str) -> None:
    found = list(read_rows(folder, name))
    assert [row.values for row in found] == EXPECTED
    assert [(row.place, row.number) for row in found] == [(f"{name}, row {n + 1}", n) for n in range(3)]


@pytest.mark.parametrize("name", FORMS)
def test_a_worker_reads_the_bytes_of_a_cell_forward_and_back(folder: LocalFolder, name: str) -> None:
    images = RowImages(folder)
    assert images.read(name, 0, "image") == b"one"
    assert images.read(name, 1, "image") == b"two"
    assert images.read(name, 2, "raw") == b"c"
    assert images.read(name, 0, "raw") == b"a"
    assert [images.read(name, 0, "images", (which,)) for which in (0, 1)] == [b"one", b"two"]
    assert [images.read(name, 0, "raws", (which,)) for which in (1, 0)] == [b"q", b"p"]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    ("number", "column", "which"), [(2, "image", 0), (1, "images", 0), (0, "images", 2), (9, "raw", 0), (0, "none", 0)]
)
def test_a_cell_without_bytes_is_the_items_failure(
    folder: LocalFolder, name: str, number: int, column: str, which: int
) -> None:
    with pytest.raises(ItemError, match=f"{name}.*{column}"):
        RowImages(folder).read(name, number, column, (which,))


def test_more_columns_than_are_kept_open_are_read_in_turn(folder: LocalFolder) -> None:
    images = RowImages(folder)
    for number in (0, 1):
        for name in FORMS:
            for column in ("image", "raw"):
                assert images.read(name, number, column) in (b"one", b"two", b"a", b"b")


def test_tables_are_read_from_an_object_store(folder: LocalFolder) -> None:
    import fsspec

    store = open_folder("memory://rows-of-tables")
    for name in FORMS:
        fsspec.filesystem("memory").pipe_file(f"/rows-of-tables/{name}", folder.read(name))
        assert [row.values for row in read_rows(store, name)] == EXPECTED
        assert RowImages(store).read(name, 1, "raw") == b"b"


@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_table_is_a_failure_that_names_it(folder: LocalFolder, tmp_path: Path, name: str) -> None:
    data = folder.read(name)
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    found = list(read_rows(folder, name))
    assert found[-1].values is None
    assert "that can be read" in found[-1].failure
    assert name in found[-1].place


def test_times_to_the_nanosecond_are_texts(tmp_path: Path) -> None:
    at = pa.array([1], pa.timestamp("ns"))
    pq.write_table(pa.table({"at": at}), tmp_path / "x.parquet")
    (found,) = read_rows(LocalFolder(tmp_path), "x.parquet")
    assert found.values == {"at": "1970-01-01 00:00:00.000000001"}


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "images": [datasets.Image()], "n": datasets.Value("int8")})
    cell = {"bytes": b"png", "path": None}
    made = datasets.Dataset.from_dict({"image": [cell], "images": [[cell, cell]], "n": [1]}, features=features)
    made.save_to_disk(tmp_path / "saved")
    made.to_parquet(tmp_path / "saved" / "x.parquet")
    folder = LocalFolder(tmp_path / "saved")
    for name in ("x.parquet", "data-00000-of-00001.arrow"):
        (found,) = read_rows(folder, name)
        assert found.values == {"image": IN_CELL, "images": [IN_CELL, IN_CELL], "n": 1}
        assert RowImages(folder).read(name, 0, "images", (1,)) == b"png"


_READ_DAMAGED = """
import sys
from pathlib import Path
from random import Random
from phi3v_data.converters.rows import read_rows
from phi3v_data.converters.rows.arrow_files import damage_is_an_item_error, open_arrow
from phi3v_data.schema.errors import ItemError
from phi3v_data.storage import LocalFolder

sound, draw = Path(sys.argv[1]).read_bytes(), Random(0)
folder = LocalFolder(sys.argv[2])
failed = 0
for _ in range(400):
    damaged = bytearray(sound)
    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    folder.write("x.arrow", damaged)
    failed += any(row.values is None for row in read_rows(folder, "x.arrow"))
    try:
        with open_arrow(folder, "x.arrow") as file, damage_is_an_item_error("x.arrow", "Arrow"):
            for batch in file.batches():
                batch.to_pylist()
    except ItemError:
        pass
print(failed)
"""


@pytest.mark.parametrize("name", ["stream.arrow", "file.arrow"])
def test_no_damage_of_a_byte_in_an_arrow_file_ends_the_process(folder: LocalFolder, name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _READ_DAMAGED, str(folder.path / name), str(tmp_path / "damaged")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    assert int(done.stdout) > 20


def _cut_in_half(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def _write_batches(path: Path, form: str) -> None:
    table = pa.table({"text": ["x" * 1000] * 600, "image": [b"y" * 1000] * 600})
    with (pa.ipc.new_file if form == "file" else pa.ipc.new_stream)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


@pytest.mark.parametrize("form", ["file", "stream"])
@pytest.mark.parametrize("read_before", [1, 300])  # the first of two batches, or all of it
def test_an_arrow_file_that_is_cut_while_it_is_read_is_a_failure(tmp_path: Path, form: str, read_before: int) -> None:
    _write_batches(tmp_path / "x.arrow", form)
    rows = read_rows(LocalFolder(tmp_path), "x.arrow")
    before = [next(rows) for _ in range(read_before)]
    _cut_in_half(tmp_path / "x.arrow")
    *more, last = rows
    assert all(row.values is not None for row in (*before, *more))
    assert last.failure == "x.arrow: was changed while it was read; leave it alone and rerun"
    assert last.number == len(before) + len(more)


def test_an_arrow_file_that_is_cut_while_its_images_are_read_is_an_error_of_the_item(tmp_path: Path) -> None:
    _write_batches(tmp_path / "x.arrow", "file")
    images = RowImages(LocalFolder(tmp_path))
    assert images.read("x.arrow", 0, "image") == b"y" * 1000
    _cut_in_half(tmp_path / "x.arrow")
    with pytest.raises(ItemError, match=r"x.arrow: was changed while it was read"):
        images.read("x.arrow", 500, "image")

"""Files of rows: Parquet, Arrow, CSV, TSV, JSON, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from phi3v_data.converters.rows import RowImages, read_rows
from phi3v_data.schema.errors import ItemError
from phi3v_data.storage import LocalFolder

ROWS = [{"id": number, "text": f"row {number} äöü", "tags": ["a", "b"][: number % 3]} for number in range(40)]


def corpus(folder: Path) -> None:
    images = [{"bytes": bytes([number]) * 300, "path": f"{number}.png"} for number in range(len(ROWS))]
    table = pa.Table.from_pylist(ROWS).append_column("image", pa.array(images))
    pq.write_table(table, folder / "a.parquet", row_group_size=16)
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=16)
    with pa.ipc.new_stream(folder / "b.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=16)
    encoded = pa.table({"kind": pa.array(["x", "y"] * 20).dictionary_encode(), "image": [b"1" * 50] * 40})
    with pa.ipc.new_file(folder / "c.arrow", encoded.schema) as writer:
        writer.write_table(encoded)
    pa.csv.write_csv(table.select(["id", "text"]), folder / "a.csv")
    (folder / "a.tsv").write_text("id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in ROWS), "utf-8")
    (folder / "a.json").write_text(json.dumps(ROWS, indent=1), "utf-8")
    (folder / "b.json").write_text(json.dumps({"info": {"x": [1, {}]}, "data": ROWS}), "utf-8")
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")


def check(file: Path) -> None:
    folder = LocalFolder(file.parent)
    images = RowImages(folder)
    for row in read_rows(folder, file.name):
        for column, value in (row.values or {}).items():
            if isinstance(value, dict) and value.get("bytes") is True:
                try:
                    images.read(file.name, row.number, column)
                except ItemError:
                    continue

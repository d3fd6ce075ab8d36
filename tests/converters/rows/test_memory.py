"""Rows are a stream: what is in memory at once does not depend on how many there are."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FEW, MANY = 1_000, 50_000

_FIND = """
import resource, sys
from phi3v_data.converters.sources.table import Table
from phi3v_data.storage import LocalFolder
table = Table(input=LocalFolder(sys.argv[1]), images=("image",), prompt=("question",), answer="answers", group="page")
items = failures = 0
for item in table.discover():
    items += 1
    failures += bool(item.failure)
print(items, failures, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

_READ = """
import resource, sys
from phi3v_data.converters.rows import RowImages
from phi3v_data.storage import LocalFolder
images = RowImages(LocalFolder(sys.argv[1]))
sizes = {len(images.read("rows.parquet", number, "image")) for number in range(int(sys.argv[2]))}
print(len(sizes), 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def rows(count: int, image: Any = "pages/1.png") -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"image": image, "question": f"What is on line {number}?", "answers": ["one", "1"], "page": str(number)}


def write(folder: Path, form: str, count: int) -> None:
    folder.mkdir()
    if form == "document":
        (folder / "rows.json").write_text(json.dumps({"info": {"a": 1}, "data": list(rows(count))}))
    elif form == "lines":
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows(count)))
    else:
        _write_tables(folder, count)


def _write_tables(folder: Path, count: int) -> None:
    data = random.Random(0).randbytes(40_000)
    made = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("question", pa.string()),
            ("answers", pa.list_(pa.string())),
            ("page", pa.string()),
        ]
    )
    with pq.ParquetWriter(folder / "rows.parquet", made, compression="none") as writer:
        for start in range(0, count, 1000):
            several = list(rows(min(1000, count - start)))
            for number, row in enumerate(several):
                row["image"] = {"bytes": data[number : number + 2000], "path": None}
            writer.write_table(pa.Table.from_pylist(several, made))


def peak(program: str, *arguments: object) -> tuple[int, int]:
    """Run a program that prints a count, another and its peak memory in KiB; return the first count and the peak."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, failures, memory = map(int, done.stdout.split())
    assert failures == 0
    return count, memory


@pytest.mark.soak
@pytest.mark.parametrize("form", ["document", "lines", "tables"])
def test_peak_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, form: str) -> None:
    for name, count in (("few", FEW), ("many", MANY)):
        write(tmp_path / name, form, count)
    (few, small), (many, large) = (peak(_FIND, tmp_path / name) for name in ("few", "many"))
    assert (few, many) == (FEW, MANY)
    # A document is mapped into memory, and its rows wait as views of it; anything else is a stream.
    added = 2 * (tmp_path / "many" / "rows.json").stat().st_size / 1024 if form == "document" else 0
    assert large < 1.15 * small + added
    if form == "tables":
        assert peak(_READ, tmp_path / "many", MANY)[1] < 1.15 * peak(_READ, tmp_path / "few", FEW)[1]

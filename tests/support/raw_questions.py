"""What the tests of docvqa, hateful_memes, nlvr2 and nlvr share: writing raw data, converting it, reading what came."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from phi3v_data.converters.base import Converter, Item
from phi3v_data.converters.engine.run import ConvertRequest, convert
from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.jsonl import read_records
from phi3v_data.schema.layout import SplitRow
from phi3v_data.schema.record import Record
from phi3v_data.storage import open_folder

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
TEXT = pa.struct({"user": pa.string(), "assistant": pa.string(), "source": pa.string()})
CAULDRON = pa.schema({"images": pa.list_(IMAGE), "texts": pa.list_(TEXT)})


def image(number: int = 0, form: str = "PNG") -> bytes:
    """A small image; another number is another image."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 8), (number % 256, number // 256 % 256, 90)).save(buffer, form)
    return buffer.getvalue()


def cell(number: int = 0) -> dict[str, Any]:
    """An image as `datasets` stores it."""
    return {"bytes": image(number), "path": None}


def text(user: str, assistant: str, source: str) -> dict[str, str]:
    return {"user": user, "assistant": assistant, "source": source}


def as_lines(*rows: dict[str, Any] | bytes) -> bytes:
    """JSON lines; what is given as bytes stands as it is."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def as_document(*rows: dict[str, Any] | bytes) -> bytes:
    """The challenge's document around rows, one a line; the first row is in line 2."""
    inside = b",\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return b'{"dataset_name": "SP-DocVQA", "data": [\n' + inside + b"\n]}\n"


@dataclass
class Result:
    """What a conversion made."""

    records: dict[str, Record]
    quarantine: dict[str, str]
    counts: dict[str, tuple[int, int, int]]
    images: dict[str, bytes]


class Raw:
    """A folder of raw data for one source."""

    def __init__(self, root: Path, source: str) -> None:
        self.root = root / "raw"
        self.out = root / "out"
        self.source = source

    def write(self, path: str, data: bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def images(self, *paths: str, first: int = 0) -> None:
        for number, path in enumerate(paths, start=first):
            self.write(path, image(number))

    def table(self, path: str, rows: list[dict[str, Any]], schema: pa.Schema = CAULDRON) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, schema)
        if target.suffix == ".parquet":
            pq.write_table(table, target, row_group_size=2)
        else:
            with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
                stream.write_table(table)

    def made(self, **options: Any) -> Converter:
        return ConverterSpec(source=self.source, input=str(self.root), options=options).build()

    def items(self, **options: Any) -> list[Item]:
        return list(self.made(**options).discover())

    def faults(self, **options: Any) -> dict[str, str]:
        return {item.path: item.failure for item in self.items(**options) if item.failure}

    def records(self, **options: Any) -> list[Record]:
        """Convert without the engine."""
        made = self.made(**options)
        return [made.convert(item, Shown()) for item in made.discover() if not item.failure]

    def convert(self, **options: Any) -> Result:
        """Convert with the engine, one worker."""
        summary = convert(
            ConvertRequest(source=self.source, input=str(self.root), out=str(self.out), options=options, workers=1)
        )
        return read_result(self.out, summary.manifest.splits)


def read_result(out: Path, splits: list[SplitRow]) -> Result:
    quarantine = out / "quarantine.jsonl"
    lines = quarantine.read_text().splitlines() if quarantine.exists() else []
    images = out / "images"
    return Result(
        records={record.id: record for row in splits for record in read_records(open_folder(out), row.file)},
        quarantine={entry["path"]: entry["message"] for entry in map(json.loads, lines)},
        counts={row.split: (row.discovered, row.written, row.quarantined) for row in splits},
        images={str(p.relative_to(images)): p.read_bytes() for p in sorted(images.rglob("*")) if p.is_file()},
    )


class Shown:
    """A sink that keeps nothing but names."""

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        assert data() if callable(data) else data
        return f"{name}.png"

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        raise AssertionError(f"{name}: these sources have no decoded images")

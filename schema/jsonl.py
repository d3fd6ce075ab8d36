"""Records as JSON lines: read one at a time, written whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, NamedTuple, cast

from ..storage import Folder
from ..storage.outage import one_line
from .dependencies import require
from .errors import DatasetError, RecordError
from .record import Record, decode_record, encode_record

JSONL_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
"""How a file of records may end; what is compressed can be read from its start alone."""

# Most bytes of one line: a longer one is a damaged file, and must not fill the memory.
LONGEST_LINE = 64 << 20
_LONGEST_REASON = 500


class Line(NamedTuple):
    """One non-empty line of a JSONL file: its number (from 1), its byte offset, its bytes without the line end."""

    number: int
    offset: int
    data: bytes


class Written(NamedTuple):
    """What `write_records` wrote: how many records, and the file's SHA-256 in hex."""

    records: int
    sha256: str


def read_lines(folder: Folder, name: str) -> Iterator[Line]:
    """Yield a file's lines without reading them; empty lines and a byte order mark are passed over.

    Raises:
        DatasetError: the file cannot be read.
    """
    offset = 0
    with open_lines(folder, name) as stream:
        for number, raw in enumerate(iter(partial(stream.readline, LONGEST_LINE), b""), start=1):
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                raise DatasetError(
                    f"{folder.address}/{name}, line {number}: longer than {LONGEST_LINE >> 20} MiB; a record is not"
                )
            start, line = offset, raw
            offset += len(raw)
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                start, line = start + 3, line[3:]
            line = line.rstrip(b"\r\n")
            if line.strip():
                yield Line(number, start, line)


@contextmanager
def open_lines(folder: Folder, name: str) -> Iterator[IO[bytes]]:
    """Open a file of records; what is compressed by gzip or Zstandard is decompressed on the way.

    Raises:
        DatasetError: the file cannot be opened. Damage in what is compressed is told by the reader of the stream: as
            OSError, EOFError or zlib.error.
        MissingDependencyError: it is compressed by Zstandard, and the package that reads that is not installed.
    """
    try:
        stream = folder.open(name)
    except OSError as error:
        raise DatasetError(f"{folder.address}/{name}: cannot be read ({one_line(error)})") from error
    with stream:
        yield _decompressed(stream, name)


def _decompressed(stream: IO[bytes], name: str) -> IO[bytes]:
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if name.endswith(".zst"):
        require("zstandard", purpose=f"{name}: reading Zstandard", extra="zstd")
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True))
    return stream


def read_records(folder: Folder, name: str) -> Iterator[Record]:
    """Yield a file's records, one line in memory at a time.

    Raises:
        RecordError: a line is not a record; the message names file and line.
        DatasetError: the file cannot be read.
    """
    for line in read_lines(folder, name):
        try:
            yield decode_record(line.data)
        except RecordError as error:
            if line.number == 1 and line.data.lstrip().startswith(b"["):
                raise RecordError(
                    f"{name}: a JSON array; records are JSON lines, so convert it: "
                    f"phi3v-data convert --source chat --input {folder.address}/{name}"
                ) from error
            raise RecordError(f"{name}, line {line.number}: {one_line(error)[:_LONGEST_REASON]}") from error


def write_records(folder: Folder, name: str, records: Iterable[Record]) -> Written:
    """Write records one a line; the file appears when it is complete."""
    digest, count = hashlib.sha256(), 0
    with folder.create(name) as stream:
        for record in records:
            line = encode_record(record) + b"\n"
            stream.write(line)
            digest.update(line)
            count += 1
    return Written(count, digest.hexdigest())

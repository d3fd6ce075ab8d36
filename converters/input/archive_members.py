"""The members of a tar or zip, read in turn from front to back, and counted.

The readers are the standard library's. What they would pass over in silence is an error here: a damaged header in the
middle, an end that is missing, data after the end.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, NamedTuple

from .hostile_archives import Meter

__all__ = ["Member", "members_of"]

_BLOCK = 1 << 20
# In a zip: the flag that a name is UTF-8, and the extra field that gives a name in UTF-8.
_UTF8_FLAG, _UNICODE_NAME = 0x800, 0x7075
# What precedes the bytes of a tar member: tarfile holds it in memory, however long it claims to be.
_MOST_HEADER_BYTES = 1 << 20


class Member(NamedTuple):
    """One member of an archive.

    Args:
        name: as it stands in the archive.
        is_folder: whether it is one.
        refusal: why its kind is refused, "" for plain files and folders.
        blocks: gives its bytes; to be used before the next member is asked for.
    """

    name: str
    is_folder: bool
    refusal: str
    blocks: Callable[[], Iterator[bytes]]


def members_of(archive: IO[bytes], meter: Meter) -> Iterator[Member]:
    """Yield the members of an open archive in turn; what it is follows from its first bytes.

    Raises:
        RefusedMember: the meter is full.
        Exception: it is damaged or cut off; the standard library's readers have many errors for that.
    """
    magic = archive.read(2)
    archive.seek(0)
    if magic == b"PK":
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                blocks = partial(_zip_blocks, opened, info, meter)
                yield Member(_zip_name(info), info.is_dir(), _zip_refusal(info), blocks)
    elif magic == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=archive) as unpacked:
            yield from _tar_members(_ForwardStream(unpacked, meter))
    else:
        yield from _tar_members(_ForwardStream(archive, meter))


class _ForwardStream(io.BufferedIOBase):
    """The bytes of a tar, read once from front to back and counted; tarfile reads its headers with `read`."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, meter: Meter) -> None:
        self._stream, self._meter = stream, meter
        self._position = 0
        self._header_bytes_left = _MOST_HEADER_BYTES
        self.ended = False  # whether the last read came short

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        self._header_bytes_left -= wanted
        if self._header_bytes_left < 0:
            raise tarfile.ReadError(f"a header of more than {_MOST_HEADER_BYTES} bytes")
        return self.take(wanted)

    def take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._meter.count_bytes(len(data))
        self._position += len(data)
        self.ended = len(data) < size
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if offset < self._position:
            raise tarfile.ReadError("a member that lies in front of its header")
        while self._position < offset and self.take(min(offset - self._position, _BLOCK)):
            pass
        return self._position

    def blocks(self, size: int) -> Iterator[bytes]:
        end = self._position + size
        while self._position < end:
            yield self.take(min(end - self._position, _BLOCK))
            if self.ended:
                raise tarfile.ReadError("unexpected end of data")

    def next_header(self, offset: int) -> None:
        self.seek(offset)
        self._header_bytes_left = _MOST_HEADER_BYTES


class _StrictTarInfo(tarfile.TarInfo):
    """A tar header; a damaged one is an error, where tarfile would take it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from error


def _tar_members(stream: _ForwardStream) -> Iterator[Member]:
    tar = tarfile.TarFile(fileobj=stream, tarinfo=_StrictTarInfo)
    while info := tar.next():
        yield Member(info.name, info.isdir(), _tar_refusal(info), partial(stream.blocks, info.size))
        stream.next_header(tar.offset)
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header that it has seen
    if stream.ended:
        raise tarfile.ReadError("its end is missing")
    while rest := stream.take(_BLOCK):
        if any(rest):
            raise tarfile.ReadError("more data after its end")


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if info.islnk() or info.issym():
        return "is a link"
    if info.issparse():
        return "is a sparse file"
    return "" if info.isreg() or info.isdir() else "is a device, a pipe or the like"


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name as its writer meant it.

    By the format, names without the UTF-8 flag are in the code page 437. `zip` on Linux writes UTF-8 all the same, and
    the name again in an extra field (Info-ZIP's "up", 0x7075) with the CRC-32 of the bytes that it stands for.
    """
    name = info.orig_filename
    if info.flag_bits & _UTF8_FLAG or name.isascii():
        return name
    try:
        raw, extra = name.encode("cp437"), info.extra
        while len(extra) >= 4:
            kind, size = struct.unpack_from("<HH", extra)
            field, extra = extra[4 : 4 + size], extra[4 + size :]
            if kind == _UNICODE_NAME and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
                return field[5:].decode()
        return raw.decode()
    except UnicodeError:
        return name


def _zip_refusal(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a device, a pipe or the like"
    return "is encrypted" if info.flag_bits & 1 else ""


def _zip_blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> Iterator[bytes]:
    with archive.open(info) as stream:
        while block := stream.read(_BLOCK):
            meter.count_bytes(len(block))
            yield block

"""Unpacking archives that come from strangers: tar, tar.gz, tgz and zip.

Members are read in turn, a block at a time, and what `hostile_archives` refuses ends the run before it is written. The
readers are the standard library's; what they would pass over in silence is an error here: a damaged header in the
middle, an end that is missing, data after the end. Hidden members, among them what macOS adds (`._x`, `__MACOSX/`), are
passed over.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ...schema.errors import ConversionStopped, InputError
from ...storage.outage import one_line
from .hostile_archives import Limits, Meter, RefusedMember, TakenPaths, check_name, shown

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

_BLOCK = 1 << 20
# What precedes the bytes of a tar member: tarfile holds it in memory, however long it claims to be.
_MOST_HEADER_BYTES = 1 << 20
# In a zip: the flag that a name is UTF-8, and the extra field that gives a name in UTF-8.
_UTF8_FLAG, _UNICODE_NAME = 0x800, 0x7075
# What the readers of the standard library raise over damaged bytes, NotImplementedError and RecursionError among it.
_DAMAGE = (OSError, EOFError, IndexError, OverflowError, RuntimeError, ValueError)
_DAMAGED_FORMAT = (lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error)


def is_archive_name(name: str) -> bool:
    """Tell by its name whether a file is an archive that `extract` takes."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def extract(archive: IO[bytes], name: str, into: Path, limits: Limits | None = None) -> int:
    """Unpack an open, seekable archive into a folder, empty or none yet, and return the number of its files.

    Raises:
        InputError: it is damaged, cut off or not an archive, or a member is refused; the message names the member.
        ConversionStopped: the folder cannot be written.
    """
    files, at, taken = 0, "", TakenPaths()
    try:
        meter = Meter(archive.seek(0, io.SEEK_END), limits or Limits())
        archive.seek(0)
        for member in _members(archive, meter):
            at = member.name
            meter.count_member()
            files += _unpack(member, into, taken, name)
    except RefusedMember as refused:
        raise InputError(
            f"{name}: member {shown(at)} {refused}, which is refused; "
            "if you trust the archive, unpack it yourself and give the folder"
        ) from None
    except (*_DAMAGE, *_DAMAGED_FORMAT) as error:
        # The readers' own errors have no number, those of the disk and the network do.
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{name}: cannot be read ({one_line(error)})") from error
        raise InputError(
            f"{name}: damaged, cut off, or not an archive ({one_line(error)[:300]}); "
            f"expected {' '.join(ARCHIVE_SUFFIXES)}, so get it again"
        ) from error
    return files


class _Member(NamedTuple):
    """A member as it stands in the archive, why its kind is refused ("" where it is not), and its bytes.

    The bytes are there until the next member is asked for.
    """

    name: str
    is_folder: bool
    refusal: str
    blocks: Iterator[bytes]


def _unpack(member: _Member, into: Path, taken: TakenPaths, archive: str) -> bool:
    """Write one member, unless it is refused or passed over; tell whether a file was written."""
    check_name(member.name)
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    if member.refusal:
        raise RefusedMember(member.refusal)
    taken.take("/".join(parts), is_folder=member.is_folder)
    path = into.joinpath(*parts)
    with _writing(archive, into):
        (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        stream = None if member.is_folder else path.open("xb")
    if stream is None:
        return False
    try:
        for block in member.blocks:
            with _writing(archive, into):
                stream.write(block)
    finally:
        # What is still buffered is written now, and can fail like the rest.
        with _writing(archive, into):
            stream.close()
    return True


@contextmanager
def _writing(archive: str, into: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}:
            raise RefusedMember("has a name that this file system does not take") from error
        raise ConversionStopped(
            f"{archive}: cannot be unpacked into {into} ({error.strerror or error}); fix that and rerun"
        ) from error


def _members(archive: IO[bytes], meter: Meter) -> Iterator[_Member]:
    """Yield the members of an open archive in turn; what it is follows from its first bytes."""
    magic = archive.read(2)
    archive.seek(0)
    if magic == b"PK":
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                yield _Member(_zip_name(info), info.is_dir(), _zip_refusal(info), _zip_blocks(opened, info, meter))
    elif magic == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=archive) as unpacked:
            yield from _tar_members(_ForwardStream(unpacked, meter))
    else:
        yield from _tar_members(_ForwardStream(archive, meter))


class _ForwardStream(io.BufferedIOBase):
    """The bytes of a tar, read once from front to back and counted; tarfile reads its headers with `read`."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, meter: Meter) -> None:
        self._stream, self._meter = stream, meter
        self._position, self._header_bytes_left = 0, _MOST_HEADER_BYTES
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


def _tar_members(stream: _ForwardStream) -> Iterator[_Member]:
    tar = tarfile.TarFile(fileobj=stream, tarinfo=_StrictTarInfo)
    while info := tar.next():
        yield _Member(info.name, info.isdir(), _tar_refusal(info), stream.blocks(info.size))
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


def _zip_refusal(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a device, a pipe or the like"
    return "is encrypted" if info.flag_bits & 1 else ""


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


def _zip_blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> Iterator[bytes]:
    with archive.open(info) as stream:
        while block := stream.read(_BLOCK):
            meter.count_bytes(len(block))
            yield block

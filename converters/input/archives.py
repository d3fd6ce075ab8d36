"""Unpacking archives that come from strangers: tar, tar.gz, tgz and zip.

Members are read in turn, a block at a time, and what `hostile_archives` refuses ends the run before it is written.
Hidden members, among them what macOS adds (`._x`, `__MACOSX/`), are passed over.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from ...schema.errors import ConversionStopped, InputError
from ...storage.outage import one_line
from .archive_members import Member, tar_members, zip_members
from .hostile_archives import Limits, Meter, TakenPaths, member_error, name_refusal

__all__ = ["ARCHIVE_SUFFIXES", "Limits", "extract", "is_archive_name"]

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

_LONGEST_REASON = 300

# What the readers of the standard library raise over damaged bytes.
_DAMAGE = (
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    ValueError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_archive_name(name: str) -> bool:
    """Tell by its name whether a file is an archive that `extract` takes."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def extract(archive: IO[bytes], name: str, into: Path, limits: Limits | None = None) -> int:
    """Unpack an archive into a folder.

    Args:
        archive: the open, seekable file; what it is follows from its first bytes.
        name: what people know it by.
        into: where its files go: an empty folder, or none yet.
        limits: how far it may expand.

    Returns:
        The number of files unpacked.

    Raises:
        InputError: it is damaged, cut off or not an archive, or a member is refused; the message names the member.
        ConversionStopped: the folder cannot be written.
    """
    unpacker = _Unpacker(name, into)
    try:
        with ExitStack() as stack:
            meter = Meter(name, archive.seek(0, io.SEEK_END), limits or Limits())
            archive.seek(0)
            magic = archive.read(2)
            archive.seek(0)
            if magic == b"PK":
                members = zip_members(stack.enter_context(zipfile.ZipFile(archive)), meter)
            elif magic == b"\x1f\x8b":
                members = tar_members(stack.enter_context(gzip.GzipFile(fileobj=archive)), meter)
            else:
                members = tar_members(archive, meter)
            for member in members:
                meter.count_member(member.name)
                unpacker.unpack(member)
    except (OSError, *_DAMAGE) as error:
        # The readers' own errors have no number, those of the disk and the network do.
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{name}: cannot be read ({one_line(error)})") from error
        raise InputError(
            f"{name}: damaged, cut off, or not an archive ({one_line(error)[:_LONGEST_REASON]}); "
            f"expected {' '.join(ARCHIVE_SUFFIXES)}, so get it again"
        ) from error
    return unpacker.files


class _Unpacker:
    """Writes members into a folder, and refuses those that would do anything else; see `hostile_archives`."""

    def __init__(self, archive: str, into: Path) -> None:
        self.files = 0
        self._archive = archive
        self._into = into
        self._taken = TakenPaths()

    def unpack(self, member: Member) -> None:
        self._refuse(member, name_refusal(member.name))
        parts = [part for part in member.name.split("/") if part not in {"", "."}]
        if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return
        self._refuse(member, member.refusal or self._taken.take("/".join(parts), is_folder=member.is_folder))
        path = self._into.joinpath(*parts)
        with self._writing(member):
            (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.is_folder:
            self._write(member, path)

    def _refuse(self, member: Member, refusal: str) -> None:
        if refusal:
            raise member_error(self._archive, member.name, refusal)

    def _write(self, member: Member, path: Path) -> None:
        with self._writing(member):
            stream = path.open("xb")
        try:
            for block in member.blocks():
                with self._writing(member):
                    stream.write(block)
        finally:
            # What is still buffered is written now, and can fail like the rest.
            with self._writing(member):
                stream.close()
        self.files += 1

    @contextmanager
    def _writing(self, member: Member) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}:
                self._refuse(member, "has a name that this file system does not take")
            raise ConversionStopped(
                f"{self._archive}: cannot be unpacked into {self._into} ({error.strerror or error}); fix that and rerun"
            ) from error

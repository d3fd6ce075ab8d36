"""Unpacking archives that come from strangers: tar, tar.gz, tgz and zip.

Members are read in turn, a block at a time, and what `hostile_archives` refuses ends the run before it is written.
Hidden members, among them what macOS adds (`._x`, `__MACOSX/`), are passed over.
"""

from __future__ import annotations

import errno
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...schema.errors import ConversionStopped, InputError
from ...storage.outage import one_line
from .archive_members import Member, members_of
from .hostile_archives import Limits, Meter, RefusedMember, TakenPaths, check_name, shown

__all__ = ["ARCHIVE_SUFFIXES", "Limits", "extract", "is_archive_name"]

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

_LONGEST_REASON = 300
# What the readers of the standard library raise over damaged bytes, NotImplementedError and RecursionError among it.
_DAMAGE = (OSError, EOFError, IndexError, OverflowError, RuntimeError, ValueError)
_DAMAGED_FORMAT = (lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error)


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
    files, at, taken = 0, "", TakenPaths()
    try:
        meter = Meter(archive.seek(0, io.SEEK_END), limits or Limits())
        archive.seek(0)
        for member in members_of(archive, meter):
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
            f"{name}: damaged, cut off, or not an archive ({one_line(error)[:_LONGEST_REASON]}); "
            f"expected {' '.join(ARCHIVE_SUFFIXES)}, so get it again"
        ) from error
    return files


def _unpack(member: Member, into: Path, taken: TakenPaths, archive: str) -> bool:
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
        for block in member.blocks():
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

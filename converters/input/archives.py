"""Unpacking archives that come from strangers: tar, tar.gz, tgz and zip.

Nothing leaves the folder, nothing but plain files and folders comes out, no member overwrites another, and an archive
that expands beyond its `Limits` is refused before it fills the disk. Members are read in turn, a block at a time.
Hidden ones, among them what macOS adds (`._x`, `__MACOSX/`), are passed over.
"""

from __future__ import annotations

import errno
import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from ...schema.errors import ConversionStopped, InputError
from ...storage import name_key
from .archive_members import Limits, Member, Meter, tar_members, zip_members

__all__ = ["ARCHIVE_SUFFIXES", "Limits", "extract", "is_archive_name"]

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")

# What the readers of the standard library raise over damaged bytes.
_DAMAGE = (
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    ValueError,
    gzip.BadGzipFile,
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
        InputError: it is damaged, cut off or no archive, or a member is refused; the message names the member.
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
    except _DAMAGE as error:
        raise InputError(
            f"{name}: damaged, cut off, or no archive ({error}); expected {' '.join(ARCHIVE_SUFFIXES)}, so get it again"
        ) from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
    return unpacker.files


class _Unpacker:
    """Writes members into a folder, and refuses those that would do anything else."""

    def __init__(self, archive: str, into: Path) -> None:
        self.files = 0
        self._archive = archive
        self._into = into
        # Every path so far, as a file system that ignores case sees it: how it was spelled, and whether it is a folder.
        self._taken: dict[str, tuple[str, bool]] = {}

    def unpack(self, member: Member) -> None:
        fault = _name_fault(member.name)
        if fault:
            raise self._refusal(member, fault)
        parts = [part for part in member.name.split("/") if part not in {"", "."}]
        if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return
        if member.fault:
            raise self._refusal(member, member.fault)
        for depth in range(1, len(parts)):
            self._take(member, "/".join(parts[:depth]), is_folder=True)
        self._take(member, "/".join(parts), is_folder=member.is_folder)
        path = self._into.joinpath(*parts)
        with self._writing(member):
            (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.is_folder:
            self._write(member, path)

    def _take(self, member: Member, path: str, *, is_folder: bool) -> None:
        folded = name_key(path)
        earlier = self._taken.setdefault(folded, (path, True)) if is_folder else self._taken.get(folded)
        if earlier is None:
            self._taken[folded] = (path, False)
        elif earlier != (path, True) or not is_folder:
            raise self._refusal(member, f"takes the place of {earlier[0]!a}")

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
                raise self._refusal(member, "has a name that this file system does not take") from error
            raise ConversionStopped(
                f"{self._archive}: cannot be unpacked into {self._into} ({error.strerror or error}); "
                "see to that, and run the same command again"
            ) from error

    def _refusal(self, member: Member, fault: str) -> InputError:
        return InputError(
            f"{self._archive}: member {member.name!a} {fault}, which is refused; "
            "if you trust the archive, unpack it yourself and give the folder"
        )


def _name_fault(name: str) -> str | None:
    if name.startswith(("/", "\\\\")) or re.match(r"[A-Za-z]:", name):
        return "has an absolute name"
    if "\\" in name or "\0" in name:
        return "has a backslash or a zero byte in its name"
    if ".." in name.split("/"):
        return "leaves the folder"
    return None

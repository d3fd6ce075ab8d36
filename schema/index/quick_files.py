"""The headers of many local files at once: a few system calls each, and little besides.

It answers for regular files whose headers `QuickHeaders` reads, which nearly all are; `ImageReader` is for the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa
import xxhash

from ...storage.folder import fingerprint_of
from .facts import ImageFacts
from .facts_table import batch_of_columns, image_key
from .header import HEAD, LONG_HEAD, Header, HeaderError, QuickHeaders, checked, may_be_longer

# A link is not followed: whether it leads out of the folder is to be found out.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_IS_POSSIBLE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


@dataclass
class QuickFacts:
    """What was found out about files: columns, [files].

    Args:
        names: as they were given; not all of them.
        keys: see `image_key`.
        heads: see `ImageFacts`.
        kinds: for each the place of its header in `QuickFiles.headers`.
        facts: all `ImageFacts` of each, as MessagePack.
    """

    names: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    facts: list[bytes] = field(default_factory=list)


class QuickFiles:
    """Reads headers of files of one dataset folder.

    Args:
        folder: its path.
        below: the folder in it that the files are in.
    """

    def __init__(self, folder: str, below: str) -> None:
        self._folder, self._below = folder, below
        self._quick = QuickHeaders()
        self._kinds: dict[Header, int] = {}
        self.headers: list[Header] = []
        """Each header that was found, once."""
        self._facts: list[ImageFacts] = []

    def fingerprints(self, names: Iterable[str]) -> list[str]:
        """Return the fingerprint of each file, as `LocalFolder` has it; "" where it is a link, or not a file."""
        found = []
        for name in names:
            try:
                status = os.lstat(f"{self._folder}/{self._below}/{name}")
            except (OSError, ValueError):
                found.append("")
                continue
            is_file = stat.S_ISREG(status.st_mode)
            found.append(fingerprint_of(status) if is_file else "")
        return found

    def read(self, names: Iterable[str]) -> QuickFacts:
        """Read the headers of files.

        Args:
            names: below that folder, and plain: they do not lead up.
        """
        if not _IS_POSSIBLE:
            return QuickFacts()
        try:
            folder = os.open(f"{self._folder}/{self._below}", os.O_RDONLY)
        except OSError:
            return QuickFacts()
        try:
            return self._read(names, folder)
        finally:
            os.close(folder)

    def _read(self, names: Iterable[str], folder: int) -> QuickFacts:
        # Every call here is made a million times: names are local, and no object is made that is not kept.
        open_, fstat, read, close = os.open, os.fstat, os.read, os.close
        header_of, digest, encode = self._quick.read, xxhash.xxh3_64_intdigest, msgspec.msgpack.Encoder().encode
        is_regular, below = stat.S_ISREG, self._below
        rows: list[tuple[str, int, int, int, bytes]] = []
        last, kind, facts = None, -1, ImageFacts(name="")
        for name in names:
            try:
                descriptor = open_(name, _FLAGS, dir_fd=folder)
            except (OSError, ValueError):
                continue
            try:
                status, head = fstat(descriptor), read(descriptor, HEAD)
                header = header_of(head)
                if header is None and may_be_longer(head):
                    header = header_of(os.pread(descriptor, LONG_HEAD, 0))
            except OSError:
                continue
            finally:
                close(descriptor)
            if header is not last and header is not None:
                last, kind = header, self._kind_of(header)
                facts = self._facts[kind] if kind >= 0 else facts
            if header is None or kind < 0 or not is_regular(status.st_mode):
                continue
            size = status.st_size
            place = f"{below}/{name}"
            facts.name, facts.fingerprint = place, fingerprint_of(status)
            facts.size, facts.head = size, digest(head, size)
            rows.append((name, image_key(place), facts.head, kind, encode(facts)))
        return QuickFacts(*map(list, zip(*rows, strict=True))) if rows else QuickFacts()

    def _kind_of(self, header: Header) -> int:
        """Return the number of a header; -1 where its image cannot be used."""
        kind = self._kinds.get(header)
        if kind is None:
            kind = len(self.headers)
            try:
                self._facts.append(ImageFacts(name="", **checked(header)._asdict()))
                self.headers.append(header)
            except HeaderError:
                kind = -1
            self._kinds[header] = kind
        return kind

    def batch(self, found: QuickFacts) -> pa.RecordBatch:
        """Return what was found out as rows of the facts table."""
        sizes = np.array([(self.headers[kind].width, self.headers[kind].height) for kind in found.kinds], np.int32)
        none = np.zeros(len(found.kinds), np.uint64)
        thumbnails = [b""] * len(found.kinds)
        return batch_of_columns(
            np.array(found.keys, np.uint64), none, none, sizes[:, 0], sizes[:, 1], thumbnails, found.facts
        )

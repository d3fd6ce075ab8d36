"""Looks at images: at their headers, or at all their pixels."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import xxhash

from ...storage import Folder, LocalFolder
from ...storage.outage import one_line, outage
from .facts import Depth, ImageFacts
from .header import HEAD, Header, HeaderError, checked, header_of, quick_header

__all__ = ["ImageReader"]

_FOLDERS = 1 << 12
# A thumbnail whose values differ by more is not of one colour.
_FLAT = 2

Known = Callable[[str, str, Depth], ImageFacts | None]


class ImageReader:
    """Looks at images of one dataset folder.

    Args:
        folder: the dataset folder.
        depth: `header` reads the first bytes of a file; `pixels` reads and decodes all of it.
        known: gives what was found earlier, by name, fingerprint and depth.
    """

    def __init__(self, folder: Folder, depth: Depth, known: Known = lambda name, fingerprint, depth: None) -> None:
        self._folder = folder
        self._depth = depth
        self._known = known
        self._local = Path(folder.path) if isinstance(folder, LocalFolder) else None
        self._real = lru_cache(_FOLDERS)(os.path.realpath)

    def file(self, name: str) -> tuple[ImageFacts, bool]:
        """Look at a file.

        Returns:
            What is known of it, and whether that was not known before.

        Raises:
            OSError: the machine or the store is to blame.
        """
        try:
            return self._local_file(name) if self._local is not None else self._remote_file(name)
        except (FileNotFoundError, NotADirectoryError):
            return ImageFacts(name=name, failure="missing"), False
        except IsADirectoryError:
            return ImageFacts(name=name, failure="not-a-file"), False
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
                return ImageFacts(name=name, failure="missing"), False
            if outage(error) is not None:
                raise
            return ImageFacts(name=name, failure="unreadable", detail=one_line(error)), False
        except ValueError as error:  # a NUL in a name
            return ImageFacts(name=name, failure="missing", detail=str(error)), False

    def data(self, name: str, fingerprint: str, data: bytes) -> tuple[ImageFacts, bool]:
        """Look at an image that is in memory, such as a member of a tar; see `file`."""
        known = self._known(name, fingerprint, self._depth)
        if known is not None:
            return known, False
        return self._look(name, fingerprint, len(data), data[:HEAD], lambda: data), True

    def leaves_folder(self, name: str) -> bool:
        """Tell whether links lead out of the images' folder on the way to a file."""
        if self._local is None:
            return False
        path = f"{self._local}/{name}"
        root = self._real(f"{self._local}/{name.partition('/')[0]}")
        parent = self._real(path.rpartition("/")[0])
        try:
            linked = stat.S_ISLNK(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False
        real = os.path.realpath(path) if linked else parent
        return real != root and not real.startswith(root + os.sep)

    def _local_file(self, name: str) -> tuple[ImageFacts, bool]:
        descriptor = os.open(f"{self._local}/{name}", os.O_RDONLY | getattr(os, "O_BINARY", 0) | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                return ImageFacts(name=name, failure="not-a-file"), False
            if not stat.S_ISREG(found.st_mode):
                return ImageFacts(name=name, failure="unreadable", detail="not a regular file"), False
            fingerprint = f"{found.st_size}-{found.st_mtime_ns}"
            known = self._known(name, fingerprint, self._depth)
            if known is not None:
                return known, False
            head = os.read(descriptor, HEAD)

            def rest() -> bytes:
                with open(descriptor, "rb", closefd=False) as stream:
                    return head + stream.read()

            return self._look(name, fingerprint, found.st_size, head, rest), True
        finally:
            os.close(descriptor)

    def _remote_file(self, name: str) -> tuple[ImageFacts, bool]:
        fingerprint = self._folder.fingerprint(name)
        known = self._known(name, fingerprint, self._depth)
        if known is not None:
            return known, False
        with self._folder.open(name) as stream:
            head = stream.read(HEAD)
            size = self._folder.size(name) if len(head) == HEAD else len(head)
            return self._look(name, fingerprint, size, head, lambda: head + stream.read()), True

    def _look(self, name: str, fingerprint: str, size: int, head: bytes, whole: Callable[[], bytes]) -> ImageFacts:
        facts = ImageFacts(name=name, fingerprint=fingerprint, depth=self._depth, size=size)
        facts.head = xxhash.xxh3_64_intdigest(head, size)
        if size == 0:
            facts.failure = "empty"
            return facts
        data = b""
        try:
            header = quick_header(head)
            if header is None or self._depth == "pixels":
                data = whole()
            header = header_of(data) if header is None else checked(header)
            _set_header(facts, header)
            if self._depth == "pixels":
                _set_looks(facts, data, header)
        except HeaderError as error:
            facts.failure, facts.detail = error.failure, error.detail
        if self._depth == "pixels":
            facts.content = xxhash.xxh3_64_intdigest(data)
        return facts


def _set_header(facts: ImageFacts, header: Header) -> None:
    facts.format, facts.width, facts.height, facts.mode = header.format, header.width, header.height, header.mode
    facts.bits, facts.orientation = header.bits, header.orientation
    facts.frames, facts.transparent = header.frames, header.transparent


def _set_looks(facts: ImageFacts, data: bytes, header: Header) -> None:
    # OpenCV takes a quarter of a second to import, and headers need nothing of it.
    from .looks import hash_of, line_height_of, thumbnail_of
    from .pixels import decode_grey, has_one_colour

    grey = decode_grey(data, header)
    thumbnail = thumbnail_of(grey)
    facts.thumbnail = thumbnail.tobytes()
    facts.hash = hash_of(thumbnail)
    facts.flat = int(np.ptp(thumbnail)) <= _FLAT and int(np.ptp(grey)) == 0 and has_one_colour(data)
    facts.line_height = line_height_of(grey, thumbnail)

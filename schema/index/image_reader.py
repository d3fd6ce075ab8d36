"""Looks at images: at their headers, or at all their pixels."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from ...storage import Folder, LocalFolder
from ...storage.folder import fingerprint_of
from ...storage.outage import one_line, outage
from .facts import Depth, ImageFacts
from .header import HEAD, LONG_HEAD, Header, HeaderError, QuickHeaders, checked, header_of, may_be_longer

_FOLDERS = 1 << 12
# A thumbnail whose values differ by more is not of one colour.
_FLAT = 2
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

Known = Callable[[str, str, Depth], ImageFacts | None]


class Look(NamedTuple):
    """A look at an image.

    Args:
        facts: what is known of it.
        is_new: that was not known before.
        is_link: its name is a link's.
    """

    facts: ImageFacts
    is_new: bool = False
    is_link: bool = False


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
        self._local = str(Path(folder.path)) if isinstance(folder, LocalFolder) else None
        self._headers = QuickHeaders()
        self._is_inside = lru_cache(_FOLDERS)(self._lies_inside)

    def file(self, name: str) -> Look:
        """Look at a file.

        Raises:
            OSError: the machine or the store is to blame.
        """
        try:
            return self._local_file(name) if self._local is not None else self._remote_file(name)
        except (FileNotFoundError, NotADirectoryError):
            return Look(ImageFacts(name=name, failure="missing"))
        except IsADirectoryError:
            return Look(ImageFacts(name=name, failure="not-a-file"))
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
                return Look(ImageFacts(name=name, failure="missing"))
            if outage(error) is not None:
                raise
            return Look(ImageFacts(name=name, failure="unreadable", detail=one_line(error)))
        except ValueError as error:  # a NUL in a name
            return Look(ImageFacts(name=name, failure="missing", detail=str(error)))

    def data(self, name: str, fingerprint: str, data: bytes) -> Look:
        """Look at an image that is in memory; see `part`."""
        return self.part(name, fingerprint, len(data), lambda size: data if size < 0 else data[:size])

    def part(self, name: str, fingerprint: str, size: int, read: Callable[[int], bytes]) -> Look:
        """Look at an image that is part of a file, such as a member of a tar.

        Args:
            name: the file's and the offset.
            fingerprint: of the file.
            size: of the image, in bytes.
            read: returns so many of its first bytes; all of them for -1.
        """
        known = self._known(name, fingerprint, self._depth)
        if known is not None:
            return Look(known)
        return Look(self._look(name, fingerprint, size, read(HEAD), read), is_new=True)

    def leaves_folder(self, name: str, is_link: bool) -> bool:
        """Tell whether links lead out of the images' folder on the way to a file.

        Args:
            name: the file's.
            is_link: whether it is a link itself.
        """
        if self._local is None:
            return False
        if not is_link:
            return not self._is_inside(name.rpartition("/")[0])
        return not self._lies_inside(name)

    def _lies_inside(self, name: str) -> bool:
        root = os.path.realpath(f"{self._local}/{name.partition('/')[0]}")
        real = os.path.realpath(f"{self._local}/{name}")
        return real == root or real.startswith(root + os.sep)

    def _local_file(self, name: str) -> Look:
        path = f"{self._local}/{name}"
        found = os.lstat(path)
        is_link = stat.S_ISLNK(found.st_mode)
        if is_link:
            found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            return Look(ImageFacts(name=name, failure="not-a-file"), is_link=is_link)
        if not stat.S_ISREG(found.st_mode):
            return Look(ImageFacts(name=name, failure="unreadable", detail="not a regular file"), is_link=is_link)
        fingerprint = fingerprint_of(found)
        known = self._known(name, fingerprint, self._depth)
        if known is not None:
            return Look(known, is_link=is_link)
        descriptor = os.open(path, _FLAGS)

        def read(size: int) -> bytes:
            with open(descriptor, "rb", closefd=False) as stream:
                stream.seek(0)
                return stream.read(size)

        try:
            facts = self._look(name, fingerprint, found.st_size, os.read(descriptor, HEAD), read)
        finally:
            os.close(descriptor)
        return Look(facts, is_new=True, is_link=is_link)

    def _remote_file(self, name: str) -> Look:
        fingerprint = self._folder.fingerprint(name)
        known = self._known(name, fingerprint, self._depth)
        if known is not None:
            return Look(known)
        with self._folder.open(name) as stream:

            def read(size: int) -> bytes:
                stream.seek(0)
                return stream.read(size)

            head = stream.read(HEAD)
            size = self._folder.size(name) if len(head) == HEAD else len(head)
            return Look(self._look(name, fingerprint, size, head, read), is_new=True)

    def _look(self, name: str, fingerprint: str, size: int, head: bytes, read: Callable[[int], bytes]) -> ImageFacts:
        facts = ImageFacts(name=name, fingerprint=fingerprint, depth=self._depth, size=size)
        facts.head = xxhash.xxh3_64_intdigest(head, size)
        if size == 0:
            facts.failure = "empty"
            return facts
        data = b""
        try:
            header = self._headers.read(head)
            if header is None and may_be_longer(head):
                header = self._headers.read(read(LONG_HEAD))
            if header is None or self._depth == "pixels":
                data = read(-1)
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
    from .looks import LEAST_SIDE, hash_of, line_height_of, looks_like_page, thumbnail_of
    from .pixels import decode_grey, has_one_colour

    grey = decode_grey(data, header, LEAST_SIDE)
    thumbnail = thumbnail_of(grey)
    facts.thumbnail = thumbnail.tobytes()
    facts.hash = hash_of(thumbnail)
    facts.flat = int(np.ptp(thumbnail)) <= _FLAT and int(np.ptp(grey)) == 0 and has_one_colour(data)
    if looks_like_page(thumbnail):
        whole = grey.shape == (header.height, header.width)
        facts.line_height = line_height_of(grey if whole else decode_grey(data, header))

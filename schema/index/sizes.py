"""The sizes of images, from their headers alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import IO, NamedTuple, TypeAlias

from PIL import Image, UnidentifiedImageError

from ...storage import Folder, is_remote
from ...storage.outage import outage
from ..layout import IMAGES

__all__ = ["FileSizes", "ImageSize", "TarSizes", "Unreadable"]

# Records of one document, or of one group, share their images and lie near one another.
_REMEMBERED = 1 << 16
# A round trip to a store takes far longer than the header it is for.
_ROUND_TRIPS = 16
# Where a header usually ends; those with a large colour profile or preview in front are read whole.
_HEADER = 1 << 14


class ImageSize(NamedTuple):
    """Width and height in pixels, as stored; a note that the image is to be turned is not heeded, as in training."""

    width: int
    height: int


class Unreadable(NamedTuple):
    """Why an image has no size."""

    reason: str


Found: TypeAlias = ImageSize | Unreadable


class FileSizes:
    """Sizes of files under images/.

    Args:
        folder: the dataset folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(_ROUND_TRIPS) if is_remote(folder.address) else None
        self.size = lru_cache(_REMEMBERED)(self._read)

    def look_ahead(self, names: Iterable[str]) -> None:
        """Read the headers of several images at once, where one at a time would mostly be waiting."""
        if self._threads is not None:
            list(self._threads.map(self.size, set(names)))

    def _read(self, name: str) -> Found:
        return _size(lambda: self._folder.open(f"{IMAGES}/{name}"))


class TarSizes:
    """Sizes of images inside a tar.

    Args:
        tar: open for reading.
    """

    def __init__(self, tar: IO[bytes]) -> None:
        self._tar = tar

    def size(self, offset: int, length: int) -> Found:
        """Return the size of the image whose bytes lie there."""
        found = _size(lambda: self._bytes(offset, min(length, _HEADER)))
        return _size(lambda: self._bytes(offset, length)) if isinstance(found, Unreadable) else found

    def _bytes(self, offset: int, length: int) -> IO[bytes]:
        self._tar.seek(offset)
        return io.BytesIO(self._tar.read(length))


def _size(open_image: Callable[[], IO[bytes]]) -> Found:
    """Read a header; what is no failure of the image's is raised."""
    try:
        with open_image() as stream, Image.open(stream) as image:
            width, height = image.size
    except FileNotFoundError:
        return Unreadable("does not exist")
    except UnidentifiedImageError:
        return Unreadable("is no image")
    except Image.DecompressionBombError:
        return Unreadable("has more pixels than an image may have")
    except OSError as error:
        if outage(error) is not None:
            # No failure of the image's, and not to be remembered as one.
            raise
        return Unreadable(f"cannot be read ({error.strerror or error})")
    except (ValueError, RuntimeError) as error:
        # What Pillow's readers say of broken headers, each in its own way.
        return Unreadable(f"cannot be read ({error})")
    return ImageSize(width, height) if width and height else Unreadable("has no pixels")

"""Images on their way into a new dataset: opened once, or given a second name."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import IO, Literal, NamedTuple, TypeAlias

from ...storage import Folder, LocalFolder
from ...storage.outage import one_line, outage
from ..errors import DatasetError, OutputError, RunError
from ..layout import IMAGES
from .joining import Input

ImageMode: TypeAlias = Literal["link", "copy", "link or copy"]


class OutputImage(NamedTuple):
    """An image to be written.

    Args:
        name: its path relative to `images/`.
        open: opens what is to be written.
        path: of a file with the same bytes, which may be linked.
    """

    name: str
    open: Callable[[], IO[bytes]]
    path: str | None = None


def check_images_can_be_linked(inputs: Sequence[Input], out: Folder) -> None:
    """Make sure that files of datasets can have a second name in a folder.

    Raises:
        OutputError: one of the datasets, or the folder, is on an object store or on another file system.
    """
    for each in inputs:
        folder = each.dataset.folder
        if not isinstance(folder, LocalFolder) or not isinstance(out, LocalFolder):
            raise OutputError(f"{each.address}: object stores have no links; give --images copy")
        if folder.path.stat().st_dev != out.path.stat().st_dev:
            raise OutputError(f"{each.address}: on another file system than --out; give --images copy")


def opened(image: OutputImage) -> IO[bytes]:
    """Open an image to be written.

    Raises:
        DatasetError: it is missing, or cannot be read.
        RunError: the machine or a store is in the way.
    """
    try:
        return image.open()
    except OSError as error:
        why = outage(error)
        if why is not None:
            raise RunError(f"{image.name}: cannot be read ({why}); fix it and rerun") from error
        missing = isinstance(error, FileNotFoundError) or error.errno == errno.ENOTDIR
        reason = "does not exist" if missing else f"cannot be read ({one_line(error)})"
        raise DatasetError(
            f"{IMAGES}/{image.name}: {reason}; --drop F leaves such records out, validate names them all"
        ) from error


def read_image(image: OutputImage) -> bytes:
    """Return an image's bytes; see `opened`."""
    with opened(image) as stream:
        return stream.read()

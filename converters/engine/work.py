"""One worker's work: an item in, its images on disk and its record out."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ...schema.errors import ItemError
from ...schema.record import Record, decode_record, encode_record
from ...schema.special_tokens import PUBLISHED, without_special_tokens
from ...storage import Folder, name_key, open_folder
from ..base import Item
from . import fault_injection
from .failures import failure_of, outage_of
from .image_files import check_name
from .messages import Done, Failed, Halted, Job, Outcome, Work

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["Sink", "Worker"]

# Name and bytes of the shared images that a worker stored last, by what is shared and the name it was kept under.
SharedImages: TypeAlias = OrderedDict[tuple[str, str], tuple[str, int]]
_REMEMBERED = 64  # of them, enough for items that follow one another
# A name that this file system does not take is the item's, also where the raw data may have it: the image's is longer.
_BAD_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}


class Worker:
    """Converts items one after the other; built once in each process.

    Raises:
        UsageError: the converter cannot be built.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._converter = job.spec.build()
        self._out = open_folder(job.out)
        self._shared: SharedImages = OrderedDict()
        self._roots = (job.spec.input, job.out)

    def convert(self, work: Work) -> Outcome:
        """Convert one item. Its failure is an answer like any other; only an outage of the machine halts the run."""
        sink = Sink(work.item, self._out, self._job, self._shared)
        try:
            record = self._converter.convert(work.item, sink)
            sink.stage = "record"
            if self._job.escape_tokens:
                record = without_special_tokens(record)
            return Done(work.index, msgspec.Raw(_checked(record, work.item, sink)), sink.sizes_of(record))
        except BaseException as error:  # noqa: BLE001 - a converter is anybody's code: sys.exit, too, belongs to the item
            if (halted := outage_of(error, sink.stage)) is not None:
                return Halted(work.index, halted)
            sink.discard()
            return Failed(work.index, work.item.path, failure_of(error, sink.stage, self._roots), work.item.shared)


def _checked(record: Record, item: Item, sink: Sink) -> bytes:
    encoded = encode_record(record)
    decode_record(encoded)
    for found in PUBLISHED.in_record(record):
        raise ItemError(str(found))
    if record.id != item.id:
        raise ItemError(f"the record's id is {record.id!r}; it must be its item's, {item.id!r}")
    shown = set(record.images())
    for name in sorted(shown - sink.saved.keys()):
        raise ItemError(f"the record shows {name!r}, which was never saved")
    for name in sorted(sink.saved.keys() - shown):
        raise ItemError(f"{name!r} was saved, but the record does not show it")
    return encoded


class Sink:
    """Encodes an item's images and puts them into the dataset; see `ImageSink`.

    Attributes:
        stage: what it is doing, as a failure names it.
        saved: size in bytes of every image the item has saved, by name.
    """

    def __init__(self, item: Item, out: Folder, job: Job, shared: SharedImages) -> None:
        self.stage = "convert"
        self.saved: dict[str, int] = {}
        self._item, self._out, self._job, self._shared = item, out, job, shared
        self._keys: set[str] = set()

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Store an encoded image; see `ImageSink`."""
        from ..images.store import stored_image

        key = (self._item.shared, name)
        if key in self._shared:
            self._shared.move_to_end(key)
            path, size = self._shared[key]
            self._claim(path)
            self.saved[path] = size
            return path
        raw = data() if callable(data) else data
        self.stage = "encode"
        try:
            stored = stored_image(raw, self._job.images)
        except ItemError as error:
            # An item may show several, and its path be that of a row.
            raise type(error)(f"{name}: {error}") from error
        path = self._write(name + stored.suffix, stored.data)
        if self._item.shared:
            self._shared[key] = (path, len(stored.data))
            if len(self._shared) > _REMEMBERED:
                self._shared.popitem(last=False)
        return path

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        """Encode and store pixels; see `ImageSink`."""
        from ..images.store import stored_pixels

        check_name(name, self._item.images)
        stem, _, suffix = name.rpartition(".")
        self.stage = "encode"
        stored = stored_pixels(image, f".{suffix}", self._job.images)
        return self._write(stem + stored.suffix, stored.data)

    def _claim(self, name: str) -> None:
        check_name(name, self._item.images)
        if name_key(name) in self._keys:
            raise ItemError(f"the image {name!r} was saved twice")
        self._keys.add(name_key(name))

    def _write(self, name: str, data: bytes) -> str:
        self.stage = "convert"
        self._claim(name)
        self.stage = "write"
        try:
            with self._out.create(f"{self._job.folder}/{name}") as stream:
                fault_injection.write(stream, data, "image-half-written")
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            # The error's own words name a temporary file, by a random name.
            raise ItemError(f"its image cannot be named {name!r} here ({error.strerror}); rename it") from error
        fault_injection.point("image-written")
        self.stage = "convert"
        self.saved[name] = len(data)
        return name

    def discard(self) -> None:
        """Remove what was saved. Shared images stay until the end, for others may show them."""
        if not self._item.shared:
            for name in self.saved:
                self._out.delete(f"{self._job.folder}/{name}")

    def sizes_of(self, record: Record) -> list[int]:
        """Return the bytes of the images a record shows, in its order."""
        return [self.saved[name] for name in record.images()]

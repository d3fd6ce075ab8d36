"""One worker's work: an item in, its images on disk and its record out."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ...schema.errors import ItemError, Phi3VDataError
from ...schema.record import Record, decode_record, encode_record
from ...schema.special_tokens import PUBLISHED, without_special_tokens
from ...storage import Folder, name_key, open_folder
from ...storage.outage import one_line
from ..base import Item
from . import fault_injection
from .failures import failure_of, outage_of
from .image_files import check_name
from .messages import Done, Failed, Halted, Job, Outcome, Work, encode

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

# Name and bytes of the shared images that a worker stored last, by what is shared and the name it was kept under.
SharedImages: TypeAlias = OrderedDict[tuple[str, str], tuple[str, int]]
_REMEMBERED = 64  # of them, enough for items that follow one another
# A name that this file system does not take is the item's, also where the raw data may have it: the image's is longer.
_BAD_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}
_decode_work = msgspec.json.Decoder(Work).decode


class Worker:
    """Converts items one after the other; built once in each process. One that cannot be built halts the run."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shared: SharedImages = OrderedDict()
        self._broken = ""
        try:
            self._converter, self._out = job.spec.build(), open_folder(job.out)
        except Phi3VDataError as error:
            self._broken = one_line(error)

    def answer(self, work: bytes) -> bytes:
        """Convert one item, both item and outcome encoded."""
        return encode(self.convert(_decode_work(work)))

    def convert(self, work: Work) -> Outcome:
        """Convert one item. Its failure is an answer like any other; only an outage of the machine halts the run."""
        if self._broken:
            return Halted(work.index, self._broken)
        item, job = work.item, self._job
        sink = Sink(item, self._out, job, self._shared)
        try:
            record = self._converter.convert(item, sink)
            sink.stage = "record"
            if job.escape_tokens:
                record = without_special_tokens(record)
            encoded = _checked(record, item, sink.saved)
            return Done(work.index, msgspec.Raw(encoded), [sink.saved[name] for name in record.images()])
        except BaseException as error:  # noqa: BLE001 - a converter is anybody's code: sys.exit, too, belongs to the item
            if (halted := outage_of(error, sink.stage)) is not None:
                return Halted(work.index, halted)
            sink.discard()
            failure = failure_of(error, sink.stage, (job.spec.input, job.out))
            return Failed(work.index, item.path, failure, item.shared)


def _checked(record: Record, item: Item, saved: dict[str, int]) -> bytes:
    encoded = encode_record(record)
    decode_record(encoded)
    for found in PUBLISHED.in_record(record):
        raise ItemError(str(found))
    if record.id != item.id:
        raise ItemError(f"the record's id is {record.id!r}; it must be its item's, {item.id!r}")
    shown = set(record.images())
    for name in sorted(shown - saved.keys()):
        raise ItemError(f"the record shows {name!r}, which was never saved")
    for name in sorted(saved.keys() - shown):
        raise ItemError(f"{name!r} was saved, but the record does not show it")
    return encoded


class Sink:
    """Encodes an item's images and puts them into the dataset; see `ImageSink`."""

    def __init__(self, item: Item, out: Folder, job: Job, shared: SharedImages) -> None:
        self.stage = "convert"  # what it is doing, as a failure names it
        self.saved: dict[str, int] = {}  # bytes of every image the item has saved, by name
        self._item, self._out, self._job, self._shared = item, out, job, shared

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Store an encoded image; see `ImageSink`."""
        from ..images.store import stored_image

        key = (self._item.shared, name)
        if key in self._shared:
            self._shared.move_to_end(key)
            path, size = self._shared[key]
            self._check(path)
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

    def _check(self, name: str) -> None:
        check_name(name, self._item.images)
        if name_key(name) in map(name_key, self.saved):
            raise ItemError(f"the image {name!r} was saved twice")

    def _write(self, name: str, data: bytes) -> str:
        self.stage = "convert"
        self._check(name)
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

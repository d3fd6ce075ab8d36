"""One worker's work: an item in, its pictures on disk and its record out."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from ...schema.errors import ItemError
from ...schema.folder import Folder, name_key, open_folder
from ...schema.record import Record, decode_record, encode_record
from ..base import Item
from . import faults
from .messages import Done, Failed, Halted, Job, Outcome, Work
from .trouble import failure_of, outage_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["Worker", "check_name", "discard_pictures", "own_pictures"]

# How many shared pictures a worker remembers: enough for items that follow one another.
_REMEMBERED = 64


class Worker:
    """Converts items one after the other; built once in each process.

    Raises:
        UsageError: the converter cannot be built.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._converter = job.spec.build()
        self._out = open_folder(job.out)
        self._shared = _Shared()

    def convert(self, work: Work) -> Outcome:
        """Convert one item. Its failure is an answer like any other; only the machine's own trouble halts the run."""
        sink = _Sink(work.item, self._out, self._job, self._shared)
        try:
            record = self._converter.convert(work.item, sink)
            sink.stage = "record"
            return Done(work.index, msgspec.Raw(_checked(record, work.item, sink)), sink.sizes_of(record))
        except Exception as error:  # noqa: BLE001 - a converter is anybody's code: whatever it raises belongs to the item
            halted = outage_of(error, sink.stage)
            if halted is not None:
                return Halted(work.index, halted)
            discard_pictures(self._out, self._job.folder, work.item)
            return Failed(work.index, work.item.path, failure_of(error, sink.stage))


def _checked(record: Record, item: Item, sink: _Sink) -> bytes:
    encoded = encode_record(record)
    decode_record(encoded)
    if record.id != item.id:
        raise ItemError(f"the record's id is {record.id!r}; it must be its item's, {item.id!r}")
    shown = set(record.images())
    for name in sorted(shown - sink.saved.keys()):
        raise ItemError(f"the record shows {name!r}, which was never saved")
    for name in sorted(sink.saved.keys() - shown):
        raise ItemError(f"{name!r} was saved, but the record does not show it")
    return encoded


class _Shared:
    """The shared pictures this worker has stored last: their paths and sizes in bytes, by item prefix and name."""

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()

    def find(self, item: Item, name: str) -> tuple[str, int] | None:
        found = self._stored.get((item.shared, name)) if item.shared else None
        if found is not None:
            self._stored.move_to_end((item.shared, name))
        return found

    def note(self, item: Item, name: str, path: str, size: int) -> None:
        if item.shared:
            self._stored[item.shared, name] = path, size
            if len(self._stored) > _REMEMBERED:
                self._stored.popitem(last=False)


class _Sink:
    """Encodes an item's pictures and puts them into the dataset; `stage` tells what it is at."""

    def __init__(self, item: Item, out: Folder, job: Job, shared: _Shared) -> None:
        self.stage = "convert"
        self.saved: dict[str, int] = {}
        self._item = item
        self._out = out
        self._job = job
        self._shared = shared
        self._keys: set[str] = set()

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Store an encoded picture; see `ImageSink`."""
        from ..media.pictures.store import stored_picture

        known = self._shared.find(self._item, name)
        if known is not None:
            path, size = known
            self._claim(path)
            self.saved[path] = size
            return path
        raw = data() if callable(data) else data
        self.stage = "encode"
        stored = stored_picture(raw, self._job.pictures)
        path = self._write(name + stored.suffix, stored.data)
        self._shared.note(self._item, name, path, len(stored.data))
        return path

    def save(self, name: str, picture: np.ndarray | Image.Image) -> str:
        """Encode and store pixels; see `ImageSink`."""
        from ..media.pictures.store import stored_pixels

        check_name(name, self._item.pictures)
        suffix = PurePosixPath(name).suffix
        self.stage = "encode"
        stored = stored_pixels(picture, suffix, self._job.pictures)
        return self._write(name.removesuffix(suffix) + stored.suffix, stored.data)

    def _claim(self, name: str) -> None:
        check_name(name, self._item.pictures)
        if name_key(name) in self._keys:
            raise ItemError(f"the picture {name!r} was saved twice")
        self._keys.add(name_key(name))

    def _write(self, name: str, data: bytes) -> str:
        self.stage = "convert"
        self._claim(name)
        self.stage = "write"
        with self._out.create(f"{self._job.folder}/{name}") as stream:
            faults.write(stream, data, "picture-half-written")
        faults.point("picture-written")
        self.stage = "convert"
        self.saved[name] = len(data)
        return name

    def sizes_of(self, record: Record) -> list[int]:
        """Return the bytes of the pictures a record shows, in its order."""
        return [self.saved[name] for name in record.images()]


# After the item's own prefix: a dot, a part without dots or slashes, the suffix. A prefix whose last segment has no dot
# may take the suffix at once. So two prefixes never lead to one name, although one may begin with the other.
_PART = re.compile(r"\.[^./\\\x00]+\.(?:jpg|png)")
_NO_PART = re.compile(r"\.(?:jpg|png)")


def _is_own(name: str, pictures: str) -> bool:
    if not name.startswith(pictures):
        return False
    rest = name[len(pictures) :]
    if _PART.fullmatch(rest):
        return True
    return "." not in pictures.rpartition("/")[2] and _NO_PART.fullmatch(rest) is not None


def check_name(name: str, pictures: str) -> None:
    """Make sure that a picture's name is its item's own: no other prefix of the plan leads to it.

    Raises:
        ItemError: it is not.
    """
    if not _is_own(name, pictures):
        raise ItemError(f"a picture is named {name!r}; expected {pictures}.<part>.jpg or .png, the part without . or /")


def discard_pictures(out: Folder, pictures: str, item: Item) -> None:
    """Remove what a failed item has written, in this run or in one that was killed.

    Shared pictures stay, for others may show them; what nobody shows in the end goes when the dataset is assembled.

    Args:
        out: the dataset folder.
        pictures: the folder in it that pictures go to.
        item: the item that has no record.
    """
    if item.shared:
        return
    for name in own_pictures(out, pictures, item.pictures):
        out.delete(f"{pictures}/{name}")


def own_pictures(out: Folder, pictures: str, prefix: str) -> list[str]:
    """List the pictures that lie under an item's prefix, by the names that records show.

    Args:
        out: the dataset folder.
        pictures: the folder in it that pictures go to.
        prefix: the item's `pictures`.
    """
    try:
        entries = out.list(f"{pictures}/{prefix}".rpartition("/")[0])
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = (entry.name.removeprefix(f"{pictures}/") for entry in entries)
    return [name for name in names if _is_own(name, prefix)]

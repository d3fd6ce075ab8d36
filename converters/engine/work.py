"""One worker's work: an item in, its images on disk and its record out."""

from __future__ import annotations

import msgspec

from ...schema.errors import ItemError
from ...schema.record import Record, decode_record, encode_record
from ...storage import open_folder
from ..base import Item
from .messages import Done, Failed, Halted, Job, Outcome, Work
from .sink import SharedImages, Sink
from .trouble import failure_of, outage_of

__all__ = ["Worker"]


class Worker:
    """Converts items one after the other; built once in each process.

    Raises:
        UsageError: the converter cannot be built.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._converter = job.spec.build()
        self._out = open_folder(job.out)
        self._shared = SharedImages()

    def convert(self, work: Work) -> Outcome:
        """Convert one item. Its failure is an answer like any other; only the machine's own trouble halts the run."""
        sink = Sink(work.item, self._out, self._job, self._shared)
        try:
            record = self._converter.convert(work.item, sink)
            sink.stage = "record"
            return Done(work.index, msgspec.Raw(_checked(record, work.item, sink)), sink.sizes_of(record))
        except Exception as error:  # noqa: BLE001 - a converter is anybody's code: whatever it raises belongs to the item
            halted = outage_of(error, sink.stage)
            if halted is not None:
                return Halted(work.index, halted)
            sink.discard()
            return Failed(work.index, work.item.path, failure_of(error, sink.stage), work.item.shared)


def _checked(record: Record, item: Item, sink: Sink) -> bytes:
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

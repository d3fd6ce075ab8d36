"""What each record of a split costs: its tokens and crops, known before any image is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...storage import LocalFolder
from ...storage.outage import RetryPolicy
from ..cores import core_count
from ..errors import DatasetError
from ..layout import encode_manifest
from ..progress import Progress, silent
from .counting import Counting
from .facts_table import FactsWriter, discard_damaged
from .measure import COSTS, Chunk, Measurer
from .records import RecordIndex
from .table import numbers
from .workers import in_order

_CHUNK = 2048  # records a task
# Below this, starting processes takes longer than the work.
_FEW = 4 * _CHUNK
# Nothing is known of a dataset whose first records all fail, but that its images are somewhere else.
_ALL_FAIL = 100
# Who fits or converts images again changes most of them, under the same names.
_LOOKED_AT = 8
_RETRY = RetryPolicy()


class RecordCosts:
    """Tokens, crops and image sizes of every record of a split.

    Args:
        table: rows of COSTS, one a record.
    """

    def __init__(self, table: pa.Table) -> None:
        import pyarrow.compute as pc  # a fifth of the start of a worker that needs nothing of it

        self.table = table
        self.tokens: npt.NDArray[np.int64] = numbers(table["tokens"])
        """[records], ids in the prompt and the answers, images included; of a faulty record, what can be known."""
        self.supervised: npt.NDArray[np.int64] = numbers(table["supervised"])
        """[records], tokens with a label; the loss of a step is the mean over them."""
        self.crops: npt.NDArray[np.int64] = numbers(table["crops"])
        """[records], the crops that the tower encodes; see `CropGrid.encoded_crops`."""
        self.images: npt.NDArray[np.int64] = numbers(pc.list_value_length(table["widths"]))
        """[records], images shown."""
        self.unanswered: npt.NDArray[np.int64] = _where(pc.invert(table["answered"]))
        """Numbers of the records with a turn that has no answer: they are not trained on in full."""
        faulty = np.flatnonzero(numbers(pc.binary_length(table["failure"]))).tolist()
        self.faults: dict[int, str] = {number: table["failure"][number].as_py() for number in faulty}
        """Why a record cannot be trained on, by its number: an image is missing or no image, or a text no prompt."""

    def __len__(self) -> int:
        return len(self.tokens)

    def sizes(self, number: int) -> list[tuple[int, int]]:
        """Return width and height in pixels of each image that a record shows; 0, 0 where it cannot be read."""
        columns = (self.table[name][number].as_py() for name in ("widths", "heights"))
        return list(zip(*columns, strict=True))

    def too_long(self, max_tokens: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the records that have more tokens than that, ascending."""
        return np.flatnonzero(self.tokens > max_tokens)

    def kept(self, max_tokens: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the others, ascending: what `Stream.kept` takes."""
        return np.flatnonzero(self.tokens <= max_tokens)


def record_costs(
    index: RecordIndex,
    counting: Counting,
    workers: int | None = None,
    progress: Progress = silent,
    retry_policy: RetryPolicy = _RETRY,
) -> RecordCosts:
    """Measure every record of a split, or take what is kept beside the data from the last time.

    What is kept holds for the very bytes of the records and the dataset's manifest, and for this tokenizer and these
    crops. Records that had a failure are looked at again, for it may have been fixed; so are a few others, and where
    the images of one of those have another size by now, all are. What is known of images (see `FactsTable`) is not
    looked at again, and what is found out about others is put beside it.

    Args:
        index: the records.
        counting: what tokens and crops follow from.
        workers: processes; by default one a core that this process may use.
        progress: shows how many records have been measured.
        retry_policy: how long a store may be away.

    Raises:
        DatasetError: all of the first records fail.
        RunError: the data cannot be reached, or a process died.
    """
    manifest = index.dataset.manifest
    settings = f"{counting.digest} {encode_manifest(manifest).decode() if manifest else ''}"

    tables = index.cache.folder

    def make(known: LocalFolder | None) -> Callable[[], Measurer]:
        return partial(Measurer, index.dataset.folder, known, counting, retry_policy)

    what = f"Counting tokens of {index.split}"

    def build() -> Iterator[pa.RecordBatch]:
        # Here once, for all processes that read it.
        discard_damaged(tables)
        facts = FactsWriter(tables)
        done = 0
        progress(what, "records", done, len(index))
        for batch, new in in_order(make(tables), _chunks(index), _processes(workers, len(index))):
            if done == 0:
                _refuse_if_all_fail(index, batch)
            facts.add(new)
            done += batch.num_rows
            progress(what, "records", done, len(index))
            yield batch
        facts.finish()

    kept = RecordCosts(index.cache.table("costs-2", settings, COSTS, build))
    still = _look_again(kept, index, make(None)())
    return RecordCosts(index.cache.table("costs-2", settings, COSTS, build, anew=True)) if still is None else still


def _where(condition: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows in which a condition holds, ascending."""
    import pyarrow.compute as pc

    return numbers(pa.chunked_array([pc.indices_nonzero(condition)]))


def _processes(workers: int | None, records: int) -> int:
    if workers is not None:
        return workers
    if records <= _FEW:
        return 1
    return core_count()


def _chunks(index: RecordIndex) -> Iterator[Chunk]:
    # A chunk is of one file: the lines of one, or a tar.
    sizes = index.shard_sizes() or [len(index)]
    start = 0
    for file, size in zip(index.files, sizes, strict=True):
        for first in range(start, start + size, _CHUNK):
            yield _chunk(index, file, first, min(_CHUNK, start + size - first))
        start += size


def _chunk(index: RecordIndex, file: str, first: int, count: int) -> Chunk:
    return Chunk(file, index.slice(first, count).combine_chunks().to_batches()[0])


def _refuse_if_all_fail(index: RecordIndex, batch: pa.RecordBatch) -> None:
    first = batch["failure"].slice(0, _ALL_FAIL).to_pylist()
    if all(first):
        where = f"{index.dataset.folder.address}, split {index.split}"
        raise DatasetError(f"{where}: the first {len(first)} records all fail; record {index.ids([0])[0]}: {first[0]}")


def _look_again(costs: RecordCosts, index: RecordIndex, measurer: Measurer) -> RecordCosts | None:
    """Measure the faulty records anew, and some others; None where one of the others is not what it was."""
    looked = sorted({*costs.faults, *np.linspace(0, len(costs) - 1, _LOOKED_AT, dtype=int).tolist()})
    now = pa.Table.from_batches([measurer(_chunk(index, index.place(number)[0], number, 1)).costs for number in looked])
    pairs = zip(looked, costs.table.take(looked).to_pylist(), now.to_pylist(), strict=True)
    changed = {number for number, was, found in pairs if was != found}
    if not changed <= costs.faults.keys():
        return None
    if not changed:
        return costs
    # What was measured now stands in for what was faulty, row by row.
    taken = np.arange(len(costs))
    taken[looked] = len(costs) + np.arange(len(looked))
    return RecordCosts(pa.concat_tables([costs.table, now]).take(taken))

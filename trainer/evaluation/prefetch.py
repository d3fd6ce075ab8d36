"""Read the samples of the next batches while the model answers this one."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ..data.samples import Sample, SampleSource
from .questions import Question

_BATCHES_AHEAD = 2


def prefetched(
    batches: Sequence[Sequence[Question]], samples: SampleSource, threads: int
) -> Iterator[list[tuple[Question, Sample]]]:
    """Yield each batch with the samples of its questions, in order; several turns of a record share its sample.

    Decoding and resizing run outside of Python's lock, so threads are enough, and nothing is copied between processes.

    Args:
        batches: the questions.
        samples: reads a record and its images.
        threads: that read at the same time.

    Raises:
        DatasetError: an image cannot be read; names the record.
    """
    with contextlib.closing(_Reader(samples, threads)) as reader:
        ahead: deque[tuple[Sequence[Question], dict[int, Future[Sample]]]] = deque()
        for batch in batches:
            ahead.append((batch, reader.read(batch)))
            if len(ahead) > _BATCHES_AHEAD:
                yield _joined(*ahead.popleft())
        while ahead:
            yield _joined(*ahead.popleft())


class _Reader:
    def __init__(self, samples: SampleSource, threads: int) -> None:
        self._samples = samples
        self._pool = ThreadPoolExecutor(threads, "read-samples")

    def read(self, batch: Sequence[Question]) -> dict[int, Future[Sample]]:
        records = dict.fromkeys(question.record for question in batch)
        return {number: self._pool.submit(self._samples.__getitem__, number) for number in records}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _joined(batch: Sequence[Question], reading: dict[int, Future[Sample]]) -> list[tuple[Question, Sample]]:
    return [(question, reading[question.record].result()) for question in batch]

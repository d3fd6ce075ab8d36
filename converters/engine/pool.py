"""Items dealt to workers that may die: the part that is the same on one machine and on a cluster.

A worker has at most two items at a time, so memory is bounded, and it never waits for the driver. It answers in order,
so one that dies names its item: the first it has not answered. That item is tried once more while nothing else is at
work, for it may only have been the neighbours that used up the memory; if its worker dies again, it has failed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from .deal import Deal
from .messages import Failed, Failure, Work, encode

__all__ = ["Death", "Executor", "Hand", "Pool"]

_DEPTH = 2
_LARGE = 1 << 15  # bytes


class Executor(Protocol):
    """Something that converts items, in any order. A context manager: leaving it ends its workers."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        """Yield an encoded outcome for each item, taking new items only as earlier ones are answered."""


class Death(NamedTuple):
    """A worker ended; the item it was at may be to blame, but not for the loss of its machine."""

    blames_item: bool


class Hand(Protocol):
    """One worker, and what it was given and has not answered."""

    given: deque[Work]

    @property
    def ready(self) -> bool:
        """Whether it may be given items."""

    def start(self) -> None:
        """Bring the worker up, for the first time or in place of a dead one."""

    def give(self, work: Work) -> None:
        """Hand it an item."""


class Pool(ABC):
    """Deals items to hands, see the module's text.

    Args:
        hands: the workers.
    """

    def __init__(self, hands: Sequence[Hand]) -> None:
        self._hands = hands
        self._returned: deque[Work] = deque()  # given to a worker that died before it began them
        self._suspects: deque[tuple[Hand, Work]] = deque()  # their worker died over them
        self._exhausted = False  # no more items will come
        self._alone = False  # a suspect is tried once more, nothing else is at work

    @abstractmethod
    def _answers(self) -> Iterator[tuple[Hand, bytes | Death]]:
        """Wait until at least one hand has answered its first item, died, or become ready; yield what there is."""

    def __enter__(self) -> Executor:
        for hand in self._hands:
            hand.start()
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, works: Iterator[Work]) -> Iterator[bytes]:
        """See `Executor`."""
        deal = Deal(works, len(self._hands))
        while self._hand_out(deal):
            for hand, answer in self._answers():
                if isinstance(answer, Death):
                    line = self._bury(hand, answer)
                    if line is not None:
                        yield line
                else:
                    if hand.given:
                        hand.given.popleft()
                    yield answer

    def _hand_out(self, deal: Deal) -> bool:
        """Give every hand what it has room for; tell whether anything is left to wait for."""
        idle = not any(hand.given for hand in self._hands)
        if idle:
            self._alone = bool(self._suspects)
        if self._suspects:
            # The worker in place of the dead one is new: what others have piled up cannot count against the item.
            hand = next((hand for hand in (self._suspects[0][0], *self._hands) if hand.ready), None)
            if idle and hand is not None:
                hand.give(self._suspects.popleft()[1])
            return True
        if not self._alone:
            self._fill(deal)
        return bool(self._returned) or not self._exhausted or any(hand.given for hand in self._hands)

    def _fill(self, deal: Deal) -> None:
        for depth in range(1, _DEPTH + 1):
            for number, hand in enumerate(self._hands):
                if len(hand.given) >= depth or not hand.ready:
                    continue
                work = self._returned.popleft() if self._returned else deal.next(number)
                if work is None:
                    self._exhausted = True
                    return
                if hand.given and len(encode(work)) > _LARGE:
                    # It would fill a pipe, and driver and worker could wait for each other to read.
                    self._returned.appendleft(work)
                    return
                hand.give(work)

    def _bury(self, hand: Hand, death: Death) -> bytes | None:
        lost = list(hand.given)
        hand.given.clear()
        hand.start()
        if not lost or not death.blames_item:
            self._returned.extend(lost)
            return None
        suspect, *rest = lost
        self._returned.extend(rest)
        if not self._alone:
            self._suspects.append((hand, suspect))
            return None
        message = "the worker process died over it, twice; it crashes the decoder, or needs more memory than there is"
        failure = Failure(stage="worker", exception="WorkerDied", message=message)
        return encode(Failed(suspect.index, suspect.item.path, failure, suspect.item.shared))

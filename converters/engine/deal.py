"""Which item a worker is given next: those that share an image go to one worker, which stores it once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .messages import Work

__all__ = ["Deal"]

# So many items wait for the worker that has their image; the next goes to another, which stores the image, too.
_MOST_WAITING = 32


class _Lane:
    """What one worker is at, and what waits for it."""

    def __init__(self) -> None:
        self.shared = ""
        self.waiting: deque[Work] = deque()

    def takes(self, work: Work) -> bool:
        return self.shared == work.item.shared and len(self.waiting) < _MOST_WAITING


class Deal:
    """Deals items to workers, in order but for those that share an image with the ones before them.

    Args:
        works: the items.
        hands: how many workers there are.
    """

    def __init__(self, works: Iterator[Work], hands: int) -> None:
        self._works = works
        self._lanes = [_Lane() for _ in range(hands)]

    def next(self, hand: int) -> Work | None:
        """Return the next item for a worker, by its number; None where there are no more for anybody."""
        own = self._lanes[hand]
        if own.waiting:
            return own.waiting.popleft()
        for work in self._works:
            lane = next((lane for lane in self._lanes if lane.takes(work)), own) if work.item.shared else own
            if lane is own:
                own.shared = work.item.shared
                return work
            lane.waiting.append(work)
        # Nothing new is left: who is idle helps who is not.
        fullest = max(self._lanes, key=lambda lane: len(lane.waiting))
        return fullest.waiting.popleft() if fullest.waiting else None

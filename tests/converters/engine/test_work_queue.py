from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.base import Item
from phi3v_data.converters.engine.messages import Work
from phi3v_data.converters.engine.pool import WorkQueue


def works(shared: str) -> Iterator[Work]:
    """An item a letter, each sharing the image of that name; a space shares none."""
    for index, letter in enumerate(shared):
        yield Work(index, Item(id=str(index), split="s", path="p", images="p", shared=letter.strip()))


def assigned(queue: WorkQueue, *workers: int) -> list[int | None]:
    """The numbers of the items that the workers are assigned as they ask in turn."""
    found = [queue.next(worker) for worker in workers]
    return [work.index if work else None for work in found]


@given(st.text("ab ", max_size=120), st.lists(st.integers(0, 2), max_size=60))
def test_every_item_is_assigned_once_whoever_asks(shared: str, asking: list[int]) -> None:
    queue = WorkQueue(works(shared), 3)
    first = assigned(queue, *asking)
    rest = assigned(queue, *[0] * (len(shared) + 1))
    assert sorted(n for n in first + rest if n is not None) == list(range(len(shared)))
    assert rest[-1] is None


@given(st.lists(st.integers(0, 2), min_size=20, max_size=20))
def test_items_that_share_nothing_are_assigned_in_order(asking: list[int]) -> None:
    assert assigned(WorkQueue(works(" " * 20), 3), *asking) == list(range(20))


def test_items_that_share_an_image_go_to_one_worker_and_the_others_to_the_next() -> None:
    queue = WorkQueue(works("aaabbc"), 2)
    assert assigned(queue, 0, 1, 1, 0, 0) == [0, 3, 4, 1, 2]
    assert assigned(queue, 1, 0) == [5, None]


def test_where_too_many_wait_for_one_worker_another_takes_part() -> None:
    queue = WorkQueue(works("a" * 100), 2)
    assert assigned(queue, 0, 1, 1, 0) == [0, 33, 34, 1]


def test_in_the_end_the_idle_help() -> None:
    queue = WorkQueue(works("aaaa"), 2)
    assert assigned(queue, 0, 1, 1, 0, 1) == [0, 1, 2, 3, None]

"""Which questions a split asks, and which rank answers which of them together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from ...schema.index import RecordIndex
from ...schema.record import Record, Turn


@dataclass(frozen=True)
class Question:
    """One turn of one record, without its images.

    Args:
        record: the record's number in the split.
        turn: which turn, from 0.
        id: the record's id.
        expected: the record's own answer; empty where it has none.
        accepted: every acceptable answer; none where there is nothing to compare with.
        images: how many images are shown up to this turn.
        group: what must not be split from it (`meta.group`), else the record's id.
        pair: the pair of statements it belongs to (`meta.pair`), "" where it names none.
        sentence: the sentence it asks about (`meta.sentence`), likewise.
        has_label: whether the record names a class (`meta.label`).
        is_supervised: whether training would train on its own answer.
    """

    record: int
    turn: int
    id: str
    expected: str
    accepted: tuple[str, ...]
    images: int
    group: str
    pair: str
    sentence: str
    has_label: bool
    is_supervised: bool

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from every other question of its split."""
        return self.id, self.turn


def questions_of(index: RecordIndex, limit: int | None = None) -> list[Question]:
    """List the questions of a split, in the order of its records.

    Args:
        index: the records.
        limit: of so many records, from the first on; None for all.
    """
    count = len(index) if limit is None else min(limit, len(index))
    return [question for number in range(count) for question in _of_record(number, index[number])]


def _of_record(number: int, record: Record) -> Iterator[Question]:
    meta = {} if record.meta is UNSET else record.meta
    images = 0
    for turn_number, turn in enumerate(record.conversations):
        images += len(turn.images)
        yield Question(
            record=number,
            turn=turn_number,
            id=record.id,
            expected=turn.assistant,
            accepted=_accepted(turn),
            images=images,
            group=str(meta.get("group") or record.id),
            pair=str(meta.get("pair", "")),
            sentence=str(meta.get("sentence", "")),
            has_label="label" in meta,
            is_supervised=turn.is_supervised and bool(turn.assistant),
        )


def _accepted(turn: Turn) -> tuple[str, ...]:
    own = (turn.assistant,) if turn.assistant else ()
    return own if turn.answers is UNSET else (*own, *turn.answers)


def batches_of_rank(
    questions: Sequence[Question],
    tokens: Sequence[int],
    answered: Collection[tuple[str, int]],
    batch_size: int,
    rank: int,
    world: int,
) -> list[list[Question]]:
    """Return the batches that one rank answers: questions of similar length together, the longest first.

    What does not fit is found at once, and little is padded. The batches are handed out in turn, so that all ranks have
    about as much to do.

    Args:
        questions: all of the split.
        tokens: for each record, how many tokens it has.
        answered: the keys of those that an earlier try has answered.
        batch_size: questions in a batch.
        rank: which of the ranks this is.
        world: how many there are.
    """
    waiting = [question for question in questions if question.key not in answered]
    waiting.sort(key=lambda question: (-tokens[question.record], question.record, question.turn))
    batches = [waiting[first : first + batch_size] for first in range(0, len(waiting), batch_size)]
    return batches[rank::world]

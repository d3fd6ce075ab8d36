"""What records share, as hashes, and which of them are to be looked at: one pass over many, made to be fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import xxhash
from msgspec import UNSET

from .lean import LeanRecord, LeanTurn
from .text import classes_in

__all__ = ["Digests", "digest", "digests_of"]

digest = xxhash.xxh3_64_intdigest


@dataclass
class Digests:
    """Columns of `scan.COLUMNS`, [records], and what else one pass tells.

    Args:
        answered: whether each turn that is trained on has an answer.
        ids: hashes of the ids.
        questions: hashes of what the user says.
        answers: hashes of questions and answers.
        contents: hashes of questions, answers and the paths of images.
        paths: of all images.
        keys: of records and turns, but for those inside `meta`.
        doubtful: record and turn where the rules on empty questions and on lists of classes may find something.
    """

    answered: list[bool] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    questions: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: int = 0
    doubtful: list[tuple[int, int]] = field(default_factory=list)


def digests_of(records: Sequence[LeanRecord]) -> Digests:
    """Return the digests of records."""
    found = Digests(keys=2 * len(records))
    last, question, classes = None, 0, frozenset[str]()
    for number, record in enumerate(records):
        turns = record.conversations
        found.keys += (record.source is not UNSET) + (record.meta is not UNSET)
        found.ids.append(digest(record.id.encode()))
        if len(turns) > 1:
            _add_conversation(found, number, turns)
            continue
        turn = turns[0]
        user, assistant, images = turn.user, turn.assistant, turn.images
        # Records of one source ask the same, more often than not.
        if user != last:
            last, question, classes = user, digest(user.encode()), classes_in(user)
        if (classes and assistant not in classes) or not user or user.isspace():
            found.doubtful.append((number, 0))
        found.answered.append(_is_answered(turn))
        found.questions.append(question)
        answer = digest(assistant.encode(), question)
        found.answers.append(answer)
        found.keys += 2 + (turn.answers is not UNSET) + (turn.supervised is not UNSET)
        if images is UNSET:
            found.contents.append(answer)
            continue
        found.keys += 1
        found.paths += images
        found.contents.append(digest("\0".join(images).encode(), answer))
    return found


def _add_conversation(found: Digests, number: int, turns: Sequence[LeanTurn]) -> None:
    images = [name for turn in turns for name in turn.images or ()]
    for place, turn in enumerate(turns):
        found.keys += 2 + (turn.images is not UNSET) + (turn.answers is not UNSET) + (turn.supervised is not UNSET)
        classes = classes_in(turn.user)
        if not turn.user or turn.user.isspace() or (classes and turn.assistant not in classes):
            found.doubtful.append((number, place))
    question = digest("\0".join([turn.user for turn in turns]).encode())
    answer = digest("\0".join([turn.assistant for turn in turns]).encode(), question)
    found.answered.append(all(map(_is_answered, turns)))
    found.questions.append(question)
    found.answers.append(answer)
    found.contents.append(digest("\0".join(images).encode(), answer) if images else answer)
    found.paths += images


def _is_answered(turn: LeanTurn) -> bool:
    return (bool(turn.assistant) and not turn.assistant.isspace()) or turn.supervised is False

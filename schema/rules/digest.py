"""What records share, as hashes, and which of them are to be looked at: whole columns at a time, made to be fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import xxhash
from msgspec import UNSET

from .lean import LeanRecord, LeanTurn
from .text import classes_in

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
        shown: how many images each record shows.
        keys: of records and turns, but for those inside `meta`.
        doubtful: record and turn where the rules on empty questions and on lists of classes may find something.
    """

    answered: list[bool]
    ids: list[int]
    questions: list[int]
    answers: list[int]
    contents: list[int]
    paths: list[str]
    shown: list[int]
    keys: int
    doubtful: list[tuple[int, int]]


def digests_of(records: Sequence[LeanRecord]) -> Digests:
    """Return the digests of records."""
    conversations = [record.conversations for record in records]
    turns = list(chain.from_iterable(conversations))
    users = [turn.user for turn in turns]
    assistants = [turn.assistant for turn in turns]
    images = [turn.images or () for turn in turns]
    paths = list(chain.from_iterable(images))
    if len(turns) > len(records):
        users = ["\0".join([turn.user for turn in each]) for each in conversations]
        assistants = ["\0".join([turn.assistant for turn in each]) for each in conversations]
        images = [[name for turn in each for name in turn.images or ()] for each in conversations]
    questions = _hashes(users)
    answers = _hashes(assistants, questions)
    contents = _hashes(map("\0".join, images), answers)
    # Records of one source say the same, more often than not: one of those that are alike is looked at.
    alike = dict(zip(answers, conversations, strict=True))
    blank = {each for each, said in alike.items() if not all(map(_is_answered, said))}
    doubted = {each for each, said in alike.items() if any(map(_is_doubtful, said))}
    return Digests(
        [each not in blank or all(map(_is_trained_on, conversations[at])) for at, each in enumerate(answers)],
        _hashes([record.id for record in records]),
        questions,
        answers,
        contents,
        paths,
        list(map(len, images)),
        _keys(records, turns),
        [
            (at, place)
            for at, each in enumerate(answers if doubted else ())
            if each in doubted
            for place, turn in enumerate(conversations[at])
            if _is_doubtful(turn)
        ],
    )


def _hashes(texts: Iterable[str], seeds: Iterable[int] | None = None) -> list[int]:
    data = map(str.encode, texts)
    return list(map(digest, data) if seeds is None else map(digest, data, seeds))


def _keys(records: Sequence[LeanRecord], turns: Sequence[LeanTurn]) -> int:
    optional = [
        [record.source is UNSET for record in records],
        [record.meta is UNSET for record in records],
        [turn.images is UNSET for turn in turns],
        [turn.answers is UNSET for turn in turns],
        [turn.supervised is UNSET for turn in turns],
    ]
    return 2 * (len(records) + len(turns)) + sum(each.count(False) for each in optional)


def _is_answered(turn: LeanTurn) -> bool:
    return bool(turn.assistant) and not turn.assistant.isspace()


def _is_trained_on(turn: LeanTurn) -> bool:
    return turn.supervised is False or _is_answered(turn)


def _is_doubtful(turn: LeanTurn) -> bool:
    if not turn.user or turn.user.isspace():
        return True
    classes = classes_in(turn.user)
    return bool(classes) and turn.assistant not in classes

"""From a row of any chat format to a sample: questions, answers, and images with their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from ...schema.errors import ItemError
from ...schema.layout import IMAGES
from ...schema.wording import counted
from ...storage import name_key
from ..rows import ImageRef, Row
from ..sample import Sample, SampleTurn
from .messages import Message, read_messages, unread_keys

Misplaced: TypeAlias = Literal["front", "refuse"]

# Where a row has what no other key of its format would hold.
OWN_KEY = "phi3v"
_SUFFIX = re.compile(r"\.(?:bmp|gif|jpeg|jpg|png|ppm|tif|tiff|webp)$", re.IGNORECASE)


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    """What a record has beyond the format; see `export`."""

    source: str | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET
    answers: list[list[str] | None] | UnsetType = UNSET


def read_chat(row: Row, system: Misplaced, marks: Misplaced) -> tuple[str, Sample]:
    """Read a row of any format: its id, "" where it has none, and the sample that it is.

    A system message at the start is put in front of the first question, with an empty line between, or refused. An
    image in the middle of a text moves to the front of its turn, where a record has it, or is refused (`marks`).

    Raises:
        ItemError: it is not a conversation, or shows what is refused.
    """
    values = row.cells()
    given = values.get("id")
    if given is not None and (isinstance(given, bool) or not isinstance(given, (str, int)) or given == ""):
        raise ItemError(f"its id is {given!r}; expected a text or a whole number")
    try:
        own = msgspec.convert(values[OWN_KEY], _Own) if OWN_KEY in values else None
    except msgspec.ValidationError as error:
        raise ItemError(f"the key {OWN_KEY} is not as export-data writes it ({error})") from error
    # A row made of a record may be blank where the record was.
    pairs = _pairs(read_messages(row), system, marks, may_be_blank=own is not None)
    images = list(dict.fromkeys(image for question, _ in pairs for image in question.images if image is not None))
    meta: dict[str, Any] | UnsetType = own.meta if own else unread_keys(values)
    answers = own.answers if own and own.answers is not UNSET else [None] * len(pairs)
    if len(answers) != len(pairs):
        raise ItemError(f"{OWN_KEY}.answers are of {counted(len(answers), 'turn')}; there are {len(pairs)}")
    turns = [
        SampleTurn(
            user=question.text or "",
            assistant=answer.text or "",
            answers=acceptable,
            images=[images.index(image) for image in question.images if image is not None],
            supervised=answer.supervised,
        )
        for (question, answer), acceptable in zip(pairs, answers, strict=True)
    ]
    sample = Sample(
        turns=turns,
        images=images,
        meta=None if meta is UNSET or (own is None and not meta) else meta,
        source=UNSET if own is None else None if own.source is UNSET else own.source,
    )
    return "" if given is None else str(given), sample


def group_of(sample: Sample) -> str:
    """Return what is never split: the group of a sample where it has one, else its first image, else itself."""
    group = (sample.meta or {}).get("group")
    if isinstance(group, str):
        return group
    shown = (sample.images[number] for turn in sample.turns for number in turn.images or ())
    if first := next((image.path for image in shown if image.path), ""):
        return first
    cells = [(image.column, *image.steps) for image in sample.images]
    turns = [([cells[number] for number in turn.images or ()], turn.user, turn.assistant) for turn in sample.turns]
    return msgspec.json.encode(turns).decode()


def _pairs(
    messages: list[Message], system: Misplaced, marks: Misplaced, *, may_be_blank: bool
) -> list[tuple[Message, Message]]:
    """Pair questions and answers; a system message becomes part of the first question."""
    before = ""
    if messages and messages[0].role == "system":
        first, messages = messages[0], messages[1:]
        if system == "refuse":
            raise ItemError("it has a system message; give --system front to put it in front of the first question")
        if first.images:
            raise ItemError("its system message shows an image; images belong in questions")
        before = f"{first.text}\n\n" if first.text else ""
    for number, message in enumerate(messages):
        expected = "assistant" if number % 2 else "user"
        if message.role != expected:
            raise ItemError(
                f"message {number + 1}{' after the system message' if before else ''} is the {message.role}'s; "
                f"expected the {expected}'s, for questions and answers take turns"
            )
        if message.role == "assistant" and message.images:
            raise ItemError("an answer shows an image; images belong in questions")
        if not message.in_front and marks == "refuse":
            raise ItemError("an image is after its text; give --marks front to move it to the front of its turn")
        if not may_be_blank and message.text is not None and not message.text.strip() and not message.images:
            blank = "a question is blank" if message.role == "user" else "an answer is empty; null is one not known"
            raise ItemError(blank)
    if not messages or len(messages) % 2:
        raise ItemError("it ends without an answer; where none is known, give one that is null")
    messages[0] = messages[0]._replace(text=before + (messages[0].text or ""))
    return list(zip(messages[::2], messages[1::2], strict=True))


class ImageNames:
    """Names for the images of records, in order.

    An image keeps its path as its name, a leading `images/` and the suffix left off, so that several records show one
    stored copy. That works where the images of a record have one prefix (`train/page.0` and `train/page.1`) that no
    other file takes; all others are named for the record.
    """

    def __init__(self) -> None:
        # What took a name, and a prefix, by what file systems tell apart.
        self._files: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}

    def name(self, images: Sequence[ImageRef], otherwise: str) -> tuple[list[str], str]:
        """Name the images of a record, no two the same, and return their prefix, too, which they share with others.

        Those that cannot keep their paths start with `otherwise`, and share nothing: their prefix is "".
        """
        # The name that an image's path gives it, "" where it has no path.
        paths = [image.path.removeprefix(f"{IMAGES}/") if image.is_file else "" for image in images]
        kept = [_SUFFIX.sub("", path) for path in paths]
        prefixes = {_prefix(name) for name in kept}
        prefix = prefixes.pop() if len(prefixes) == 1 else ""
        if prefix and self._take(prefix, kept, images):
            return kept, prefix
        return [f"{otherwise}.{number}" for number in range(len(images))], ""

    def _take(self, prefix: str, names: Sequence[str], images: Sequence[ImageRef]) -> bool:
        files = {name_key(name): image.path for name, image in zip(names, images, strict=True)}
        free = len(files) == len(images) and all(self._files.get(key, path) == path for key, path in files.items())
        if not free or self._prefixes.setdefault(name_key(prefix), prefix) != prefix:
            return False
        self._files.update(files)
        return True


def _prefix(name: str) -> str:
    """Return the one prefix of an item that the engine lets have an image of this name, "" where there is none."""
    before, slash, last = name.rpartition("/")
    stem, dot, part = last.rpartition(".")
    return name if not dot else f"{before}{slash}{stem}" if stem and part else ""

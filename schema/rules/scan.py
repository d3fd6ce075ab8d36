"""Reads one part of a file of records: what a worker does. Findings, and a row for each record that can be read."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from ...storage import Folder
from ...storage.outage import one_line, outage
from ..errors import DatasetError, RunError, UsageError
from ..index.counting import Counter
from ..record import decode_record
from ..shards import Shard
from .digest import digest, digests_of
from .lean import LeanRecord, LeanTurn, decode_lean, decode_lean_lines, decode_meta_lines
from .lines import Block, Task
from .records import LINES, Line
from .rule import Finding, Rule
from .screen import keys_are_single, texts_are_plain
from .settings import Settings
from .shown import NOTHING, ShownImages, Taken
from .text import TURNS

COLUMNS = np.dtype(
    [
        ("line", np.uint64),
        ("offset", np.uint64),
        ("size", np.uint32),
        ("answered", np.uint8),
        ("tokens", np.uint32),
        ("image_tokens", np.uint32),
        ("id", np.uint64),
        ("group", np.uint64),
        ("question", np.uint64),
        ("answer", np.uint64),
        ("content", np.uint64),
    ]
)
"""A row of a record: its place; whether each of its turns has an answer; tokens but for those of images, 0 where they
are not counted; tokens of its images, where these were looked at; and hashes: of its id, its group (0: none), its
questions, these with their answers, and these with the paths of its images."""

# Where some of many lines are at failure, so many of them at a time are looked at again.
_FEW = 64
_BOM = b"\xef\xbb\xbf"
_LINE_END = 10
# Rules that may find something in printable ASCII.
_OF_PLAIN_TEXTS = ("T403", "T408")


@dataclass
class Part:
    """What was found in a part of a file.

    Args:
        lines: how many there are.
        findings: with lines counted from the part's first.
        rows: of COLUMNS, one a record; their lines are counted from the part's first, too.
        labels: how often each label stands in `meta.label`.
        images: what was found out about images; see `ShownImages`.
        shown: how many images the records show, one that several show counted for each.
        size: bytes of the file, as it lies there.
    """

    lines: int = 0
    findings: list[Finding] = field(default_factory=list)
    rows: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, COLUMNS))
    labels: Counts[str] = field(default_factory=Counts)
    images: Taken = NOTHING
    shown: int = 0
    size: int = 0


class Scanner:
    """Reads parts of a dataset's files.

    Args:
        folder: the dataset folder.
        settings: how data is validated.
        images: looks at images; None where records alone are looked at.
    """

    def __init__(self, folder: Folder, settings: Settings, images: ShownImages) -> None:
        self._folder = folder
        self._images = images
        self._lines = _selected(LINES.rules, settings)
        self._turns = _selected(TURNS.rules, settings)
        self._plain_turns = {code: rule for code, rule in self._turns.items() if code in _OF_PLAIN_TEXTS}
        self._counter = Counter(settings.counting) if settings.counting and settings.level != "records" else None
        self._longest = settings.limits.longest_line

    def __call__(self, task: Task) -> Part:
        """Read one part.

        Raises:
            RunError: the machine or the store is failing.
            DatasetError: the file cannot be read.
        """
        self._part = Part(size=task.end - task.start)
        self._rows: list[npt.NDArray[np.void]] = []
        try:
            if task.file.endswith(".tar"):
                self._shard(task)
            else:
                for block in task.read(self._folder, self._longest):
                    self._block(block)
        except OSError as error:
            where = f"{self._folder.address}/{task.file}"
            why = outage(error)
            if why is not None:
                raise RunError(f"{where}: cannot be read ({why}); fix it and rerun") from error
            raise DatasetError(f"{where}: cannot be read ({one_line(error)})") from error
        self._part.rows = np.concatenate(self._rows) if self._rows else np.empty(0, COLUMNS)
        self._part.images = self._images.take()
        self._part.rows["image_tokens"] = self._part.images.tokens
        return self._part

    def _shard(self, task: Task) -> None:
        try:
            shard = Shard(self._folder, task.file)
        except DatasetError:
            # That it cannot be read is found when the dataset is looked at as a whole.
            return
        with shard:
            fingerprint = self._folder.fingerprint(task.file)
            for number in range(len(shard)):
                sample = shard.sample(number)
                places = [f"{task.file}@{offset}" for offset, _ in shard.entries[number].images]
                self._images.in_tar(fingerprint, places, sample.images)
                self._one(sample.record, shard.entries[number].record[0], first=False)
                self._part.lines += 1

    def _block(self, block: Block) -> None:
        if block.too_long:
            self._check_line(Line(b"", block.offset == 0, block.too_long))
            self._part.lines += 1
            return
        data, offset = block.data, block.offset
        if offset == 0 and data.startswith(_BOM):
            first, end, data = data.partition(b"\n")
            self._one(first.rstrip(b"\r"), 0, first=True)
            self._part.lines += 1
            offset += len(first) + len(end)
        if not data or self._many(data, offset):
            return
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), _FEW):
            few = lines[start : start + _FEW]
            joined = b"\n".join(few) + b"\n"
            if not self._many(joined, offset):
                self._each(few, offset)
            offset += len(joined)

    def _each(self, lines: Sequence[bytes], offset: int) -> None:
        for line in lines:
            if line.strip():
                self._one(line.rstrip(b"\r"), offset, first=offset == 0)
            self._part.lines += 1
            offset += len(line) + 1

    def _one(self, data: bytes, offset: int, *, first: bool) -> None:
        """Look at one line, rule by rule."""
        bare = data.removeprefix(_BOM) if first else data
        record = _decoded(bare)
        if record is not None and len(bare) == len(data):
            starts, sizes = np.array([offset], np.uint64), np.array([len(data)], np.uint32)
            if self._records([record], data, starts, sizes, check_keys=True):
                return
        self._check_line(Line(data, first))
        if record is not None:
            starts, sizes = np.array([offset], np.uint64), np.array([len(data)], np.uint32)
            self._records([record], data, starts, sizes, check_keys=False)

    def _many(self, data: bytes, offset: int) -> bool:
        """Read many lines at once; False where one of them had better be looked at alone."""
        try:
            records = decode_lean_lines(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_END)
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        if len(ends) != len(records):
            return False
        starts = np.concatenate([[0], ends[:-1] + 1])
        offsets, sizes = (starts + offset).astype(np.uint64), (ends - starts).astype(np.uint32)
        if not self._records(records, data, offsets, sizes, check_keys=True):
            return False
        self._part.lines += len(records)
        return True

    def _records(
        self,
        records: Sequence[LeanRecord],
        data: bytes,
        offsets: npt.NDArray[np.uint64],
        sizes: npt.NDArray[np.uint32],
        *,
        check_keys: bool,
    ) -> bool:
        """Take records in; False, and nothing is taken, where a key may be repeated or a `meta` is not an object."""
        metas = b"\n".join([record.meta if record.meta is not UNSET else b"{}" for record in records])
        found = digests_of(records)
        try:
            read = decode_meta_lines(metas)
        except (msgspec.DecodeError, RecursionError):
            return False
        if check_keys and not keys_are_single(data, found.keys, metas):
            return False
        rows = np.zeros(len(records), COLUMNS)
        rows["line"] = np.arange(self._part.lines, self._part.lines + len(records))
        rows["offset"], rows["size"] = offsets, sizes
        rows["answered"], rows["id"], rows["question"] = found.answered, found.ids, found.questions
        rows["answer"], rows["content"] = found.answers, found.contents
        rows["group"] = _groups([each.group for each in read])
        if self._counter is not None:
            rows["tokens"] = [_text_tokens(self._counter, record) for record in records]
        self._part.labels.update(_labels([each.label for each in read]))
        self._rows.append(rows)
        if texts_are_plain(data):
            self._look_at_turns(records, found.doubtful, self._plain_turns)
        else:
            everywhere = [
                (number, place) for number, each in enumerate(records) for place in range(len(each.conversations))
            ]
            self._look_at_turns(records, everywhere, self._turns)
        self._part.shown += self._images.look(records, found.paths, found.shown, self._part.lines, self._part.findings)
        return True

    def _look_at_turns(
        self, records: Sequence[LeanRecord], places: Sequence[tuple[int, int]], rules: dict[str, Rule[LeanTurn, str]]
    ) -> None:
        for number, place in places:
            record = records[number]
            where = f"turn {place + 1}, " if len(record.conversations) > 1 else ""
            for rule in rules.values():
                for message in rule.check(record.conversations[place]):
                    self._add(rule, f"{where}{message}", self._part.lines + number, record.id)

    def _check_line(self, line: Line) -> None:
        for rule in self._lines.values():
            for message in rule.check(line):
                self._add(rule, message, self._part.lines)

    def _add(self, rule: Rule[Any, Any], message: str, line: int, identity: str = "") -> None:
        self._part.findings.append(rule.finding(message, line=line, id=identity))


def _text_tokens(counter: Counter, record: LeanRecord) -> int:
    try:
        strict = decode_record(msgspec.json.encode(record))
        return counter.tokens(strict, [0] * sum(1 for _ in strict.images())).tokens
    except UsageError:
        # What keeps it from being a prompt is another rule's.
        return 0


def _selected(rules: dict[str, Rule[Any, Any]], settings: Settings) -> dict[str, Rule[Any, Any]]:
    return {code: rule for code, rule in rules.items() if code in settings.codes}


def _decoded(data: bytes) -> LeanRecord | None:
    try:
        record = decode_lean(data)
        # What is wrong with `meta` is wrong with the record.
        decode_meta_lines(record.meta if record.meta is not UNSET else b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record


def _groups(values: Sequence[Any]) -> list[int]:
    """Return the hash of each value, by its text; 0 for None."""
    if not _are_texts(values):
        values = [value if value is None else _label(value) for value in values]
    # Records of one group are many, and often follow one another.
    hashes = {value: 0 if value is None else digest(value.encode()) or 1 for value in set(values)}
    return list(map(hashes.__getitem__, values))


def _labels(values: Sequence[Any]) -> Counts[str]:
    """Return how often each value stands there, by its text; None is none."""
    found = Counts(values if _are_texts(values) else [value if value is None else _label(value) for value in values])
    del found[None]
    return found


def _are_texts(values: Sequence[Any]) -> bool:
    return set(map(type, values)) <= {str, type(None)}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)

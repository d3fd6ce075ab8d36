"""What becomes of one record of a dataset that is fixed: it is repaired, or a finding keeps it from being written."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

import msgspec
from msgspec.structs import replace as changed

from ...storage import Folder
from ..errors import RecordError
from ..index.image_reader import ImageReader
from ..layout import IMAGES
from ..progress import Progress
from ..record import Record, decode_record, encode_record
from ..rules.files import IMAGES as IMAGE_RULES
from ..rules.files import PATHS, SUFFIXES
from ..rules.lean import LeanRecord, decode_lean
from ..rules.lines import Block, Task
from ..rules.records import LINES
from ..rules.registry import all_rules
from ..rules.rule import LEVELS, Finding
from ..rules.scan import Scanner
from ..rules.settings import Settings
from ..rules.shown import ShownImages
from ..rules.validate import Validation
from .found import Found, is_about_records
from .joining import Input
from .output_images import OutputImage
from .reading import InputLine
from .repairs import REPAIRED, NewNames, repaired_turn, upright
from .selection import image_of


@dataclass(frozen=True)
class RepairedRecord:
    """A record as it is written.

    Args:
        record: as it is written.
        before: with the texts, and the names of its images, that it was read with.
        data: its bytes; those that were read where nothing is repaired.
        codes: the rules whose findings are repaired.
        findings: that were found in it.
    """

    record: Record
    before: Record
    data: bytes
    codes: list[str]
    findings: list[Finding]


class RecordFixer:
    """Validates a dataset, and repairs its records one by one.

    Args:
        source: the dataset.
        settings: how it is validated.
        wanted: tells which findings count; those that keep a record or an image from being written always do.
        progress: told how the validation goes.
    """

    def __init__(
        self, source: Input, settings: Settings, wanted: Callable[[Finding], bool], progress: Progress
    ) -> None:
        needed = _needed(settings)
        settings = replace(settings, codes=settings.codes | needed)
        folder, in_shards = source.dataset.folder, bool(source.dataset.shards)
        self._source = source
        self._names = NewNames(source.dataset)
        self._headers = ImageReader(folder, "header")
        scanned = replace(settings, counting=None, level="records" if in_shards else settings.level)
        self._scanner = Scanner(folder, scanned, ShownImages(folder, scanned, None))
        self.counts: Counter[str] = Counter()
        """How many images each rule's repair has changed."""
        validation = Validation(
            [(source.address, source.dataset)],
            settings,
            progress,
        )
        found = validation.findings(lambda each: _matters(each) and (each.rule in needed or wanted(each)))
        self._found = Found(found, in_shards)
        self._turned: set[str] = set()
        self._lock = threading.Lock()

    def fixed(self, line: InputLine) -> tuple[RepairedRecord | None, Finding | None]:
        """Return a record as it is written, or the finding that keeps it from that."""
        findings = self._found.of_line(line.file, line.number)
        bad = _blamed(findings)
        if bad is not None:
            return None, bad
        try:
            fixed = self.repaired(line)
        except (msgspec.DecodeError, RecordError, UnicodeDecodeError, RecursionError) as error:
            return None, all_rules()["R108"].finding(str(error))
        return fixed, _blamed([*fixed.findings, *self._caused(fixed)])

    def repaired(self, line: InputLine) -> RepairedRecord:
        """Return a record that was found to be fit, as it is written."""
        codes = {finding.rule for finding in self._found.of_line(line.file, line.number)} & REPAIRED.keys()
        if line.has_mark:
            codes.add("R102")
        if codes & {"F203", "T404", "T405"}:
            before, data = _with_repaired_texts(decode_lean(line.data), codes)
            record = decode_record(data)
        else:
            data = line.data
            before = record = decode_record(data)
        found = self._found.of_record(line.file, line.number, record.images())
        if "F203" in codes:
            # Where the path leads is looked at only now.
            found = [*found, *self._scanned(data)]
        new = self._renamed(line, record, found)
        if new is not None:
            codes.add("F211")
            record, data = new, encode_record(new)
        # An image is turned when it is written.
        return RepairedRecord(record, before, data, sorted(codes - {"P305"}), found)

    def _renamed(self, line: InputLine, record: Record, found: Sequence[Finding]) -> Record | None:
        """Return a record that shows images by their new names; None where all keep theirs."""
        wrong = {finding.image.removeprefix(f"{IMAGES}/") for finding in found if finding.rule == "F211"}
        if not wrong:
            return None
        stored = line.stored() if line.stored is not None else None
        names = list(record.images())
        for number, name in enumerate(names):
            if name in wrong:
                look = (
                    self._headers.file(f"{IMAGES}/{name}")
                    if stored is None
                    else self._headers.data(name, "", stored[number])
                )
                if look.facts.format in SUFFIXES:
                    names[number] = self._names.name_for(name, look.facts.format)
        rest = iter(names)
        turns = [changed(turn, images=[next(rest) for _ in turn.images]) for turn in record.conversations]
        return changed(record, conversations=turns)

    def _caused(self, fixed: RepairedRecord) -> Iterator[Finding]:
        """Yield what a repair of texts has brought about: `<|en\\0d|>` without its NUL is a special token."""
        if not {"T404", "T405"} & set(fixed.codes):
            return
        yield from (finding for finding in self._scanned(fixed.data) if not finding.image)
        for old, new in zip(fixed.before.conversations, fixed.record.conversations, strict=True):
            if old.assistant.strip() and not new.assistant.strip() and new.is_supervised:
                yield all_rules()["R115"].finding("nothing is left of an answer without its control characters")

    def _scanned(self, data: bytes) -> list[Finding]:
        block = Block(1, data + b"\n")
        part = self._scanner(Task("", block.offset, block.offset + len(block.data), [block]))
        return [finding for finding in part.findings if _matters(finding)]

    def images(self, line: InputLine, fixed: RepairedRecord, folder: Folder) -> list[OutputImage]:
        """Return the images of a record as they are written.

        Args:
            line: where it was read.
            fixed: the record.
            folder: the new dataset.
        """
        askew = {finding.image for finding in fixed.findings if finding.rule == "P305"}
        images = []
        for number, (old, new) in enumerate(zip(fixed.before.images(), fixed.record.images(), strict=True)):
            image = image_of(self._source, line, old, number, folder)._replace(name=new)
            images.append(OutputImage(new, partial(self._upright, image)) if f"{IMAGES}/{old}" in askew else image)
        return images

    def _upright(self, image: OutputImage) -> IO[bytes]:
        with image.open() as stream:
            data = stream.read()
        # What cannot be decoded stays as it is, and is found again.
        with contextlib.suppress(OSError):
            turned = upright(data)
            if turned != data:
                # Images are written by several threads where a store is written to.
                with self._lock:
                    self.counts["P305"] += image.name not in self._turned
                    self._turned.add(image.name)
            data = turned
        return io.BytesIO(data)


def _needed(settings: Settings) -> frozenset[str]:
    """Return the codes of the rules whose errors keep a record or an image from being written at all."""
    depth = LEVELS.index(settings.level)
    return frozenset(
        code
        for rules in (LINES.rules, PATHS.rules, IMAGE_RULES.rules)
        for code, rule in rules.items()
        if rule.severity == "error" and LEVELS.index(rule.level) <= depth and code not in REPAIRED
    )


def _matters(finding: Finding) -> bool:
    """Tell whether a finding decides over a record: it is an error, or can be repaired."""
    return is_about_records(finding.rule) and (finding.severity == "error" or finding.rule in REPAIRED)


def _blamed(findings: Sequence[Finding]) -> Finding | None:
    return next((each for each in findings if each.severity == "error" and each.rule not in REPAIRED), None)


def _with_repaired_texts(lean: LeanRecord, codes: set[str]) -> tuple[Record, bytes]:
    """Return a record with its paths repaired, and the bytes of one with its texts repaired, too."""
    turns = [repaired_turn(turn, codes) for turn in lean.conversations]
    pairs = zip(lean.conversations, turns, strict=True)
    paths = [changed(turn, images=repaired.images) for turn, repaired in pairs]
    before = _strict(changed(lean, conversations=paths))
    return before, encode_record(_strict(changed(lean, conversations=turns)))


def _strict(lean: LeanRecord) -> Record:
    return decode_record(msgspec.json.encode(lean))

"""`phi3v-data validate --fix`: a clean copy. What can be repaired is; what cannot goes to quarantine, with its rule."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import IO, Any

import msgspec
from msgspec.structs import replace as changed

from ...storage import Folder
from ..dataset import Dataset
from ..errors import DatasetError, RecordError, UsageError
from ..index.image_reader import ImageReader
from ..layout import IMAGES, QUARANTINE, Manifest, Quarantined, ReadData, records_name
from ..record import Record, decode_record, encode_record
from ..rules.files import IMAGES as IMAGE_RULES
from ..rules.files import PATHS, SUFFIXES
from ..rules.lean import LeanRecord, decode_lean
from ..rules.lines import Block, Task
from ..rules.records import LINES
from ..rules.registry import all_rules, codes_for
from ..rules.rule import LEVELS, Finding
from ..rules.scan import Scanner
from ..rules.settings import Settings
from ..rules.shown import ShownImages
from ..rules.validate import Validation
from ..shards import sample_columns
from .components import Together
from .fields import label_of
from .found import Found, is_about_records
from .joining import Input, named_inputs, source_of_all
from .place import aside, in_place_of, new_folder
from .reading import InputLine, input_lines
from .repairs import REPAIRED, NewNames, repaired_turn, upright
from .selection import Progress, image_of, silent
from .splitting import Splitting, resplit
from .writing import DatasetWriter, Form, ImageMode, OutputImage

__all__ = ["Fixed", "fix"]


@dataclass(frozen=True)
class Fixed:
    """What became of a dataset.

    Args:
        address: of the clean copy.
        aside: where the dataset lies that it took the place of; "" where it took none's.
        manifest: of the clean copy.
        repaired: how many records or images each rule's repair changed.
        quarantined: how many records each rule has put there.
        splitting: of `--split-by group`.
    """

    address: str
    aside: str
    manifest: Manifest
    repaired: Counter[str]
    quarantined: Counter[str]
    splitting: Splitting | None


@dataclass
class _Decisions:
    """What was decided of every record, each list by its number; `bad` for those that are not kept.

    Args:
        splits: that each goes to.
        ids: of those that are kept.
        labels: of those that are kept.
        bad: the findings that are to blame.
        columns: of all images.
    """

    splits: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    bad: dict[int, Finding] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)


def fix(
    address: str,
    dataset: Dataset,
    settings: Settings,
    out: str | None = None,
    *,
    wanted: Callable[[Finding], bool] = lambda finding: True,
    split_by_group: bool = False,
    shares: Sequence[tuple[str, Fraction]] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Fixed:
    """Write a clean copy of a dataset.

    Args:
        address: of the dataset.
        dataset: that lies there.
        settings: how it is validated; from level `files` on, for images are copied.
        out: a folder that is empty or not there yet; None to put the copy in the dataset's place, and that aside.
        wanted: tells which findings count; those that keep a record or an image from being written always do.
        split_by_group: divide anew into splits, so that nothing leaks.
        shares: of each split; None for those they have now.
        seed: of that division.
        progress: told how it goes.

    Raises:
        UsageError: an option cannot work, or the place cannot be written.
        DatasetError: a file of records or a shard cannot be read.
        RunError: the machine or a store is in the way.
    """
    if settings.level == "records":
        raise UsageError("--fix copies images, so it must look at them; give --level files or pixels")
    moved_to = aside(address) if out is None else ""
    place = in_place_of(address) if out is None else new_folder(out)
    source = named_inputs([(address, dataset)])[0]
    options: dict[str, Any] = {"level": settings.level}
    ignored = codes_for(settings.level) - settings.codes
    options |= {"ignore": sorted(ignored)} if ignored else {}
    if split_by_group:
        options |= {"split_by": "group", "seed": seed}
        options |= {"ratio": {split: str(share) for split, share in shares}} if shares is not None else {}
    with place as folder:
        fixing = _Fixing(source, settings, wanted, progress)
        decisions = fixing.decide(split_by_group)
        splitting = fixing.split(decisions, shares, seed) if split_by_group else None
        manifest = fixing.write(decisions, folder, options, [split for split, _ in shares or ()], out is None)
    quarantined = Counter(finding.rule for finding in decisions.bad.values())
    return Fixed(out or address, moved_to, manifest, fixing.repaired, quarantined, splitting)


def _needed(settings: Settings) -> frozenset[str]:
    """Return the codes of the rules whose errors keep a record or an image from being written at all."""
    depth = LEVELS.index(settings.level)
    return frozenset(
        code
        for rules in (LINES.rules, PATHS.rules, IMAGE_RULES.rules)
        for code, rule in rules.items()
        if rule.severity == "error" and LEVELS.index(rule.level) <= depth and code not in REPAIRED
    )


class _Fixing:
    def __init__(
        self, source: Input, settings: Settings, wanted: Callable[[Finding], bool], progress: Progress
    ) -> None:
        needed = _needed(settings)
        settings = replace(settings, codes=settings.codes | needed)
        self._source, self._settings, self._progress = source, settings, progress
        self._dataset = source.dataset
        self._in_shards = bool(source.dataset.shards)
        self._names = NewNames(source.dataset)
        self._headers = ImageReader(source.dataset.folder, "header")
        scanned = replace(settings, counting=None, level="records" if self._in_shards else settings.level)
        self._scanner = Scanner(source.dataset.folder, scanned, ShownImages(source.dataset.folder, scanned, None))
        self.repaired: Counter[str] = Counter()
        validation = Validation(
            [(source.address, source.dataset)],
            settings,
            lambda what, done, total: progress("Validating", "bytes", done, total),
        )
        found = validation.findings(lambda each: _matters(each) and (each.rule in needed or wanted(each)))
        self._found = Found(found, self._in_shards)
        self._turned: set[str] = set()
        self._lock = threading.Lock()
        self._together: Together | None = None

    def decide(self, split_by_group: bool) -> _Decisions:
        """Read all records, and decide what becomes of each."""
        decisions = _Decisions()
        self._together = Together([self._source]) if split_by_group else None
        shards = Form.of([self._source]).shards
        for row, line in enumerate(input_lines(self._dataset)):
            decisions.splits.append(line.split)
            fixed, bad = self._fixed(line)
            kept = fixed if bad is None else None
            if bad is not None:
                decisions.bad[row] = bad
            if kept is not None and shards:
                decisions.columns.update(sample_columns(kept.record))
            decisions.ids.append(kept.record.id if kept is not None else "")
            decisions.labels.append(label_of(kept.record) if kept is not None else None)
            if self._together is not None:
                if kept is not None:
                    self._together.add(0, line, kept.before)
                else:
                    self._together.components.add()
            self._progress("Reading records", "records", row + 1, 0)
        return decisions

    def split(self, decisions: _Decisions, shares: Sequence[tuple[str, Fraction]] | None, seed: int) -> Splitting:
        """Divide what is kept anew."""
        together = self._together.finish() if self._together is not None else None
        kept = [row for row in range(len(decisions.ids)) if row not in decisions.bad]
        ids, splits, labels = decisions.ids, decisions.splits, decisions.labels
        splitting = resplit("group", kept, ids, splits, labels, shares, seed, together)
        for row, split in zip(kept, splitting.splits, strict=True):
            decisions.splits[row] = split
        return splitting

    def write(
        self, decisions: _Decisions, folder: Folder, options: dict[str, Any], ratio: Sequence[str], in_place: bool
    ) -> Manifest:
        """Read all records once more, and write them."""
        dataset, form = self._dataset, Form.of([self._source])
        files = self._files(decisions.splits, ratio)
        mode: ImageMode = "link or copy" if in_place else "copy"
        source = source_of_all([self._source])
        total = len(decisions.ids)
        with DatasetWriter(folder, source, files, form, decisions.columns, mode) as writer:
            manifest = dataset.manifest
            if manifest is not None:
                writer.carry(manifest.splits, _quarantine(dataset))
            row = -1
            for row, line in enumerate(input_lines(dataset)):
                if row >= total:
                    break
                split = decisions.splits[row] if decisions.splits[row] in files else next(iter(files))
                bad = decisions.bad.get(row)
                if bad is not None:
                    writer.quarantine(_quarantined(line, bad, split))
                else:
                    fixed = self._repaired(line)
                    self.repaired.update(fixed.codes)
                    names = zip(fixed.before.images(), fixed.record.images(), strict=True)
                    images = [self._image(line, old, new, number, folder) for number, (old, new) in enumerate(names)]
                    writer.add(split, fixed.data, images)
                self._progress("Writing", "records", row + 1, total)
            if row + 1 != total:
                raise DatasetError("records were added or taken out while they were read; rerun when nobody writes")
            name = self._source.name
            read = ReadData(name=name, source=source, digest=dataset.digest(), records=total)
            return writer.finish("validate --fix", options, [read], [manifest], self.repaired)

    def _files(self, splits: Sequence[str], ratio: Sequence[str]) -> dict[str, str]:
        """Name the file of each split: as it is called now, where there is one."""
        source = source_of_all([self._source])
        now = self._dataset.files
        names = ratio or dict.fromkeys([*now, *splits])
        files = {split: now.get(split, records_name(source, split)) for split in names}
        return {split: name.removesuffix(".gz").removesuffix(".zst") for split, name in files.items()}

    def _fixed(self, line: InputLine) -> tuple[_Repaired | None, Finding | None]:
        """Return a record as it is written, or the finding that keeps it from that."""
        findings = self._found.of_line(line.file, line.number)
        bad = _blamed(findings)
        if bad is not None:
            return None, bad
        try:
            fixed = self._repaired(line)
        except (msgspec.DecodeError, RecordError, UnicodeDecodeError, RecursionError) as error:
            return None, all_rules()["R108"].finding(str(error))
        return fixed, _blamed([*fixed.findings, *self._caused(fixed)])

    def _repaired(self, line: InputLine) -> _Repaired:
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
        return _Repaired(record, before, data, sorted(codes - {"P305"}), found)

    def _renamed(self, line: InputLine, record: Record, found: Sequence[Finding]) -> Record | None:
        """Return a record that shows images by their new names; None where all keep theirs."""
        wrong = {finding.image.removeprefix(f"{IMAGES}/") for finding in found if finding.rule == "F211"}
        if not wrong:
            return None
        stored = line.stored() if line.stored is not None else None
        names = list(record.images())
        for number, name in enumerate(names):
            if name in wrong:
                facts, _ = (
                    self._headers.file(f"{IMAGES}/{name}")
                    if stored is None
                    else self._headers.data(name, "", stored[number])
                )
                if facts.format in SUFFIXES:
                    names[number] = self._names.name_for(name, facts.format)
        rest = iter(names)
        turns = [changed(turn, images=[next(rest) for _ in turn.images]) for turn in record.conversations]
        return changed(record, conversations=turns)

    def _caused(self, fixed: _Repaired) -> Iterator[Finding]:
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

    def _image(self, line: InputLine, old: str, new: str, number: int, folder: Folder) -> OutputImage:
        image = image_of(self._source, line, old, number, folder)._replace(name=new)
        found = self._found.of_record(line.file, line.number, [old])
        place = f"{IMAGES}/{old}"
        if all(finding.rule != "P305" or finding.image != place for finding in found):
            return image
        return OutputImage(new, partial(self._upright, image))

    def _upright(self, image: OutputImage) -> IO[bytes]:
        with image.open() as stream:
            data = stream.read()
        # What cannot be decoded stays as it is, and is found again.
        with contextlib.suppress(OSError):
            turned = upright(data)
            if turned != data:
                # Images are written by several threads where a store is written to.
                with self._lock:
                    self.repaired["P305"] += image.name not in self._turned
                    self._turned.add(image.name)
            data = turned
        return io.BytesIO(data)


@dataclass(frozen=True)
class _Repaired:
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


def _matters(finding: Finding) -> bool:
    """Tell whether a finding decides over a record: it is an error, or can be repaired."""
    return is_about_records(finding.rule) and (finding.severity == "error" or finding.rule in REPAIRED)


def _blamed(findings: Sequence[Finding]) -> Finding | None:
    return next((each for each in findings if each.severity == "error" and each.rule not in REPAIRED), None)


def _quarantined(line: InputLine, bad: Finding, split: str) -> Quarantined:
    return Quarantined(
        id=_id_of(line),
        split=split,
        path=f"{line.file}:{line.number}",
        stage="validate",
        exception=bad.rule,
        message=bad.message,
    )


def _id_of(line: InputLine) -> str:
    """Return the id of what may not be a record; empty where it has none."""
    try:
        return msgspec.json.decode(line.data, type=_Identity).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


class _Identity(msgspec.Struct):
    id: str = ""


def _quarantine(dataset: Dataset) -> Iterator[bytes]:
    if dataset.folder.exists(QUARANTINE):
        with dataset.folder.open(QUARANTINE) as stream:
            yield from (line.rstrip(b"\r\n") for line in stream if line.strip())


def _with_repaired_texts(lean: LeanRecord, codes: set[str]) -> tuple[Record, bytes]:
    """Return a record with its paths repaired, and the bytes of one with its texts repaired, too."""
    turns = [repaired_turn(turn, codes) for turn in lean.conversations]
    pairs = zip(lean.conversations, turns, strict=True)
    paths = [changed(turn, images=repaired.images) for turn, repaired in pairs]
    before = _strict(changed(lean, conversations=paths))
    return before, encode_record(_strict(changed(lean, conversations=turns)))


def _strict(lean: LeanRecord) -> Record:
    return decode_record(msgspec.json.encode(lean))

"""`phi3v-data validate --fix`: a clean copy. What can be repaired is; what cannot goes to quarantine, with its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from ...storage import Folder
from ..dataset import Dataset
from ..errors import DatasetError, UsageError
from ..layout import QUARANTINE, Manifest, Quarantined, ReadData, records_name
from ..progress import Progress, silent
from ..rules.registry import codes_for
from ..rules.rule import Finding
from ..rules.settings import Settings
from ..shards import sample_columns
from .components import Together
from .fields import label_of
from .fixer import RecordFixer
from .joining import Input, named_inputs, source_of_all
from .output_images import ImageMode
from .place import aside, in_place_of, new_folder
from .reading import InputLine, input_lines
from .splitting import Splitting, resplit
from .writing import DatasetWriter, Form


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
        fixing = _Fixing(source, RecordFixer(source, settings, wanted, progress), progress)
        decisions = fixing.decide(split_by_group)
        splitting = fixing.split(decisions, shares, seed) if split_by_group else None
        manifest = fixing.write(decisions, folder, options, [split for split, _ in shares or ()], out is None)
    quarantined = Counter(finding.rule for finding in decisions.bad.values())
    return Fixed(out or address, moved_to, manifest, fixing.repaired, quarantined, splitting)


class _Fixing:
    def __init__(self, source: Input, fixer: RecordFixer, progress: Progress) -> None:
        self._source, self._fixer, self._progress = source, fixer, progress
        self._dataset = source.dataset
        self._together: Together | None = None
        self._counts: Counter[str] = Counter()

    @property
    def repaired(self) -> Counter[str]:
        """How many records or images each rule's repair has changed."""
        return self._counts + self._fixer.counts

    def decide(self, split_by_group: bool) -> _Decisions:
        """Read all records, and decide what becomes of each."""
        decisions = _Decisions()
        self._together = Together([self._source]) if split_by_group else None
        shards = Form.of([self._source]).shards
        for row, line in enumerate(input_lines(self._dataset)):
            decisions.splits.append(line.split)
            fixed, bad = self._fixer.fixed(line)
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
                    fixed = self._fixer.repaired(line)
                    self._counts.update(fixed.codes)
                    writer.add(split, fixed.data, self._fixer.images(line, fixed, folder))
                self._progress("Writing", "records", row + 1, total)
            if row + 1 != total:
                raise DatasetError("records were added or taken out while they were read; rerun when nobody writes")
            # What is repaired in an image is counted when that is copied.
            writer.wait()
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

"""`phi3v-data select`: read once to choose, and once more to write."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

from ...storage import Folder, LocalFolder
from ..dataset import Dataset
from ..errors import DatasetError, RecordError, UsageError
from ..layout import IMAGES, LeftOut, Manifest, ReadData, records_name
from ..progress import Progress, silent
from ..record import Record, decode_record, encode_record
from ..rules.settings import Settings
from ..rules.validate import Validation
from ..shards import sample_columns
from ..wording import counted
from .components import Components, Together
from .criteria import Criteria
from .fields import label_of
from .found import Found
from .joining import Input, named_inputs, source_of_all
from .output_images import ImageMode, OutputImage, check_images_can_be_linked
from .place import new_folder
from .reading import InputLine, input_lines
from .sampling import drawn, parse_sample_size
from .splitting import SplitBy, Splitting, resplit
from .writing import DatasetWriter, Form


@dataclass(frozen=True)
class Selection:
    """What is chosen, and how it is divided.

    Args:
        keep: see `Criteria`.
        drop: see `Criteria`.
        where: see `Criteria`.
        sample: how much is drawn of what is kept, such as `1000` or `10%`; None for all.
        stratify: each label has its share of the sample.
        split_by: how records are divided into splits; None leaves them where they are.
        shares: of each split; None for those they have now.
        seed: of the sample, and of the division.
        images: linked or copied.
    """

    keep: Sequence[str] = ()
    drop: Sequence[str] = ()
    where: Sequence[str] = ()
    sample: str | None = None
    stratify: bool = False
    split_by: SplitBy | None = None
    shares: Sequence[tuple[str, Fraction]] | None = None
    seed: int = 0
    images: ImageMode = "copy"

    def options(self) -> dict[str, Any]:
        """Return the options that shape the sample and the splits, as the manifest keeps them."""
        found: dict[str, Any] = {}
        if self.sample is not None:
            found |= {"sample": self.sample, "stratify": self.stratify}
        if self.split_by is not None:
            found["split_by"] = self.split_by
            if self.shares is not None:
                found["ratio"] = {split: str(share) for split, share in self.shares}
        if found:
            found["seed"] = self.seed
        return found


@dataclass(frozen=True)
class Selected:
    """What became of a selection.

    Args:
        read: records read.
        left_out: how many each reason left out.
        splitting: of `--split-by`.
        manifest: of the new dataset.
    """

    read: int
    left_out: Counter[str]
    splitting: Splitting | None
    manifest: Manifest


@dataclass
class _Rows:
    """What is remembered of every record between the two readings, each list by its number.

    Args:
        ids: in the new dataset.
        splits: the split that each is of; of those that are kept, the one it goes to.
        labels: of those that are kept.
        columns: of the images of those that are kept, see `sample_columns`; none where no shards are written.
        reasons: why each is left out; "" where it is kept.
        sizes: number of records of each dataset.
    """

    ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    columns: list[tuple[str, ...]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def kept(self) -> list[int]:
        return [row for row, reason in enumerate(self.reasons) if not reason]


def select(
    datasets: Sequence[tuple[str, Dataset]], out: str, selection: Selection, progress: Progress = silent
) -> Selected:
    """Write a dataset of the records that are chosen.

    Args:
        datasets: that are read, each with its address.
        out: a folder that is empty or not there yet.
        selection: what is chosen.
        progress: told how it goes.

    Raises:
        UsageError: an option cannot work, the place is taken, or no record is left.
        DatasetError: a record or an image that is to be kept cannot be read.
        RunError: the machine or a store is in the way.
    """
    criteria = Criteria(selection.keep, selection.drop, selection.where)
    inputs = named_inputs(datasets)
    criteria.check_names(inputs)
    with new_folder(out) as folder:
        if selection.images == "link":
            check_images_can_be_linked([each for each in inputs if not each.dataset.shards], folder)
        found = [_found(each, criteria, progress) for each in inputs]
        together = Together(inputs) if selection.split_by == "group" else None
        rows = _read(inputs, found, criteria, together, progress)
        criteria.check_met()
        _sample(rows, selection)
        splitting = _split(rows, selection, together.finish() if together is not None else None)
        manifest = _write(inputs, rows, folder, criteria, selection, progress)
    return Selected(len(rows.ids), Counter(filter(None, rows.reasons)), splitting, manifest)


def image_of(source: Input, line: InputLine, name: str, number: int, folder: Folder) -> OutputImage:
    """Return an image of a record, to be written under its name in the new dataset.

    Args:
        source: the dataset it is of.
        line: where the record was read.
        name: the image's path, as the record has it.
        number: its place among all that the record shows.
        folder: the new dataset.
    """
    if line.stored is not None:
        # Read now: the shard is read on from here before anybody opens the image.
        images = line.stored()
        if number >= len(images):
            raise DatasetError(
                f"{line.file}: sample {line.number} lacks an image that its record shows; write it again"
            )
        return OutputImage(source.image_name(name), partial(io.BytesIO, images[number]))
    place, dataset = f"{IMAGES}/{name}", source.dataset.folder
    here = isinstance(dataset, LocalFolder) and isinstance(folder, LocalFolder)
    path = f"{dataset.address}/{place}" if here else None
    return OutputImage(source.image_name(name), partial(dataset.open, place), path)


def _found(source: Input, criteria: Criteria, progress: Progress) -> Found:
    """Look at a dataset with the rules that are named."""
    if not criteria.codes:
        return Found()
    level = criteria.level
    if source.dataset.shards and level == "records":
        # So that records are told by their places in the shards, where they are read from.
        level = "files"
    validation = Validation(
        [(source.address, source.dataset)],
        Settings(level, criteria.codes),
        lambda what, unit, done, total: progress(f"{what} in {source.name}", unit, done, total),
    )
    return Found(validation.findings(), in_shards=bool(source.dataset.shards))


def _read(
    inputs: Sequence[Input], found: Sequence[Found], criteria: Criteria, together: Together | None, progress: Progress
) -> _Rows:
    rows = _Rows()
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    shards = Form.of(inputs).shards
    for number, (source, findings) in enumerate(zip(inputs, found, strict=True)):
        before = len(rows.ids)
        for line in input_lines(source.dataset):
            rows.splits.append(line.split)
            reason = criteria.dropped_by_rule(findings.of_line(line.file, line.number))
            record = None if reason else _decoded(source, line)
            if record is not None:
                names = record.images()
                of_record = findings.of_record(line.file, line.number, names) if findings else []
                reason = criteria.left_out_by(record, line.split, source, of_record)
            kept = record if not reason else None
            rows.ids.append(source.id_of(record.id) if record is not None else "")
            rows.reasons.append(reason)
            rows.labels.append(label_of(kept) if kept is not None else None)
            columns = tuple(sample_columns(kept)) if kept is not None and shards else ()
            rows.columns.append(known.setdefault(columns, columns))
            if together is not None:
                if kept is not None:
                    together.add(number, line, kept)
                else:
                    together.components.add()
            progress("Reading records", "records", len(rows.ids), 0)
        rows.sizes.append(len(rows.ids) - before)
    return rows


def _decoded(source: Input, line: InputLine) -> Record:
    try:
        return decode_record(line.data)
    except RecordError as error:
        raise RecordError(
            f"{source.address}: {line.file}, line {line.number}: {error}; run validate --fix first, or leave it out by "
            "its rule: --drop R"
        ) from error


def _sample(rows: _Rows, selection: Selection) -> None:
    """Leave out what is not drawn."""
    kept = rows.kept()
    if not kept:
        raise UsageError(f"no record is left of {len(rows.ids)}; keep more, or drop less")
    if selection.sample is None:
        return
    strata = rows.labels if selection.stratify else None
    chosen = drawn(kept, rows.ids, parse_sample_size(selection.sample), selection.seed, strata)
    for row in kept:
        if row not in chosen:
            rows.reasons[row] = f"--sample {selection.sample}"
    if not chosen:
        raise UsageError(f"--sample {selection.sample}: none of {counted(len(kept), 'record')} is drawn; ask for more")


def _split(rows: _Rows, selection: Selection, together: Components | None) -> Splitting | None:
    if selection.split_by is None:
        return None
    kept = rows.kept()
    splitting = resplit(
        selection.split_by, kept, rows.ids, rows.splits, rows.labels, selection.shares, selection.seed, together
    )
    for row, split in zip(kept, splitting.splits, strict=True):
        rows.splits[row] = split
    return splitting


def _write(
    inputs: Sequence[Input],
    rows: _Rows,
    folder: Folder,
    criteria: Criteria,
    selection: Selection,
    progress: Progress,
) -> Manifest:
    source = source_of_all(inputs)
    kept = rows.kept()
    ratio = [split for split, _ in selection.shares or ()]
    met = {rows.splits[row] for row in kept}
    splits = [split for split in dict.fromkeys([*ratio, *(rows.splits[row] for row in kept)]) if split in met]
    files = {split: records_name(source, split) for split in splits}
    columns = {column for row in kept for column in rows.columns[row]}
    with DatasetWriter(folder, source, files, Form.of(inputs), columns, selection.images) as writer:
        row = -1
        for each, line in _lines(inputs):
            row += 1
            if row >= len(rows.ids):
                break
            if rows.reasons[row]:
                reason = rows.reasons[row]
                place = f"{line.file}:{line.number}"
                left = LeftOut(id=rows.ids[row], dataset=each.name, path=place, reason=reason)
                writer.leave_out(rows.splits[row], left)
            else:
                record = _decoded(each, line)
                names = enumerate(record.images())
                images = [image_of(each, line, name, number, folder) for number, name in names]
                data = encode_record(each.renamed(record)) if each.apart else line.data
                writer.add(rows.splits[row], data, images)
            progress("Writing", "records", row + 1, len(rows.ids))
        if row + 1 != len(rows.ids):
            raise DatasetError("records were added or taken out while they were read; rerun when nobody writes to them")
        manifests = [each.dataset.manifest for each in inputs]
        read = [_read_data(each, size) for each, size in zip(inputs, rows.sizes, strict=True)]
        return writer.finish("select", {**criteria.options, **selection.options()}, read, manifests)


def _lines(inputs: Sequence[Input]) -> Iterator[tuple[Input, InputLine]]:
    for each in inputs:
        for line in input_lines(each.dataset):
            yield each, line


def _read_data(source: Input, records: int) -> ReadData:
    return ReadData(name=source.name, source=source_of_all([source]), digest=source.dataset.digest(), records=records)

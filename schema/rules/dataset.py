"""Rules on a dataset as a whole: that its manifest tells the truth, and that every file is somebody's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from ..errors import DatasetError
from ..index.facts_table import image_key
from ..layout import IMAGES, MANIFEST, QUARANTINE, SplitRow
from ..shards import Shard
from ..wording import counted
from .corpus import At, Corpus, Source
from .examples import DATA, Drawing, Example, line
from .rule import RuleSet


class Folder(msgspec.Struct, frozen=True):
    """A dataset that was read.

    Args:
        number: its place among those that are validated.
        source: what was counted.
        corpus: its records, and those of the others.
    """

    number: int
    source: Source
    corpus: Corpus


FOLDERS: RuleSet[Folder, At] = RuleSet("records")


def manifest_example(
    *lines: str, row: dict[str, object] | None = None, quarantined: int = 0, **images: Drawing
) -> Example:
    """Return a dataset with a manifest that is true, but for what `row` says."""
    import hashlib

    data = "".join(f"{each}\n" for each in lines)
    shown = sum(len(turn.get("images", [])) for each in lines for turn in msgspec.json.decode(each)["conversations"])
    truth = {
        "split": "train",
        "file": DATA,
        "sha256": hashlib.sha256(data.encode()).hexdigest(),
        "records": len(lines),
        "images": shown,
        "discovered": len(lines) + quarantined,
        "written": len(lines),
        "quarantined": quarantined,
        "skipped": 0,
        **(row or {}),
    }
    manifest = {"format_version": 1, "source": "made", "options": {}, "options_digest": "", "decoders": {}}
    files: dict[str, str | bytes | Drawing] = {
        MANIFEST: msgspec.json.encode({**manifest, "splits": [truth]}).decode(),
        DATA: data,
    }
    files |= {f"{IMAGES}/{name}.png": drawing for name, drawing in images.items()}
    return Example(files)


_TRUE = manifest_example(line("a"), line("b"))


@FOLDERS.rule(
    "D701",
    "edited-file",
    "A file of records is not the one that the manifest describes: it was edited after it was written.",
    "If the edit is meant, run validate with --adopt: the manifest is brought up to date.",
    bad=manifest_example(line("a"), line("b"), row={"sha256": "0" * 64}),
    good=_TRUE,
)
def edited_file(folder: Folder) -> Iterator[At]:
    for row in _rows(folder):
        if _is_there(folder, row.split) and row.split in folder.source.dataset.files:
            found = folder.source.dataset.folder.sha256(row.file)
            if row.sha256 != found:
                yield At("its sha256 is not the one in dataset.json", -1, folder.number, row.file)


@FOLDERS.rule(
    "D702",
    "wrong-counts",
    "The manifest counts other records or images than there are.",
    "If records were added or taken out by hand, run validate with --adopt.",
    bad=manifest_example(line("a"), line("b"), row={"records": 3, "written": 3, "discovered": 3}),
    good=_TRUE,
)
def wrong_counts(folder: Folder) -> Iterator[At]:
    for row in _rows(folder):
        if not _is_there(folder, row.split):
            continue
        records = folder.source.records[row.split]
        images = folder.source.images[row.split]
        if row.records != records or (row.images != images and not folder.source.unreadable[row.split]):
            stated, found = (
                f"{counted(number, 'record')}, {counted(shown, 'image')}"
                for number, shown in ((row.records, row.images), (records, images))
            )
            yield At(f"dataset.json says {stated}; found {found}", -1, folder.number, row.file)


@FOLDERS.rule(
    "D703",
    "not-conserved",
    "Samples are lost between the counts of the manifest: discovered is not written + quarantined + skipped.",
    "Convert the data again; after an edit by hand, run validate with --adopt.",
    bad=manifest_example(line("a"), line("b"), row={"discovered": 5}),
    good=_TRUE,
)
def not_conserved(folder: Folder) -> Iterator[At]:
    for row in _rows(folder):
        if row.discovered != row.written + row.quarantined + row.skipped:
            parts = f"{row.written} written + {row.quarantined} quarantined + {row.skipped} skipped"
            yield At(f"split {row.split}: {row.discovered} discovered, but {parts}", -1, folder.number, MANIFEST)
        if row.written != row.records:
            said = f"split {row.split}: {row.written:,} written, but {counted(row.records, 'record')}"
            yield At(said, -1, folder.number, MANIFEST)


@FOLDERS.rule(
    "D704",
    "wrong-quarantine",
    "quarantine.jsonl does not list as many items as the manifest counts.",
    "Restore the file, or convert the data again.",
    bad=manifest_example(line("a"), quarantined=2),
    good=_TRUE,
)
def wrong_quarantine(folder: Folder) -> Iterator[At]:
    dataset = folder.source.dataset
    if dataset.manifest is None:
        return
    listed = 0
    if dataset.folder.exists(QUARANTINE):
        with dataset.folder.open(QUARANTINE) as stream:
            listed = sum(1 for each in stream if each.strip())
    stated = sum(row.quarantined for row in dataset.manifest.splits)
    if listed != stated:
        found = f"dataset.json counts {counted(stated, 'quarantined item')}; listed are {listed:,}"
        yield At(found, -1, folder.number, QUARANTINE)


@FOLDERS.rule(
    "D705",
    "empty-split",
    "A split has no records.",
    "Remove its file, or find out why nothing was written.",
    severity="warning",
    bad=Example({DATA: line() + "\n", DATA.replace("train", "test"): ""}),
    good=Example({DATA: line() + "\n"}),
)
def empty_split(folder: Folder) -> Iterator[At]:
    dataset = folder.source.dataset
    for split in dataset.splits:
        if not folder.source.records[split] and _is_there(folder, split):
            yield At("no records", -1, folder.number, dataset.files.get(split, split))


@FOLDERS.rule(
    "D706",
    "missing-file",
    "The manifest names a file of records that is not there.",
    "Restore it, or convert the data again.",
    bad=manifest_example(line("a"), row={"file": "other_train.jsonl"}),
    good=_TRUE,
)
def missing_file(folder: Folder) -> Iterator[At]:
    for row in _rows(folder):
        if not _is_there(folder, row.split):
            yield At("the file does not exist", -1, folder.number, row.file)


def _shards_example(records: int) -> Example:
    """Return a dataset of two records, with shards of some of them."""
    import tempfile
    from pathlib import Path

    from ...storage import LocalFolder
    from ..shards import Sample, ShardWriter

    lines = [line("a"), line("b")]
    with tempfile.TemporaryDirectory() as place:
        with ShardWriter(LocalFolder(place), "made", "train", size=1 << 20, columns=[]) as writer:
            for each in lines[:records]:
                writer.add(Sample(each.encode(), []))
        shards = {
            name.relative_to(place).as_posix(): name.read_bytes() for name in Path(place).rglob("*") if name.is_file()
        }
    tars = [name for name in shards if name.endswith(".tar")]
    return Example({**manifest_example(*lines, row={"shards": tars}).files, **shards})


@FOLDERS.rule(
    "D708",
    "unreadable-shard",
    "A shard is missing or damaged, or the index beside it is; none of its records are looked at.",
    "Copy it again, or write the shards again: phi3v-data convert --shards.",
    bad=lambda: _without_index(_shards_example(2)),
    good=lambda: _shards_example(2),
)
def unreadable_shard(folder: Folder) -> Iterator[At]:
    dataset = folder.source.dataset
    listed = [name for names in dataset.shards.values() for name in names]
    listed += [name for row in _rows(folder) for name in row.shards if name not in listed]
    for name in listed:
        try:
            with Shard(dataset.folder, name) as shard:
                size = dataset.folder.size(name)
                if any(
                    start + length > size for each in shard.entries for start, length in [each.record, *each.images]
                ):
                    yield At("ends before its index says", -1, folder.number, name)
        except DatasetError as error:
            yield At(str(error), -1, folder.number, name)


def _without_index(example: Example) -> Example:
    return Example({name: content for name, content in example.files.items() if not name.endswith(".index.jsonl")})


@FOLDERS.rule(
    "D707",
    "shards-differ",
    "The shards do not hold the records of the JSONL file, one by one.",
    "Write the shards again: phi3v-data convert --shards.",
    bad=lambda: _shards_example(1),
    good=lambda: _shards_example(2),
)
def shards_differ(folder: Folder) -> Iterator[At]:
    dataset = folder.source.dataset
    for row in _rows(folder):
        if not row.shards or row.split not in dataset.files or not dataset.folder.exists(row.file):
            continue
        try:
            found = _first_difference(folder, row)
        except DatasetError:
            # That a shard cannot be read is another rule's.
            continue
        if found:
            yield At(found, -1, folder.number, row.shards[0])


def _first_difference(folder: Folder, row: SplitRow) -> str:
    files = folder.source.dataset.folder
    count = 0
    with files.open(row.file) as stream:
        lines = (each.rstrip(b"\r\n") for each in stream if each.strip())
        for name in row.shards:
            with Shard(files, name) as shard:
                for number, entry in enumerate(shard.entries):
                    count += 1
                    expected = next(lines, None)
                    if expected is None:
                        return f"{name} has more records than {row.file}"
                    if shard.sample(number).record != expected:
                        return f"{name}: sample {number + 1} ({entry.id}) is not line {count} of {row.file}"
        missing = sum(1 for _ in lines)
    return f"in no shard: {counted(missing, 'record')} of {row.file}" if missing else ""


@FOLDERS.rule(
    "F212",
    "orphaned-image",
    "A file under `images/` is shown by no record.",
    "Remove it, if it is not meant to be shown.",
    severity="warning",
    level="files",
    bad=manifest_example(line("a", images=["a.png"]), a=Drawing("PNG"), b=Drawing("PNG", seed=1)),
    good=manifest_example(line("a", images=["a.png"]), a=Drawing("PNG")),
)
def orphaned_image(folder: Folder) -> Iterator[At]:
    dataset = folder.source.dataset
    # Without a manifest the folder may hold other people's images, and one JSONL need not show them all.
    if dataset.manifest is None or dataset.shards or not dataset.folder.exists(IMAGES):
        return
    shown = folder.corpus.image_keys(folder.number)
    for entry in dataset.folder.files(IMAGES):
        key = np.uint64(image_key(entry.name))
        at = int(np.searchsorted(shown, key))
        if at == len(shown) or shown[at] != key:
            yield At("no record shows it", -1, folder.number, entry.name, entry.name)


def _is_there(folder: Folder, split: str) -> bool:
    dataset = folder.source.dataset
    return split not in dataset.files or dataset.folder.exists(dataset.files[split])


def _rows(folder: Folder) -> list[SplitRow]:
    manifest = folder.source.dataset.manifest
    return manifest.splits if manifest is not None else []

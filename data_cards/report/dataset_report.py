"""The report of a dataset."""

from __future__ import annotations

import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from PIL import Image

from ...schema.dataset import Dataset
from ...schema.errors import DatasetError
from ...schema.index import Counting, RecordIndex
from ...schema.index.cache import tables_folder
from ...schema.index.facts_table import FactsTable
from ...schema.index.workers import in_order
from ...schema.layout import IMAGES
from ...schema.progress import Progress, silent
from ...schema.rules.registry import all_rules
from ...schema.rules.settings import Limits
from ...schema.vision_tokens import VisionGeometry
from ...schema.wording import counted
from ...storage import Folder, is_remote, open_folder
from .data_files import BUCKETS, bucket, packed, write_data
from .look import CHUNK, Chunk, Looker, Viewing
from .near_duplicates import near_duplicates
from .pages import claim, write_pages
from .problems import Problem, findings_of, quarantined_items
from .tally import MOST_LABELS, SplitTally, Tally
from .thumbnails import CELL, SPRITE, sprite

_LIST = 200  # findings, or quarantined items, in a file of data
_MOST_PAIRS = 500
_SAMPLES = 12  # of each split, on the first view
_TABS = (
    ("", "Overview"),
    ("records", "Records"),
    ("distributions", "Distributions"),
    ("findings", "Findings"),
    ("duplicates", "Near-duplicates"),
    ("quarantine", "Quarantine"),
)


class ReportOptions(NamedTuple):
    """How a dataset is shown.

    Args:
        num_crops: most sub-crops an image.
        geometry: sizes of crops.
        counting: what texts are counted by; None where no tokenizer is at hand.
        tokenizer: its name, for people.
        copy_images: whether images are copied into the report; None: only where the page cannot reach them.
        model_pixels: of how many images, about, the model's own pixels are kept.
        workers: processes.
    """

    num_crops: int = 4
    geometry: VisionGeometry = VisionGeometry()
    counting: Counting | None = None
    tokenizer: str = ""
    copy_images: bool | None = None
    model_pixels: int = 120
    workers: int = 1


class ReportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was written.

    Args:
        page: the address of the page to open.
        records: records shown.
        images: images they show.
        findings: what `validate` found.
        near_duplicates: pairs of records of different splits that look the same.
        quarantined: items listed.
    """

    page: str
    records: int
    images: int
    findings: int
    near_duplicates: int
    quarantined: int


def report_dataset(
    dataset: Dataset,
    out: str,
    options: ReportOptions,
    progress: Progress = silent,
) -> ReportSummary:
    """Write a report of a dataset.

    Args:
        dataset: the data.
        out: the report's folder; new, empty, or an earlier report.
        options: how it is shown.
        progress: shows how many records have been looked at.

    Raises:
        OutputError: the folder holds something that is no report.
        DatasetError: there are no records, or a file of them cannot be read.
    """
    folder = open_folder(out)
    claim(folder, "dataset")
    indexes = _indexes(dataset, progress)
    total = sum(map(len, indexes))
    if not total:
        raise DatasetError(f"{dataset.folder.address}: no records to report on")
    linked = None if options.copy_images else _images_address(dataset, out)
    shown = sum(row.images for row in dataset.manifest.splits) if dataset.manifest else total
    viewing = Viewing(
        out=out,
        num_crops=options.num_crops,
        geometry=options.geometry,
        counting=options.counting,
        copy_images=linked is None,
        model_pixels=max(1, shown // options.model_pixels) if options.model_pixels else 0,
    )
    tallies = [SplitTally(index.split) for index in indexes]
    numbers: list[dict[str, int]] = [{} for _ in range(BUCKETS)]
    done = 0
    progress("Looking at records", "records", done, total)
    samples: list[dict[int, bytes]] = [{} for _ in indexes]
    chunks = list(_chunks(indexes))
    looks = in_order(partial(Looker, dataset, viewing), chunks, options.workers if len(chunks) > 1 else 1)
    for chunk, looked in zip(chunks, looks, strict=True):
        tallies[chunk.place].add(looked)
        samples[chunk.place].update(looked.samples)
        for identity in looked.ids:
            # Of records with one id, which is a finding, the first is meant.
            numbers[bucket(identity)].setdefault(identity, done)
            done += 1
        progress("Looking at records", "records", done, total)
    tally = Tally(tallies)
    for place, of_ids in enumerate(numbers):
        write_data(folder, f"ids/{place}", of_ids)
    for name, values in tally.columns().items():
        write_data(folder, f"columns/{name}", packed(values))

    def number_of(identity: str) -> int | None:
        return numbers[bucket(identity)].get(identity)

    limits = Limits(num_crops=options.num_crops, geometry=options.geometry)
    problems = findings_of(dataset, limits, options.counting, options.workers, progress)
    rules = _write_findings(folder, problems, number_of)
    pairs = near_duplicates(
        dataset.folder,
        FactsTable(tables_folder(dataset.folder)),
        [each for of_split in tallies for each in of_split.images_of],
        [place for place, of_split in enumerate(tallies) for _ in range(len(of_split))],
    )
    write_data(folder, "duplicates", pairs[:_MOST_PAIRS])
    sampled = _write_samples(folder, indexes, samples)
    quarantined = _write_quarantine(folder, dataset)
    summary = {
        "title": _title(dataset),
        "address": dataset.folder.address,
        "source": dataset.manifest.source if dataset.manifest else "",
        "options": dataset.manifest.options if dataset.manifest else {},
        "decoders": dataset.manifest.decoders if dataset.manifest else {},
        "splits": _split_rows(dataset, tallies),
        "labels_are": tally.labels_are,
        "labels": tally.label_names[:MOST_LABELS],
        "label_counts": {split: counts[:MOST_LABELS] for split, counts in tally.label_counts.items()},
        "more_labels": max(0, len(tally.label_names) - MOST_LABELS),
        "distributions": tally.distributions(options.counting is not None),
        "samples": sampled,
        "all_samples": sum(map(len, sampled.values())),
        "rules": rules,
        "near_duplicates": {"pairs": len(pairs), "shown": min(len(pairs), _MOST_PAIRS)},
        "quarantine": quarantined,
        "num_crops": options.num_crops,
        "crop_size": options.geometry.crop_size,
        "tokenizer": options.tokenizer if options.counting else "",
        "images": linked,
        "chunk": CHUNK,
        "sprite": SPRITE,
        "cell": CELL,
        "list": _LIST,
    }
    write_data(folder, "summary", summary)
    images = sum(sum(each.images) for each in tallies)
    findings = sum(rule["findings"] for rule in rules)
    plain = {"Records": total, "Images": images, "Findings": findings, "Quarantined items": quarantined["items"]}
    write_pages(folder, "dataset", _title(dataset), plain, _TABS)
    return ReportSummary(
        page=f"{out.rstrip('/')}/index.html",
        records=total,
        images=images,
        findings=findings,
        near_duplicates=len(pairs),
        quarantined=quarantined["items"],
    )


def _indexes(dataset: Dataset, progress: Progress) -> list[RecordIndex]:
    empty = {row.split for row in dataset.manifest.splits if not row.records} if dataset.manifest else set()
    return [RecordIndex(dataset, split, progress) for split in dataset.splits if split not in empty]


def _chunks(indexes: list[RecordIndex]) -> Iterator[Chunk]:
    for place, index in enumerate(indexes):
        few = min(len(index), _SAMPLES)
        samples = {number * len(index) // few for number in range(few)}
        for first in range(0, len(index), CHUNK):
            here = range(first, min(first + CHUNK, len(index)))
            yield Chunk(index.split, place, first, len(here), frozenset(samples.intersection(here)))


def _write_samples(folder: Folder, indexes: list[RecordIndex], samples: list[dict[int, bytes]]) -> dict[str, list[int]]:
    """Write the samples of every split as one sprite; return their numbers in the whole dataset."""
    shown: dict[str, list[int]] = {}
    thumbnails = []
    first = 0
    for index, of_split in zip(indexes, samples, strict=True):
        shown[index.split] = [first + number for number in sorted(of_split)]
        thumbnails += [Image.open(io.BytesIO(of_split[number])) for number in sorted(of_split)]
        first += len(index)
    folder.write("data/samples.webp", sprite(thumbnails))
    return shown


def _images_address(dataset: Dataset, out: str) -> str | None:
    """Return where images/ lies, seen from the report; None where a page there cannot reach them."""
    if dataset.shards or is_remote(dataset.folder.address) or is_remote(out):
        return None
    try:
        found = os.path.relpath(Path(dataset.folder.address, IMAGES).resolve(), Path(out).resolve())
    except ValueError:  # another drive
        return None
    return Path(found).as_posix()


def _title(dataset: Dataset) -> str:
    address = dataset.folder.address.rstrip("/")
    name = address.rpartition("/")[2] if is_remote(address) else Path(address).resolve().name
    return name or address


def _split_rows(dataset: Dataset, tallies: list[SplitTally]) -> list[dict[str, Any]]:
    in_manifest = {row.split: row for row in dataset.manifest.splits} if dataset.manifest else {}
    rows = []
    for tally in tallies:
        row = {"name": tally.split, "records": len(tally), "images": sum(tally.images), "tokens": sum(tally.tokens)}
        if tally.split in in_manifest:
            of_split = in_manifest.pop(tally.split)
            row |= {name: getattr(of_split, name) for name in ("discovered", "quarantined", "skipped")}
        rows.append(row)
    for rest in in_manifest.values():
        counts = {name: getattr(rest, name) for name in ("discovered", "quarantined", "skipped")}
        rows.append({"name": rest.split, "records": 0, "images": 0, "tokens": 0, **counts})
    return rows


def _write_findings(
    folder: Folder, problems: list[Problem], number_of: Callable[[str], int | None]
) -> list[dict[str, Any]]:
    """Write findings rule after rule, and the records of each rule; return a row a rule."""
    explained = all_rules()
    by_rule: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_rule[problem.rule].append(problem)
    ordered = sorted(by_rule.items(), key=lambda item: (all(p.severity != "error" for p in item[1]), item[0]))
    rules: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for place, (rule, of_rule) in enumerate(ordered):
        numbers = [number_of(problem.id) if problem.id else None for problem in of_rule]
        records = sorted({number for number in numbers if number is not None})
        write_data(folder, f"rules/{place}", packed(records))
        found = explained.get(rule)
        rules.append(
            {
                "rule": rule,
                "name": found.name if found else "",
                "sentence": found.sentence if found else "",
                "remedy": found.remedy if found else "",
                "severity": "error" if any(p.severity == "error" for p in of_rule) else of_rule[0].severity,
                "findings": len(of_rule),
                "records": len(records),
                "first": len(rows),
            }
        )
        rows += [
            {
                "rule": p.rule,
                "severity": p.severity,
                "message": p.message,
                "place": p.place,
                "id": p.id,
                "number": number,
            }
            for p, number in zip(of_rule, numbers, strict=True)
        ]
    for first in range(0, len(rows), _LIST):
        write_data(folder, f"findings/{first // _LIST}", rows[first : first + _LIST])
    return rules


def _write_quarantine(folder: Folder, dataset: Dataset) -> dict[str, Any]:
    stages: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(quarantined_items(dataset)):
        stages[str(item.get("stage", ""))] += 1
        rows.append(item)
        if len(rows) == _LIST:
            write_data(folder, f"quarantine/{number // _LIST}", rows)
            rows = []
    total = sum(stages.values())
    if rows:
        write_data(folder, f"quarantine/{total // _LIST}", rows)
    return {"items": total, "stages": dict(stages), "note": counted(total, "item")}

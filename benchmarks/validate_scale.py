"""Validates a million records and as many images' facts, finds near hashes among a million, and selects records.

    python benchmarks/validate_scale.py [--part large|near-duplicates|select ...] [--count N]

`large` generates records in two splits and the facts of their images, a thousand of which are near-identical to one in
the other split, and validates them at level pixels: nothing is decoded, for all is known. `near-duplicates` compares
each of so many hashes with each. `select` draws a tenth of the records, splits it again by group, and links the images.
Memory is that of all processes together, at its most, without what is mapped from files.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
from made_records import image_name, write_records
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.index.facts_table import FactsTable, batch_of
from phi3v_data.schema.index.looks import NEAR_BITS
from phi3v_data.schema.index.near_hashes import near_hashes
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.rules.validate import Validation
from phi3v_data.schema.select.selection import Selection, select
from phi3v_data.storage import LocalFolder

_LINKS = 5000  # names that one file may have, with room to spare on every file system
_COPIES = 1000  # near-identical images or hashes among all
_BATCH = 250_000  # facts put into the table at a time
_IN_TRAIN = Fraction(9, 10)


def main() -> None:
    """Measure, and print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=_PARTS, action="append", help="what is measured; all")
    parser.add_argument("--count", type=int, default=1_000_000, help="of records, images or hashes")
    arguments = parser.parse_args()
    for part in arguments.part or _PARTS:
        with tempfile.TemporaryDirectory() as place:
            _PARTS[part](Path(place), arguments.count)
        print()


def _large(root: Path, count: int) -> None:
    print(f"large: {count:,} records in two splits, each with an image whose facts are known", flush=True)
    _elsewhere(_write_dataset, root, count)
    _elsewhere(_write_facts, root, count)
    records, facts = (sum(file.stat().st_size for file in root.glob(kind)) for kind in ("*.jsonl", ".index/*"))
    print(f"  made: {records / 1e9:.1f} GB of records, {facts / 1e9:.1f} GB of facts", flush=True)
    settings = Settings("pixels", codes_for("pixels", ignore=["enlarged-image"]), workers=2)
    validation = Validation([(str(root), open_dataset(str(root)))], settings)
    with _Measured() as measured:
        for _ in validation.findings():
            pass
    print(f"  found: {', '.join(f'{code} {number:,}' for code, number in sorted(validation.summary.findings.items()))}")
    print(f"  validated at level pixels, two processes: {measured}", flush=True)


def _near_duplicates(root: Path, count: int) -> None:
    random = np.random.default_rng(0)
    hashes = np.unique(random.integers(1, 2**64, count, np.uint64))
    copies = _near(hashes[:: count // _COPIES or 1], random)
    hashes = np.unique(np.concatenate([hashes, copies]))
    with _Measured() as measured:
        pairs = near_hashes(hashes, hashes)
    near = int((pairs.one < pairs.other).sum())
    print(f"near-duplicates: {len(hashes):,} hashes, {len(copies):,} of them others' with {NEAR_BITS} bits changed")
    print(f"  all with all, two threads: {measured}; {near:,} pairs")


def _select(root: Path, count: int) -> None:
    print(f"select: a tenth of {count:,} records, split again by group, images linked", flush=True)
    _elsewhere(_write_dataset, root / "all", count)
    shares = (("train", Fraction(4, 5)), ("val", Fraction(1, 5)))
    selection = Selection(sample="10%", stratify=True, split_by="group", shares=shares, images="link")
    datasets = [(str(root / "all"), open_dataset(str(root / "all")))]
    with _Measured() as measured:
        select(datasets, str(root / "some"), selection)
    print(f"  selected: {measured}")


def _elsewhere(make: Callable[[Path, int], None], root: Path, count: int) -> None:
    """Make something in a process of its own, whose memory is not counted."""
    process = multiprocessing.get_context("spawn").Process(target=make, args=(root, count))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{make.__name__} failed")


def _write_dataset(root: Path, count: int) -> None:
    """Write records of two splits and their images: names of a few small files."""
    (root / "images").mkdir(parents=True)
    train = int(count * _IN_TRAIN)
    write_records(root, train)
    write_records(root, count - train, "val", train)
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480)).save(buffer, "JPEG")
    for number in range(count):
        source = root / "images" / f".source-{number // _LINKS}"
        if number % _LINKS == 0:
            source.write_bytes(buffer.getvalue())
        os.link(source, root / "images" / image_name(number))


def _write_facts(root: Path, count: int) -> None:
    table = FactsTable(LocalFolder(root / ".index"))
    random = np.random.default_rng(0)
    for start in range(0, count, _BATCH):
        table = table.update(list(_facts(root, count, range(start, min(start + _BATCH, count)), random)))


def _near(hashes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change some bits of each hash, the same in all."""
    for bit in random.choice(64, NEAR_BITS, replace=False):
        hashes = hashes ^ (np.uint64(1) << np.uint64(bit))
    return hashes


def _facts(root: Path, count: int, numbers: range, random: np.random.Generator) -> Iterator[pa.RecordBatch]:
    """Yield facts of images; the last ones are near-identical to the first."""
    first = np.random.default_rng(1)
    hashes = first.integers(1, 2**63, _COPIES, np.uint64)
    copies, thumbnails = _near(hashes, first), [first.bytes(1024) for _ in range(_COPIES)]
    rows = []
    for number in numbers:
        name = f"images/{image_name(number)}"
        status = (root / name).stat()
        facts = ImageFacts(name=name, fingerprint=f"{status.st_size}-{status.st_mtime_ns}", depth="pixels")
        facts.size, facts.format, facts.mode, facts.width, facts.height = status.st_size, "JPEG", "RGB", 640, 480
        facts.hash, facts.content = (int(each) for each in random.integers(1, 2**63, 2))
        facts.thumbnail = random.bytes(1024)
        if number < _COPIES:
            facts.hash, facts.thumbnail = int(hashes[number]), thumbnails[number]
        elif number >= count - _COPIES:
            facts.hash, facts.thumbnail = int(copies[number - count]), thumbnails[number - count]
        rows.append(facts)
        if len(rows) == _LINKS:
            yield batch_of(rows)
            rows.clear()
    yield batch_of(rows)


class _Measured:
    """Seconds of a block, and the most memory, in MB, of this process and its workers, without what is mapped."""

    def __enter__(self) -> _Measured:
        self._most = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = time.perf_counter() - self._began
        self._ended.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"{self._seconds:.0f} s, {self._most:,.0f} MB"

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            self._most = max(self._most, sum(map(_anonymous, [str(os.getpid()), *children])))


def _anonymous(process: str) -> float:
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1000


_PARTS: dict[str, Callable[[Path, int], None]] = {
    "large": _large,
    "near-duplicates": _near_duplicates,
    "select": _select,
}

if __name__ == "__main__":
    main()

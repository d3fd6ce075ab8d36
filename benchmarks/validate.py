"""How fast data is validated, beside loops of the parts it is made of and beside what others offer.

    python benchmarks/validate.py [--part records|images|large|near-duplicates ...] [--count N]

Records are of the UCF form (`convert --source ucf101 --frames 1`), images are JPEG files of 640x480. Each rate is the
best of three, the ratios are within this run; on one core seconds of the processor are counted, on two those of the
clock. `datasets` reads the same records with `load_dataset("json")`, and opens the images by a cast to `Image`. The
part `large` generates so many records and image facts, and validates them; `near-duplicates` finds near hashes among
so many generated ones. Memory is that of all processes together, at its most, without what is mapped from files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.index.facts_table import FactsTable, batch_of
from phi3v_data.schema.index.looks import NEAR_BITS
from phi3v_data.schema.index.near_hashes import near_hashes
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.rule import Level
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.rules.validate import Validation
from phi3v_data.storage import LocalFolder

_CLASSES = [
    "ApplyEyeMakeup",
    "ApplyLipstick",
    "Archery",
    "BabyCrawling",
    "BalanceBeam",
    "BandMarching",
    "BaseballPitch",
]
_LINKS = 5000  # names that one file may have, with room to spare on every file system
_REPEATS = 3
_NAMES = 100  # of each image, for the level files
_COPIES = 1000  # near-identical hashes among those of a million
_BATCH = 250_000  # facts put into the table at a time


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=_PARTS, action="append", help="what is measured; records and images")
    parser.add_argument("--count", type=int, help="of records, images or hashes")
    arguments = parser.parse_args()
    for part in arguments.part or ("records", "images"):
        measure, count = _PARTS[part]
        with tempfile.TemporaryDirectory() as place:
            measure(Path(place), arguments.count or count)
        print()


def _records(root: Path, count: int) -> None:
    size = _write_records(root, count)
    print(f"records and text: {count:,} records of {size / count:.0f} bytes")
    _row("one core", count / _best(lambda: _validate(root, "records", workers=1), time.process_time), "records/s")
    _row("two cores", count / _best(lambda: _validate(root, "records", workers=2)), "records/s")
    loads = count / _best(lambda: _loads(root / "x_train.jsonl"), time.process_time)
    _row("json.loads, one core", loads, "records/s")
    with contextlib.suppress(ImportError):
        _row('datasets.load_dataset("json")', count / _seconds(lambda: _datasets(root, 0)), "records/s")


def _images(root: Path, count: int) -> None:
    (root / "images").mkdir(parents=True)
    _write_images(root / "images", count)
    names = _link_images(root / "images", count, _NAMES * count)
    _write_records(root, _NAMES * count)
    print(f"headers: {_NAMES * count:,} names of {count:,} JPEG files of 640x480")
    opened = len(names) / _best(lambda: _loop(names, load=False))
    headers = len(names) / _best(lambda: _fresh(root, "files", 2))
    _row("Image.open in a loop, one core", opened, "images/s")
    _row("level files, two cores", headers, "images/s", headers / opened)
    _write_records(root, count)
    print(f"\npixels: {count:,} of them, {sum(name.stat().st_size for name in names[:count]) / count:,.0f} bytes each")
    loaded = count / _best(lambda: _loop(names[:count], load=True))
    pixels_seconds = _best(lambda: _fresh(root, "pixels", 2))
    _row("Image.load in a loop, one core", loaded, "images/s")
    _row("level pixels, two cores", count / pixels_seconds, "images/s", count / pixels_seconds / loaded)
    again = _best(lambda: _validate(root, "pixels", 1))
    _row("level pixels again, nothing changed", count / again, "images/s", pixels_seconds / again)
    with contextlib.suppress(ImportError):
        seconds = _seconds(lambda: _datasets(root, count))
        _row('datasets.load_dataset("json"), Image cast', count / seconds, "images/s", count / seconds / loaded)


def _row(name: str, rate: float, unit: str, ratio: float | None = None) -> None:
    print(f"  {name:<44}{rate:>12,.0f} {unit}{f'  {ratio:.1f} times' if ratio is not None else ''}", flush=True)


def _best(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    return min(_seconds(action, clock) for _ in range(_REPEATS))


def _seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    action()
    return clock() - began


def _validate(root: Path, level: Level, workers: int) -> Validation:
    settings = Settings(level, codes_for(level, ignore=["S", "R114"]), workers=workers)
    validation = Validation([(str(root), open_dataset(str(root)))], settings)
    for finding in validation.findings():
        raise SystemExit(f"a clean dataset was expected: {finding}")
    return validation


def _fresh(root: Path, level: Level, workers: int) -> None:
    for file in (root / ".index").glob("images.*"):
        file.unlink()
    _validate(root, level, workers)


def _write_records(root: Path, count: int) -> int:
    prompt = f"Classify the video into one of the following classes: {', '.join(_CLASSES)}."
    with (root / "x_train.jsonl").open("w") as stream:
        for number in range(count):
            label, name = _CLASSES[number % len(_CLASSES)], _name(number)
            turn = {"images": [f"{name}.0.jpg"], "user": prompt, "assistant": label}
            video = {"group": f"g{number % 25:02}", "label": label, "video": f"train/{label}/{name}.avi"}
            meta = {**video, "sha256": "0123456789abcdef" * 4, "frames": [0], "pts": [0.0]}
            record = {"id": f"train-{number:010}", "source": "ucf101", "conversations": [turn], "meta": meta}
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        return stream.tell()


def _name(number: int) -> str:
    label = _CLASSES[number % len(_CLASSES)]
    return f"v_{label}_g{number % 25:02}_c{number:08}"


def _write_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8))
        large = small.resize((640, 480), Image.Resampling.BICUBIC)
        large.save(folder / f"{_name(number)}.0.jpg", quality=85)


def _link_images(folder: Path, count: int, names: int) -> list[Path]:
    paths = [folder / f"{_name(number)}.0.jpg" for number in range(names)]
    for number in range(count, names):
        os.link(paths[number % count], paths[number])
    return paths


def _loads(path: Path) -> None:
    with path.open() as stream:
        for line in stream:
            json.loads(line)


def _loop(files: list[Path], *, load: bool) -> None:
    for file in files:
        with Image.open(file) as image:
            if load:
                image.load()


def _datasets(root: Path, images: int) -> None:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        table = datasets.load_dataset("json", data_files=str(root / "x_train.jsonl"), cache_dir=cache, split="train")
        if images:
            names = [str(root / "images" / turns[0]["images"][0]) for turns in table["conversations"]]
            shown = datasets.Dataset.from_dict({"image": names}).cast_column("image", datasets.Image())
            for row in shown:
                row["image"].load()


def _large(root: Path, count: int) -> None:
    print(f"{count:,} records, each with an image whose facts are known", flush=True)
    (root / "images").mkdir()
    size = _write_records(root, count)
    table = FactsTable(LocalFolder(root / ".index"))
    random = np.random.default_rng(0)
    for start in range(0, count, _BATCH):
        table = table.update(list(_facts(root, start, min(start + _BATCH, count), random)))
    facts = (root / ".index" / "images.arrow").stat().st_size
    print(f"  made: {size / 1e9:.1f} GB of records, {facts / 1e9:.1f} GB of facts", flush=True)
    del table
    with _Memory() as memory:
        seconds = _seconds(lambda: _validate_known(root))
    print(f"  validated, level pixels, two cores: {seconds:.0f} s; at most {memory.most:,.0f} MB", flush=True)


def _near_duplicates(root: Path, count: int) -> None:
    random = np.random.default_rng(0)
    hashes = np.unique(random.integers(1, 2**64, count, np.uint64))
    copies = hashes[:: count // _COPIES or 1]
    for bit in random.integers(0, 64, NEAR_BITS):
        copies = copies ^ (np.uint64(1) << np.uint64(bit))
    hashes = np.unique(np.concatenate([hashes, copies]))
    with _Memory() as memory:
        began = time.perf_counter()
        pairs = near_hashes(hashes, hashes)
        seconds = time.perf_counter() - began
    near = int((pairs.one < pairs.other).sum())
    print(f"near hashes among {len(hashes):,}, {len(copies):,} of them copies")
    print(f"  all with all, two cores: {seconds:.0f} s, {near:,} pairs; at most {memory.most:,.0f} MB")


class _Memory:
    """The most memory, in MB, of this process and its workers during a block, without what is mapped from files."""

    def __enter__(self) -> _Memory:
        self.most = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            self.most = max(self.most, sum(map(_anonymous, [str(os.getpid()), *children])))


def _anonymous(process: str) -> float:
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1000


def _facts(root: Path, start: int, end: int, random: np.random.Generator) -> Iterator[object]:
    """Yield facts of images; the files themselves are names of one small file."""
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480)).save(buffer, "JPEG")
    for first in range(start, end, 10_000):
        rows = []
        for number in range(first, min(first + 10_000, end)):
            name = f"images/{_name(number)}.0.jpg"
            path = root / name
            source = root / "images" / f".source-{number // _LINKS}"
            if number % _LINKS == 0:
                source.write_bytes(buffer.getvalue())
                stat = source.stat()
            os.link(source, path)
            facts = ImageFacts(name=name, fingerprint=f"{stat.st_size}-{stat.st_mtime_ns}", depth="pixels")
            facts.size, facts.format, facts.mode, facts.width, facts.height = stat.st_size, "JPEG", "RGB", 640, 480
            facts.hash, facts.content = (int(each) for each in random.integers(1, 2**63, 2))
            facts.thumbnail = random.bytes(1024)
            rows.append(facts)
        yield batch_of(rows)


def _validate_known(root: Path) -> None:
    settings = Settings("pixels", codes_for("pixels", ignore=["enlarged-image", "F212"]), workers=2)
    validation = Validation([(str(root), open_dataset(str(root)))], settings)
    found = sum(1 for _ in validation.findings())
    records = sum(sum(each.values()) for each in validation.summary.records.values())
    print(f"  {records:,} records, {found:,} findings")


_PARTS: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "records": (_records, 200_000),
    "images": (_images, 2_000),
    "large": (_large, 1_000_000),
    "near-duplicates": (_near_duplicates, 1_000_000),
}

if __name__ == "__main__":
    main()

"""How fast data is validated, beside loops of the parts it is made of and beside what others offer.

    python benchmarks/validate.py [--records N] [--images N] [--large N]

Records are of the UCF form (`convert --source ucf101 --frames 1`), images are JPEG files of 640x480. Each rate is the
best of three, the ratios are within this run. `datasets` reads the same records with `load_dataset("json")`, and opens
the images by a cast to `Image`. With --large, so many records and image facts are generated instead, and validated;
memory is that of all processes together, at its most, without what is mapped from files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index.facts import ImageFacts
from phi3v_data.schema.index.facts_table import FactsTable, batch_of
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


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--large", type=int, help="records and image facts; nothing else is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if arguments.large:
            _large(Path(place), arguments.large)
            return
        _records(Path(place) / "records", arguments.records)
        _images(Path(place) / "images", arguments.images)


def _records(root: Path, count: int) -> None:
    root.mkdir()
    size = _write_records(root, count)
    print(f"records and text: {count:,} records of {size / count:.0f} bytes")
    _row("one core", count / _best(lambda: _validate(root, "records", workers=1)), "records/s")
    _row("two cores", count / _best(lambda: _validate(root, "records", workers=2)), "records/s")
    _row("json.loads, one core", count / _best(lambda: _loads(root / "x_train.jsonl")), "records/s")
    with contextlib.suppress(ImportError):
        _row('datasets.load_dataset("json")', count / _seconds(lambda: _datasets(root, 0)), "records/s")
    print()


def _images(root: Path, count: int) -> None:
    (root / "images").mkdir(parents=True)
    _write_records(root, count)
    _write_images(root / "images", count)
    files = sorted((root / "images").iterdir())
    print(
        f"images: {count:,} JPEG files of 640x480, {sum(file.stat().st_size for file in files) / count:,.0f} bytes each"
    )
    opened = count / _best(lambda: _loop(files, load=False))
    headers = count / _best(lambda: _fresh(root, "files", 2))
    _row("Image.open in a loop, one core", opened, "images/s")
    _row("level files, two cores", headers, "images/s", headers / opened)
    loaded = count / _best(lambda: _loop(files, load=True))
    pixels_seconds = _best(lambda: _fresh(root, "pixels", 2))
    _row("Image.load in a loop, one core", loaded, "images/s")
    _row("level pixels, two cores", count / pixels_seconds, "images/s", count / pixels_seconds / loaded)
    again = _best(lambda: _validate(root, "pixels", 2))
    _row("level pixels again, nothing changed", count / again, "images/s", pixels_seconds / again)
    with contextlib.suppress(ImportError):
        seconds = _seconds(lambda: _datasets(root, count))
        _row('datasets.load_dataset("json"), Image cast', count / seconds, "images/s", count / seconds / loaded)


def _row(name: str, rate: float, unit: str, ratio: float | None = None) -> None:
    print(f"  {name:<44}{rate:>12,.0f} {unit}{f'  {ratio:.1f} times' if ratio is not None else ''}", flush=True)


def _best(action: Callable[[], object]) -> float:
    return min(_seconds(action) for _ in range(_REPEATS))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _validate(root: Path, level: Level, workers: int) -> Validation:
    settings = Settings(level, codes_for(level, ignore=["enlarged-image"]), workers=workers)
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
            label = _CLASSES[number % len(_CLASSES)]
            name = f"v_{label}_g{number % 25:02}_c{number:08}"
            turn = {"images": [f"{name}.0.jpg"], "user": prompt, "assistant": label}
            video = {"group": f"g{number % 25:02}", "label": label, "video": f"train/{label}/{name}.avi"}
            meta = {**video, "sha256": "0123456789abcdef" * 4, "frames": [0], "pts": [0.0]}
            record = {"id": f"train-{number:010}", "source": "ucf101", "conversations": [turn], "meta": meta}
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        return stream.tell()


def _write_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        label = _CLASSES[number % len(_CLASSES)]
        small = Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8))
        name = f"v_{label}_g{number % 25:02}_c{number:08}.0.jpg"
        small.resize((640, 480), Image.Resampling.BICUBIC).save(folder / name, quality=85)


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
    tables = LocalFolder(root / ".index")
    size = _write_records(root, count)
    FactsTable(tables).update([])
    random = np.random.default_rng(0)
    table = FactsTable(tables)
    for start in range(0, count, 100_000):
        table = table.update(list(_facts(root, start, min(start + 100_000, count), random)))
    facts = (root / ".index" / "images.arrow").stat().st_size
    print(f"  made: {size / 1e9:.1f} GB of records, {facts / 1e9:.1f} GB of facts", flush=True)
    before = _own_memory()
    seconds = _seconds(lambda: _validate_known(root))
    print(
        f"  validated, level pixels, two cores: {seconds:.0f} s; {_own_memory():,.0f} MB at most ({before:,.0f} before)"
    )
    hashes = np.unique(table.hashes()[0])
    began = time.perf_counter()
    pairs = near_hashes(hashes, hashes)
    near = int((pairs.one < pairs.other).sum())
    print(
        f"  near hashes among all: {time.perf_counter() - began:.0f} s, {near:,} pairs; {_own_memory():,.0f} MB at most"
    )


def _facts(root: Path, start: int, end: int, random: np.random.Generator) -> Iterator[object]:
    """Yield facts of images; the files themselves are names of one small file."""
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480)).save(buffer, "JPEG")
    for first in range(start, end, 10_000):
        rows = []
        for number in range(first, min(first + 10_000, end)):
            label = _CLASSES[number % len(_CLASSES)]
            name = f"images/v_{label}_g{number % 25:02}_c{number:08}.0.jpg"
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


def _own_memory() -> float:
    """Return the most memory, in MB, of this process and of the largest of its workers."""
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1000


if __name__ == "__main__":
    main()

"""How fast data is validated, beside loops of the parts it is made of and beside what others offer.

    python benchmarks/validate.py [--part records|images ...] [--count N] [--rounds N]

Records are of the UCF form (`convert --source ucf101 --frames 1`), images are JPEG files of 640x480. Every way takes
its turn in each round, and a ratio is the median over the rounds of the ratio within one: other programs and a machine
that changes its pace meet all ways alike. Two cores may share hardware, so that two processes of any kind do less than
twice the work of one: the same loop in two processes says how much this machine can do at all. Seconds of the
processor are those of all processes together; the first column of a rate is by the clock.

`datasets` reads the same records with `load_dataset("json")`, and opens the images by a cast to `Image`.
`benchmarks/validate_scale.py` validates a million records.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from made_records import link_images, write_images, write_records
from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.rule import Level
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.rules.validate import Validation

_NAMES = 250  # of each file, for the level files
_LOOP = 25  # of them are opened in the loops
_DECODED = 5  # names of each file, for the level pixels


class Way(NamedTuple):
    """A way to do something: its name, how many things it does, and how."""

    name: str
    things: int
    run: Callable[[], object]


class Turn(NamedTuple):
    """One turn of a way: things a second by the clock, and a second of the processor."""

    rate: float
    rate_of_processor: float


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=_PARTS, action="append", help="what is measured; both")
    parser.add_argument("--count", type=int, help="of records, or of image files")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for part in arguments.part or _PARTS:
        measure, count = _PARTS[part]
        with tempfile.TemporaryDirectory() as place:
            measure(Path(place), arguments.count or count, arguments.rounds)


def _records(root: Path, count: int, rounds: int) -> None:
    size = write_records(root, count)
    ways = [
        Way("json.loads in a loop, one process", count, partial(_loads, root / "x_train.jsonl")),
        Way("level records, one process", count, partial(_validate, root, "records", 1)),
        Way("level records, two processes", count, partial(_validate, root, "records", 2)),
    ]
    with contextlib.suppress(ImportError):
        import datasets

        datasets.disable_progress_bars()
        ways.append(Way('datasets.load_dataset("json")', count, partial(_datasets, root, 0)))
    _measure(f"records and text: {count:,} records of {size / count:.0f} bytes", "records", ways, rounds)


def _images(root: Path, count: int, rounds: int) -> None:
    files = write_images(root, count)
    names = link_images(root, files, _NAMES * count)
    write_records(root, len(names))
    few = names[: _LOOP * count]
    ways = [
        Way("Image.open in a loop, one process", len(few), partial(_loop, few, load=False)),
        Way("Image.open in a loop, two processes", len(few), partial(_two_loops, few, load=False)),
        Way("level files, two processes", len(names), partial(_fresh, root, "files")),
        Way("level files again, nothing changed", len(names), partial(_validate, root, "files", 2)),
    ]
    _measure(f"headers: {len(names):,} names of {count:,} JPEG files of 640x480", "images", ways, rounds)
    few = names[: _DECODED * count]
    write_records(root, len(few))
    size = sum(name.stat().st_size for name in files) / count
    ways = [
        Way("Image.load in a loop, one process", count, partial(_loop, files, load=True)),
        Way("Image.load in a loop, two processes", count, partial(_two_loops, files, load=True)),
        Way("level pixels, two processes", len(few), partial(_fresh, root, "pixels")),
        Way("level pixels again, nothing changed", len(few), partial(_validate, root, "pixels", 2)),
    ]
    with contextlib.suppress(ImportError):
        import datasets

        datasets.disable_progress_bars()
        ways.append(Way('datasets.load_dataset("json"), Image cast', len(few), partial(_datasets, root, len(few))))
    turns = _measure(f"pixels: {len(few):,} of them, {size:,.0f} bytes each", "images", ways, rounds)
    again = median(second.rate / first.rate for first, second in zip(turns[2], turns[3], strict=True))
    print(f"  level pixels again: {again:.0f} times the rate of the first time\n")


def _measure(title: str, things: str, ways: Sequence[Way], rounds: int) -> list[list[Turn]]:
    turns: list[list[Turn]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, found in zip(ways, turns, strict=True):
            found.append(_turn(way))
    print(f"{title}; medians of {rounds} rounds")
    print(f"  {'':<44}{things + '/s':>12}{'a CPU second':>14}{'to the first':>14}{'to the second':>15}")
    for way, found in zip(ways, turns, strict=True):
        rate, of_processor = (median(column) for column in zip(*found, strict=True))
        ratios = [
            median(one.rate / other.rate for one, other in zip(found, turns[base], strict=True)) for base in (0, 1)
        ]
        print(f"  {way.name:<44}{rate:>12,.0f}{of_processor:>14,.0f}{ratios[0]:>14.2f}{ratios[1]:>15.2f}", flush=True)
    print()
    return turns


def _turn(way: Way) -> Turn:
    processor, began = sum(os.times()[:4]), time.perf_counter()
    way.run()
    seconds = time.perf_counter() - began
    return Turn(way.things / seconds, way.things / (sum(os.times()[:4]) - processor))


def _validate(root: Path, level: Level, workers: int) -> None:
    settings = Settings(level, codes_for(level, ignore=["S", "R114"]), workers=workers)
    for finding in Validation([(str(root), open_dataset(str(root)))], settings).findings():
        raise SystemExit(f"a clean dataset was expected: {finding}")


def _fresh(root: Path, level: Level) -> None:
    for file in (root / ".index").glob("images.*"):
        file.unlink()
    _validate(root, level, 2)


def _loads(path: Path) -> None:
    with path.open() as stream:
        for line in stream:
            json.loads(line)


def _loop(files: Sequence[Path], *, load: bool) -> None:
    for file in files:
        with Image.open(file) as image:
            if load:
                image.load()


def _two_loops(files: Sequence[Path], *, load: bool) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=partial(_loop, files[half::2], load=load)) for half in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _datasets(root: Path, images: int) -> None:
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        table = datasets.load_dataset("json", data_files=str(root / "x_train.jsonl"), cache_dir=cache, split="train")
        if images:
            names = [str(root / "images" / turns[0]["images"][0]) for turns in table["conversations"]]
            shown = datasets.Dataset.from_dict({"image": names}).cast_column("image", datasets.Image())
            for row in shown:
                row["image"].load()


_PARTS: dict[str, tuple[Callable[[Path, int, int], None], int]] = {
    "records": (_records, 200_000),
    "images": (_images, 2000),
}

if __name__ == "__main__":
    main()

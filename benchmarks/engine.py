"""What the conversion engine itself costs: python benchmarks/engine.py [ITEMS].

Ten thousand items whose conversion is next to nothing (one small picture each) go through the whole command; what is
beyond the same conversions in a plain loop is the engine's. Then a run is killed when every item is settled and nothing
is assembled yet, and given again: its whole time is what resuming costs, assembly included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.converters.media.pictures import DEFAULT_QUALITY, encode_jpeg
from phi3v_data.schema.folder import Folder, LocalFolder
from phi3v_data.schema.record import Record, Turn


@dataclass(frozen=True)
class Small:
    """Numbered items of one small picture each."""

    name: ClassVar[str] = "small"
    input: Folder
    count: Annotated[int, Meta(ge=1, description="how many")] = 10_000

    def discover(self) -> Iterator[Item]:
        for number in range(self.count):
            name = f"train/{number // 1000}/{number}"
            yield Item(id=f"train-{number:010d}", split="train", path=name, pictures=name)

    def convert(self, item: Item, images: ImageSink) -> Record:
        shown = images.save(f"{item.pictures}.0.jpg", np.full((16, 16, 3), len(item.id), np.uint8))
        return Record(id=item.id, source=self.name, conversations=[Turn(images=[shown], user="What?", assistant="It.")])


class _PlainSink:
    def __init__(self, folder: LocalFolder) -> None:
        self.folder = folder

    def save(self, name: str, picture: np.ndarray) -> str:
        self.folder.write(f"images/{name}", encode_jpeg(picture, DEFAULT_QUALITY))
        return name


def plain_loop(count: int, out: Path) -> float:
    source, sink = Small(LocalFolder(out), count), _PlainSink(LocalFolder(out))
    started = time.perf_counter()
    for item in source.discover():
        source.convert(item, sink)
    return time.perf_counter() - started


def command(count: int, out: Path, workers: int, **environment: str) -> float:
    arguments = ["convert", "--source", f"{__file__}:Small", "--input", str(out.parent), "--out", str(out)]
    arguments += ["--set", f"count={count}", "--workers", str(workers)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "phi3v_data.cli", *arguments],
        check=not environment,
        capture_output=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    return time.perf_counter() - started


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        loop = plain_loop(count, work / "loop")
        print(f"{count} items{'':<22}{'seconds':>9}{'ms an item':>12}{'beyond the loop':>17}")
        print(f"{'the conversions in a loop':<34}{loop:>9.2f}{loop / count * 1000:>12.3f}")
        for workers in (1, 2):
            seconds = command(count, work / f"engine-{workers}", workers)
            each, beyond = seconds / count * 1000, (seconds - loop) / count * 1000
            print(f"{f'the command, {workers} workers':<34}{seconds:>9.2f}{each:>12.3f}{beyond:>14.3f} ms")
        command(count, work / "killed", 2, PHI3V_FAULT="records-half-written:1:kill-all")
        seconds = command(count, work / "killed", 2)
        print(f"{'resuming with all of them settled':<34}{seconds:>9.2f}{seconds / count * 1000:>12.3f}")


if __name__ == "__main__":
    main()

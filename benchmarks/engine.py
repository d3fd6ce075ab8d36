"""What the conversion engine itself costs: 10,000 items of one tiny image each.

    python benchmarks/engine.py [--items N]

The same work is done by a plain loop and by the whole command; the difference is the engine's: plan, processes,
messages, journal, atomic files, assembly. Then the run is killed with everything done but the dataset's files, and the
time is taken that the next one needs to read its journal and finish.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from phi3v_data.converters.images import ImageSettings
from phi3v_data.converters.images.store import StoredImage, stored_image, stored_pixels
from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.record import encode_record

_SOURCE = '''
"""One tiny image an item."""
from dataclasses import dataclass
from typing import Annotated, ClassVar
import numpy as np
from msgspec import Meta
from phi3v_data.converters.base import Item
from phi3v_data.storage import Folder
from phi3v_data.schema.record import Record, Turn

@dataclass(frozen=True)
class Tiny:
    """One tiny image an item."""
    name: ClassVar[str] = "tiny"
    input: Folder
    items: Annotated[int, Meta(description="how many")] = 1

    def discover(self):
        for number in range(self.items):
            name = f"{number // 100:04d}/{number:08d}"
            yield Item(id=f"train-{number:010d}", split="train", path=name, images=f"train/{name}")

    def convert(self, item, images):
        shown = images.save(f"{item.images}.0.jpg", np.full((8, 8, 3), 128, np.uint8))
        return Record(id=item.id, source=self.name, conversations=[Turn(images=[shown], user="?", assistant="grey")])
'''


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "tiny.py").write_text(_SOURCE)
        (root / "raw").mkdir()
        plain = _plain_loop(root, items)
        print(f"{'':34}{'seconds':>9}{'ms an item':>12}")
        _row("plain loop, one process", plain, items)
        for workers in (1, 2):
            seconds = _command(root, f"out{workers}", items, workers)
            _row(f"the command, {workers} worker{'s'[: workers - 1]}", seconds, items)
        _command(root, "killed", items, 2, inject="records-half-written:1:kill-all")
        _row("resuming with everything done", _command(root, "killed", items, 2), items)
        print(f"peak memory of the largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB")


def _row(what: str, seconds: float, items: int) -> None:
    print(f"{what:<34}{seconds:>9.2f}{1000 * seconds / items:>12.3f}")


def _plain_loop(root: Path, items: int) -> float:
    spec = ConverterSpec(source=f"{root}/tiny.py:Tiny", input=f"{root}/raw", options={"items": items})
    converter = spec.build()
    began = time.perf_counter()
    with (root / "plain.jsonl").open("wb") as lines:
        for item in converter.discover():
            lines.write(encode_record(converter.convert(item, _PlainFiles(root / "plain"))) + b"\n")
    return time.perf_counter() - began


class _PlainFiles:
    """Writes images straight to where they belong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        """Encode and write one image."""
        return self._write(PurePosixPath(name), stored_pixels(image, PurePosixPath(name).suffix, ImageSettings()))

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Write one encoded image."""
        raw = data() if callable(data) else data
        return self._write(PurePosixPath(f"{name}.jpg"), stored_image(raw, ImageSettings()))

    def _write(self, name: PurePosixPath, stored: StoredImage) -> str:
        path = self._folder / name.with_suffix(stored.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.data)
        return str(name.with_suffix(stored.suffix))


def _command(root: Path, out: str, items: int, workers: int, *, inject: str = "") -> float:
    source = ["--source", f"{root}/tiny.py:Tiny", "--input", f"{root}/raw", "--set", f"items={items}"]
    start = [sys.executable, "-c", "from phi3v_data.cli.main import main; main()", "convert"]
    env = {**os.environ, **({"PHI3V_FAULT_INJECTION": inject} if inject else {})}
    began = time.perf_counter()
    command = [*start, *source, "--out", f"{root}/{out}", "--workers", str(workers)]
    subprocess.run(command, env=env, capture_output=True, check=not inject, start_new_session=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

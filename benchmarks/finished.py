"""How long `convert` takes to see that a finished dataset is complete: its JSONL is hashed, each image looked for.

python benchmarks/finished.py --images 200000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from phi3v_data.converters.engine.resume import missing_files
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.layout import FORMAT_VERSION, IMAGES, Manifest, SplitRow
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder

A_FOLDER = 1000  # images in one folder, as of a class of clips


def records(images: int) -> Iterator[Record]:
    for number in range(images):
        name = f"train/{number // A_FOLDER:04d}/{number}.jpg"
        yield Record(id=f"train-{number:010d}", conversations=[Turn(images=[name], user="What is it?", assistant="!")])


def main() -> int:
    """Write a dataset of tiny files, look through it, and print the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        out = LocalFolder(root)
        written = write_records(out, "made_train.jsonl", records(given.images))
        for record in records(given.images):
            path = Path(root) / IMAGES / next(iter(record.images()))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"1")
        count = given.images
        row = SplitRow(
            split="train",
            file="made_train.jsonl",
            sha256=written.sha256,
            records=count,
            images=count,
            discovered=count,
            written=count,
            quarantined=0,
            skipped=0,
        )
        manifest = Manifest(
            format_version=FORMAT_VERSION, source="made", options={}, options_digest="", decoders={}, splits=[row]
        )
        began = time.perf_counter()
        missing = missing_files(out, manifest, IMAGES)
        seconds = time.perf_counter() - began
    print(
        f"{count:,} images: {seconds:.2f} s, {count / seconds:,.0f} a second{f'; missing: {missing}' * bool(missing)}"
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

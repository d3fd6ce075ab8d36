"""Dataset folders: a damaged manifest, JSONL file, shard or shard index beside what is sound."""

from __future__ import annotations

import io
import shutil
import tempfile
from functools import cache
from pathlib import Path

from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.layout import MANIFEST, Manifest, SplitRow, encode_manifest
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder

SPLIT = "val"
COUNT = 6


@cache
def sound() -> Path:
    """A dataset of six records, with images in files and in shards."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-sound-"))
    folder, records, samples = LocalFolder(root), [], []
    for number in range(COUNT):
        name = f"{SPLIT}/{number}.jpg"
        buffer = io.BytesIO()
        Image.new("RGB", (8, 6), (number, 0, 0)).save(buffer, "JPEG")
        folder.write(f"images/{name}", buffer.getvalue())
        records.append(Record(id=f"{SPLIT}-{number}", conversations=[Turn(images=[name], user="?", assistant="!")]))
        samples.append(Sample(encode_record(records[-1]), [buffer.getvalue()]))
    written = write_records(folder, f"fuzz_{SPLIT}.jsonl", records)
    with ShardWriter(folder, "fuzz", SPLIT, size=1 << 14, columns=["0.jpg"]) as shards:
        for sample in samples:
            shards.add(sample)
    row = SplitRow(
        split=SPLIT,
        file=f"fuzz_{SPLIT}.jsonl",
        sha256=written.sha256,
        records=COUNT,
        images=COUNT,
        discovered=COUNT,
        written=COUNT,
        quarantined=0,
        skipped=0,
        shards=shards.names,
    )
    manifest = Manifest(
        format_version=1, source="fuzz", options={"image_files": False}, options_digest="0", decoders={}, splits=[row]
    )
    folder.write(MANIFEST, encode_manifest(manifest))
    return root


def corpus(folder: Path) -> None:
    for path in sound().rglob("*"):
        if path.is_file() and path.suffix != ".jpg":
            # The name tells which file of the dataset is damaged.
            shutil.copyfile(path, folder / str(path.relative_to(sound())).replace("/", "@"))


def check(file: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "data"
        shutil.copytree(sound(), root)
        shutil.copyfile(file, root / file.name.replace("@", "/"))
        for address in (str(root), f"{root}/shards/*.tar", f"{root}/fuzz_{SPLIT}.jsonl"):
            dataset = open_dataset(address)
            for split in dataset.splits:
                for record in dataset.records(split):
                    for number in range(len(list(record.images()))):
                        dataset.images.place(record, number)
                        try:
                            with dataset.images.open(record, number) as stream:
                                stream.read(1 << 20)
                        except OSError:
                            continue  # a missing image is a finding of the validator, and no crash

"""A small dataset folder, written record by record, that shows what pages and cards have to cope with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from phi3v_data.schema.layout import FORMAT_VERSION, MANIFEST, QUARANTINE, Manifest, SplitRow, encode_manifest
from phi3v_data.schema.record import Record, Turn, encode_record

MARKUP = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
RIGHT_TO_LEFT = "שלום \u202egnp.exe"


def write_image(path: Path, seed: int, size: tuple[int, int] = (320, 240), quality: int = 90) -> None:
    """Write a JPEG of soft coloured noise; the same seed gives the same image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, "JPEG", quality=quality)


def write_dataset(
    folder: Path,
    splits: Mapping[str, Sequence[Record]],
    quarantined: Sequence[Mapping[str, Any]] = (),
    source: str = "image-folder",
) -> Path:
    """Write records, manifest and quarantine; images are the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for place, (split, records) in enumerate(splits.items()):
        data = b"".join(encode_record(record) + b"\n" for record in records)
        name = f"{source}_{split}.jsonl"
        (folder / name).write_bytes(data)
        failed = len(quarantined) if place == 0 else 0
        rows.append(
            SplitRow(
                split=split,
                file=name,
                sha256=hashlib.sha256(data).hexdigest(),
                records=len(records),
                images=sum(1 for record in records for _ in record.images()),
                discovered=len(records) + failed,
                written=len(records),
                quarantined=failed,
                skipped=0,
            )
        )
    (folder / QUARANTINE).write_text("".join(json.dumps(item) + "\n" for item in quarantined))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=source,
        options={"seed": 0, "quality": 75, "image_files": True},
        options_digest="0" * 64,
        decoders={"pillow": "11.0"},
        splits=rows,
    )
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))
    return folder


def record(identity: str, images: Sequence[str], user: str, assistant: str, **more: Any) -> Record:
    """Make a record of one turn."""
    turn = Turn(images=list(images), user=user, assistant=assistant, answers=more.pop("answers", msgspec.UNSET))
    return Record(id=identity, source="image-folder", conversations=[turn], meta=more or msgspec.UNSET)

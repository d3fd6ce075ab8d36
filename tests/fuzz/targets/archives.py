"""Archives of raw data: tar, tar.gz, zip in every way of packing that Python writes."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from phi3v_data.converters.input.archives import extract
from phi3v_data.converters.input.hostile_archives import Limits

FILES = {"a/clip.avi": b"\x00\x01" * 400, "a/list.txt": b"one\ntwo\n" * 50, "b/\u00e4.png": bytes(range(256))}
LIMITS = Limits(total=1 << 26, harmless=1 << 22)


def corpus(folder: Path) -> None:
    for name, form in (
        ("pax.tar", tarfile.PAX_FORMAT),
        ("gnu.tar", tarfile.GNU_FORMAT),
        ("a.tar.gz", tarfile.PAX_FORMAT),
    ):
        with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w", format=form) as tar:
            for path, data in (FILES | {f"{'long' * 30}.txt": b"x"}).items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    methods = {"stored": 0, "deflated": 8, "bzip2": 12, "lzma": 14}
    for name, method in methods.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w", method) as packed:
            for path, data in FILES.items():
                packed.writestr(path, data)


def check(file: Path) -> None:
    with tempfile.TemporaryDirectory() as work, file.open("rb") as stream:
        extract(stream, file.name, Path(work) / "into" / "here", LIMITS)
        outside = [path for path in Path(work).rglob("*") if not path.is_relative_to(Path(work) / "into")]
        assert not outside, outside
        special = [path for path in Path(work).rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
        assert not special, special

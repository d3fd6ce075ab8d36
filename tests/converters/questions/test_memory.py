"""However long an annotation file is, its discovery takes the same memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_questions import CAULDRON, Raw, as_document, as_lines, cell, image, text

_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_cauldron(raw: Raw, rows: int) -> None:
    raw.root.mkdir(parents=True)
    batch = [{"images": [cell()], "texts": [text("What?\nBe brief.", "Tea.", "DocVQA")]}] * 500
    with pq.ParquetWriter(raw.root / "train.parquet", CAULDRON) as writer:
        for _ in range(rows // 500):
            writer.write_table(pa.Table.from_pylist(batch, CAULDRON))


def write_docvqa(raw: Raw, rows: int) -> None:
    pages = rows // 50
    # A page's questions lie far from one another.
    questions = (
        {"questionId": n, "question": f"What is {n}?", "image": f"documents/{n % pages}.png", "answers": ["it"]}
        for n in range(rows)
    )
    raw.write("train_v1.0.json", as_document(*questions))
    raw.images(*(f"documents/{page}.png" for page in range(pages)))


def write_nlvr2(raw: Raw, rows: int) -> None:
    pairs = rows // 20
    statements = (
        {"sentence": f"There are {n}.", "identifier": f"train-{n % pairs}-0-{n // pairs}", "label": "True"}
        for n in range(rows)
    )
    raw.write("train.json", as_lines(*statements))
    data = image()
    for pair in range(pairs):
        for side in (0, 1):
            raw.write(f"images/train/{pair % 100}/train-{pair}-0-img{side}.png", data)


def peak(raw: Raw, *options: str) -> int:
    """The peak memory of a conversion of a few items, all of them discovered, in KiB."""
    command = [sys.executable, "-m", "phi3v_data.cli", "convert", "--source", raw.source, "--input", str(raw.root)]
    command += ["--out", str(raw.out), "--limit", "5", "--workers", "1", *options]
    done = subprocess.run([sys.executable, "-c", _MEASURED, *command], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])


@pytest.mark.soak
@pytest.mark.parametrize(
    ("source", "write", "options"),
    [
        ("docvqa", write_cauldron, []),
        ("docvqa", write_docvqa, ["--turns", "document"]),
        ("nlvr2", write_nlvr2, []),
    ],
)
def test_peak_memory_does_not_grow_from_1000_to_50000_rows(
    tmp_path: Path, source: str, write: Callable[[Raw, int], None], options: list[str]
) -> None:
    peaks = []
    for rows in (1000, 50_000):
        raw = Raw(tmp_path / str(rows), source)
        write(raw, rows)
        peaks.append(peak(raw, *options))
    assert peaks[1] < 1.15 * peaks[0]

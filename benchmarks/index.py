"""What the training data path costs before the first batch: index, start, and finding any step.

    python benchmarks/index.py [--records N] [--workers N] [--tokenizer FOLDER]

N records of DocVQA's kind are generated (a question, an answer, one page of several shapes, each record its own file
under images/, and every tenth with a second page), then measured as `phi3v-data train` does it: once from nothing, and
once from what was kept. Each is a process of its own; memory is that of all its processes together, at its most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.index import Counting, RecordIndex, record_costs
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.data.plan import Plan, Stream

_SHAPES = [(2550, 3300), (1700, 2200), (3300, 2550), (1654, 2339), (640, 480)]
_LINKS = 5000  # names that one file may have, with room to spare on every file system
_WORDS = Path(__file__).read_text(encoding="utf-8").split()
_BATCH = 64


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokenizer", help="a folder with tokenizer.json; default: the tiny model's, a byte a token")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure, arguments.workers, arguments.tokenizer)
        return
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _generate(Path(folder), arguments.records)
        seconds = time.perf_counter() - began
        print(f"{arguments.records:,} records with {_images(arguments.records):,} images, made in {seconds:.0f} s")
        print(f"{arguments.workers} workers, {'the given' if arguments.tokenizer else 'the tiny'} tokenizer\n")
        cold = _in_a_process(folder, arguments)
        warm = _in_a_process(folder, arguments)
        print(f"{'':44}{'from nothing':>14}{'kept':>10}")
        for name, title in _TITLES.items():
            print(f"{title:<44}{_shown(cold[name]):>14}{_shown(warm[name]):>10}")


_TITLES = {
    "records_seconds": "where the records lie, seconds",
    "costs_seconds": "their tokens, crops and sizes, seconds",
    "rate": "records a second",
    "process_seconds": "the process from its start to its end, seconds",
    "first_step_ms": "the first step asked for: 0, ms",
    "far_step_ms": "another process's first: step 1,000,000, ms",
    "next_step_ms": "the step after it, ms",
    "memory_mb": "memory of all processes at its most, MB",
    "tables_mb": "tables on disk, MB",
}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _images(records: int) -> int:
    return records + (records + 9) // 10


def _generate(root: Path, count: int) -> None:
    originals = root / "originals"
    originals.mkdir()
    for number, shape in enumerate(_SHAPES):
        Image.new("L", shape, 200 + number).save(originals / f"{number}.jpg")
    made = 0

    def page(name: str) -> str:
        nonlocal made
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        original = originals / f"{made % len(_SHAPES)}.jpg"
        copy = originals / f"{made % len(_SHAPES)}-{made // _LINKS}.jpg"
        if not copy.exists():
            copy.write_bytes(original.read_bytes())
        # A name of its own to be opened, without a million copies of the bytes.
        os.link(copy, path)
        made += 1
        return name

    write_records(LocalFolder(root), "pages_train.jsonl", _records(count, page))


def _records(count: int, page: Callable[[str], str]) -> Iterator[Record]:
    draw = random.Random(0)
    for number in range(count):
        pages = [page(f"{number // 1000}/{number}.{k}.jpg") for k in range(2 if number % 10 == 0 else 1)]
        question = (
            f"{' '.join(draw.choices(_WORDS, k=draw.randrange(6, 16)))}\nAnswer the question with a short phrase."
        )
        turn = Turn(images=pages, user=question, assistant=" ".join(draw.choices(_WORDS, k=draw.randrange(1, 5))))
        yield Record(id=f"train-{number:010d}", source="pages", conversations=[turn])


def _in_a_process(folder: str, arguments: argparse.Namespace) -> dict[str, float]:
    options = ["--workers", str(arguments.workers)]
    options += ["--tokenizer", arguments.tokenizer] if arguments.tokenizer else []
    command = [sys.executable, __file__, "--measure", folder, *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    most = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, most))
    watcher.start()
    output = process.communicate()[0]
    seconds = time.perf_counter() - began
    watcher.join()
    if process.returncode:
        sys.exit(process.returncode)
    return {**json.loads(output), "memory_mb": most[0], "process_seconds": seconds}


def _watch(process: subprocess.Popen[str], most: list[float]) -> None:
    """Follow the memory of a process and those it started; what several share is divided among them (PSS)."""
    while process.poll() is None:
        most[0] = max(most[0], sum(map(_memory, _family(process.pid))) / 1000)
        time.sleep(0.2)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _measure(folder: str, workers: int, tokenizer: str | None) -> None:
    counting = _counting(tokenizer)
    began = time.perf_counter()
    index = RecordIndex(open_dataset(folder), "train")
    found = time.perf_counter()
    costs = record_costs(index, counting, workers)
    done = time.perf_counter()
    shards = index.shard_sizes()
    steps = {"first_step_ms": 0, "far_step_ms": 1_000_000, "next_step_ms": 1_000_001}
    plan = Plan([Stream(len(index), shards)], _BATCH, seed=0)
    result = {}
    for name, step in steps.items():
        if name == "far_step_ms":
            plan = Plan([Stream(len(index), shards)], _BATCH, seed=0)
        asked = time.perf_counter()
        index.ids(sample.record for sample in plan.step(step))
        result[name] = (time.perf_counter() - asked) * 1000
    tables = sum(path.stat().st_size for path in (Path(folder) / ".index").iterdir())
    result |= {
        "records_seconds": found - began,
        "costs_seconds": done - found,
        "rate": len(costs) / (done - began),
        "tables_mb": tables / 1e6,
    }
    print(json.dumps(result))


def _counting(tokenizer: str | None) -> Counting:
    from phi3v_data.schema.vision_tokens import VisionGeometry

    if tokenizer is None:
        from phi3v_data.trainer.phi3v.tiny import tiny_processor

        found = Counting.of(tiny_processor())
        return Counting(found.tokenizer, found.image_token_id, 16, VisionGeometry())
    return Counting((Path(tokenizer) / "tokenizer.json").read_text(encoding="utf-8"), 32044, 16, VisionGeometry())


if __name__ == "__main__":
    main()

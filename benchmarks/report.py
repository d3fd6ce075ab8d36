"""What a report costs: time, processor time, memory and disk to write it, and what its first view loads.

    python benchmarks/report.py [--records N] [--workers N]

N records of one image each, in two splits and 101 classes, are generated (600 photographs' worth of pixels, written
under N names), then reported on in a process of its own; memory is that of all its processes together, at its most,
where what several of them share (libraries, mapped files) counts once (PSS; where the system tells none, RSS).
The pages are opened in the machine's Chromium, where there is one, by playwright.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from PIL import Image

from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder

if TYPE_CHECKING:
    from playwright.sync_api import Request

_CLASSES = [f"class_{number:03d}" for number in range(101)]
_PROMPT = f"Classify the image into one of the following classes: {', '.join(_CLASSES)}."
_SIZES = [(640, 480), (500, 375), (375, 500)]
_PIXELS = 600  # distinct images


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data, out = Path(place, "data"), Path(place, "report")
        _generate(data, arguments.records)
        command = ["report", str(data), "--out", str(out), "--workers", str(arguments.workers)]
        wall, processor, memory = _measured([sys.executable, "-m", "phi3v_data.cli", *command])
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(f"{arguments.records:,} records, {arguments.workers} workers\n")
        rows = {
            "written in, seconds": wall,
            "processor time of all processes, seconds": processor,
            "memory of all processes at its most, MB": memory / 1e6,
            "on disk, MB": size / 1e6,
            **_first_views(out / "index.html"),
        }
        for name, value in rows.items():
            print(f"{name:<52}{value:>12,.2f}")


def _generate(folder: Path, count: int) -> None:
    pool = [_encoded(seed) for seed in range(_PIXELS)]
    for split, first, end in (("train", 0, count * 9 // 10), ("val", count * 9 // 10, count)):
        write_records(LocalFolder(folder), f"shapes_{split}.jsonl", _records(folder, split, first, end, pool))


def _records(folder: Path, split: str, first: int, end: int, pool: list[bytes]) -> Iterator[Record]:
    for number in range(first, end):
        label = _CLASSES[number % len(_CLASSES)]
        path = folder / "images" / split / label / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pool[number * 7 % len(pool)])
        turn = Turn(images=[f"{split}/{label}/{path.name}"], user=_PROMPT, assistant=label)
        yield Record(id=f"{split}-{number:010d}", conversations=[turn], meta={"label": label})


def _encoded(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    stream = io.BytesIO()
    size = _SIZES[seed % len(_SIZES)]
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _measured(command: list[str]) -> tuple[float, float, int]:
    """Run a command; return its seconds, the processor seconds of its processes, and the most memory they held."""
    began = time.perf_counter()
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0
    used: dict[int, float] = {}
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        top = psutil.Process(started.pid)
        while not ended.wait(0.2):
            held = 0
            try:
                for process in (top, *top.children(recursive=True)):
                    held += _memory(process)
                    times = process.cpu_times()
                    used[process.pid] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
            most = max(most, held)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = started.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)}: ended with exit code {code}")
    return time.perf_counter() - began, sum(used.values()), most


def _memory(process: psutil.Process) -> int:
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.rss))


def _first_views(page: Path) -> dict[str, float]:
    program = os.environ.get("PHI3V_CHROMIUM") or shutil.which("chromium")
    if program is None:
        return {}
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, address in (("overview", "#/"), ("records by label", "#/records?group=label")):
            view = browser.new_page(viewport={"width": 1280, "height": 900})
            loaded: list[str] = []
            view.on("requestfinished", partial(_note_address, loaded))
            began = time.perf_counter()
            view.goto(f"{page.resolve().as_uri()}{address}")
            view.wait_for_selector("html[data-ready]")
            view.wait_for_load_state("networkidle")
            found[f"first view, {name}, seconds"] = time.perf_counter() - began
            files = {Path(url.partition("#")[0].removeprefix("file://")) for url in loaded}
            found[f"first view, {name}, MB"] = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
            view.close()
        browser.close()
    return found


def _note_address(addresses: list[str], request: Request) -> None:
    addresses.append(request.url)


if __name__ == "__main__":
    main()

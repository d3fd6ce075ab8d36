"""Kill conversions at random moments, resume them, and compare every byte with a run that was left alone.

    python benchmarks/kills.py                 100 kills over five sources and three forms
    python benchmarks/kills.py --kills 30 --seed 7

A kill hits the whole process group, the driver alone, or one worker process. A conversion is resumed and killed again
until it ends by itself; then its folder must hold the same files as the other, and nothing else. Exit code 1 where one
does not.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from phi3v_data.converters.video.synthesis import write_clip

FORMS = {
    "files": (),
    "shards alone": ("--shards", "--shard-size", "40kB", "--no-images"),
    "fit-crops": ("--fit-crops", "1", "--shards"),
}


def clips(root: Path, name: str) -> None:
    for number in range(24):
        path = (
            root / ("train" if number % 3 else "val") / ("Run", "Jump")[number % 2] / name.format(number // 4, number)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 8 == 5:
            path.write_bytes(b"not a clip")
        else:
            write_clip(path, np.random.default_rng(number).integers(0, 256, (12, 48, 64, 3), np.uint8))


def images(root: Path) -> list[str]:
    names = [f"{('cat', 'dog')[number % 2]}/{number:03d}.png" for number in range(40)]
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (400 + number, 420, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    (root / names[7]).write_bytes(b"not an image")
    return names


def table(root: Path) -> None:
    names = images(root)
    with (root / "rows.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["page", "ask", "right"])
        # Pages are shared by rows, and rows that fail share pages with rows that do not.
        rows.writerows([name, f"What is {number}?", str(number)] for number, name in enumerate(names[:20] * 3))
        rows.writerow(["nowhere.png", "What?", "nothing"])


def chat(root: Path) -> None:
    rows = []
    for number, name in enumerate(images(root)):
        turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": str(number)}]
        rows.append({"id": f"{number:03d}", "image": name, "conversations": turns})
    (root / "train.json").write_text(json.dumps(rows))


SOURCES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "ucf101": (lambda root: clips(root, "v_Clip_g{:02d}_c{:02d}.avi"), ("--frames", "3")),
    "video-folder": (lambda root: clips(root, "g{:02d}_{:02d}.avi"), ("--frames", "2", "--split-by", "folder")),
    "image-folder": (images, ("--split-ratio", "train=0.7,val=0.3")),
    "table": (table, ("--files", "rows.csv", "--images", "page", "--prompt", "ask", "--answer", "right")),
    "chat": (chat, ("--files", "train.json")),
}


class Conversion:
    """One source in one form, and how long it takes when left alone."""

    def __init__(self, root: Path, source: str, form: str) -> None:
        self.root, self.source, self.form = root, source, form
        began = time.monotonic()
        self.run("whole")
        self.seconds = time.monotonic() - began

    def start(self, out: str) -> subprocess.Popen[bytes]:
        given = ["--source", self.source, "--input", str(self.root / self.source), "--out", str(self.root / out)]
        command = [sys.executable, "-m", "phi3v_data", "convert", *given, "--workers", "2"]
        return subprocess.Popen(
            [*command, *SOURCES[self.source][1], *FORMS[self.form]],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def run(self, out: str) -> None:
        process = self.start(out)
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.source}, {self.form}: exit code {process.returncode}: {errors.decode()}")

    def kill_until_done(self, draw: random.Random, most: int) -> int:
        """Run, kill and resume until it ends by itself or has been killed so often; return the number of kills."""
        kills = 0
        while kills < most:
            process = self.start("killed")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0.1, 0.9) * self.seconds)
            if process.poll() is None:
                kills += _kill(process, draw)
            process.communicate()
            if process.returncode == 0:
                break
        return kills

    def is_same(self) -> bool:
        self.run("killed")
        killed, whole = _files(self.root / "killed"), _files(self.root / "whole")
        for name in sorted(killed.keys() | whole.keys()):
            if killed.get(name) != whole.get(name):
                print(f"{self.source}, {self.form}: {name} differs")
        shutil.rmtree(self.root / "killed")
        return killed == whole


def _kill(process: subprocess.Popen[bytes], draw: random.Random) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        children = psutil.Process(process.pid).children()
        victim = draw.choice(("group", "driver", "worker"))
        if victim == "worker" and children:
            draw.choice(children).kill()
            return 1
        if victim == "driver":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        return 1
    return 0


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def main() -> int:
    """Kill, resume, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", nargs="*", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=list(FORMS))
    given = parser.parse_args()
    draw = random.Random(given.seed)
    cases = [(source, form) for source in given.sources for form in given.forms]
    total, different = 0, 0
    print(f"{'source':<14}{'form':<24}{'kills':>6}{'runs':>6}  trees")
    for number, (source, form) in enumerate(cases):
        wanted = (given.kills - total) // (len(cases) - number) or 1
        with tempfile.TemporaryDirectory() as folder:
            SOURCES[source][0](Path(folder) / source)
            conversion = Conversion(Path(folder), source, form)
            kills, runs, same = 0, 0, True
            while kills < wanted:
                kills += conversion.kill_until_done(draw, wanted - kills)
                same = conversion.is_same() and same
                runs += 1
        total, different = total + kills, different + (not same)
        print(f"{source:<14}{form:<24}{kills:>6}{runs:>6}  {'identical' if same else 'DIFFERENT'}", flush=True)
    print(f"{total} kills, seed {given.seed}: {'all trees identical' if not different else f'{different} DIFFERENT'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

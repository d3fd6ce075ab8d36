"""Small sources, and how to convert them: from this process, or in one that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from phi3v_data.converters.engine.run import ConvertRequest, Summary, convert

PATCHES = f"{Path(__file__).parent / 'patches.py'}:Patches"
QUESTIONS = f"{Path(__file__).parent / 'questions.py'}:Questions"


class Bench:
    """A source folder and the ways to convert it."""

    source = PATCHES

    def __init__(self, root: Path) -> None:
        self.root = root
        self.input = root / "raw"

    def write(self, splits: dict[str, int], does: dict[str, str] | None = None, images: int = 2) -> None:
        """Write so many items in each split; `does` names by path the items that misbehave."""
        for split, count in splits.items():
            for number in range(count):
                self.write_item(f"{split}/{number:04d}", (does or {}).get(f"{split}/{number:04d}", ""), images)

    def write_item(self, name: str, does: str = "", images: int = 2) -> None:
        number = int("".join(c for c in name if c.isdigit()) or 0)
        colours = [[number % 256, 40 * image % 256, len(name)] for image in range(images)]
        path = self.input / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"colours": colours, "does": does}))

    def place(self, out: str) -> str:
        return out if "://" in out else str(self.root / out)

    def request(self, out: str = "out", **changes: Any) -> ConvertRequest:
        given = {"source": self.source, "input": str(self.input), "out": self.place(out), "workers": 2}
        return ConvertRequest(**{**given, **changes})

    def convert(self, out: str = "out", **changes: Any) -> Summary:
        return convert(self.request(out, **changes))

    def line(self, out: str, *more: str) -> list[str]:
        """The command line of a conversion."""
        given = ["--source", self.source, "--input", str(self.input), "--out", self.place(out), "--workers", "2"]
        return [sys.executable, "-m", "phi3v_data", "convert", *given, *more]

    def command(self, out: str = "out", *more: str, inject: str = "") -> subprocess.CompletedProcess[str]:
        """Convert through the command line, in a process group of its own."""
        env = {**os.environ, **({"PHI3V_FAULT_INJECTION": inject} if inject else {})}
        return subprocess.run(
            self.line(out, *more), env=env, capture_output=True, text=True, start_new_session=True, check=False
        )

    def files(self, out: str = "out") -> dict[str, bytes]:
        """Every file of a dataset folder, hidden ones included; but for the card, which the command writes."""
        root = self.root / out
        files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "README.md")
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    def quarantine(self, out: str = "out") -> list[dict[str, str]]:
        lines = (self.root / out / "quarantine.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


class Pages:
    """The raw data of the source in questions.py."""

    def __init__(self, bench: Bench) -> None:
        bench.source = QUESTIONS
        self.bench = bench
        (bench.input / "pages").mkdir(parents=True)
        self.page("back")

    def page(self, name: str) -> None:
        number = sum(name.encode())
        pixels = np.full((8, 8, 3), [number % 256, 99, len(name)], np.uint8)
        Image.fromarray(pixels).save(self.bench.input / "pages" / name, "PNG")

    def ask(self, *rows: dict[str, str] | str) -> None:
        """Write the questions; a string is a row that is none."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (self.bench.input / "questions.jsonl").write_text("\n".join(lines))

    def log(self, name: str) -> list[str]:
        path = self.bench.input / name
        return path.read_text().splitlines() if path.exists() else []

    def images(self, out: str = "out") -> list[str]:
        return sorted(n.removeprefix("images/") for n in self.bench.files(out) if n.startswith("images/"))

    def typical(self) -> None:
        """Questions that share pages, within a split and across two, some of which fail."""
        for name in ("a", "b", "c", "damaged"):
            self.page(name)
        (self.bench.input / "pages" / "damaged").write_bytes(b"no image")
        self.ask(
            {"page": "a"},
            {"page": "a", "does": "fail"},
            {"page": "a"},
            {"page": "b", "does": "fail"},
            '{"page": ',
            {"page": "b", "does": "fail"},
            {"page": "c", "does": "fail"},
            {"page": "c", "does": "show the back"},
            {"page": "damaged"},
            {"page": "damaged"},
            {"page": "a", "split": "val"},
            {"page": "missing", "split": "val"},
        )


def rows(summary: Summary) -> dict[str, tuple[int, int, int, int]]:
    """Read the conservation law off a summary: discovered, written, quarantined, skipped of each split."""
    return {r.split: (r.discovered, r.written, r.quarantined, r.skipped) for r in summary.manifest.splits}

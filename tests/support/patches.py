"""A small source for the engine's tests: coloured patches, with items that misbehave in every way asked for.

Its input is a folder of JSON files, `<split>/<name>.json`: `{"colours": [[r, g, b], ...]}`, and optionally `"does"`,
what goes wrong with the item.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.errors import MediaError
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import Folder


@dataclass(frozen=True)
class Patches:
    """Coloured patches, each with the question what it shows."""

    name: ClassVar[str] = "patches"
    input: Folder
    side: Annotated[int, Meta(ge=1, description="of a patch, in pixels")] = 8
    sampling: Annotated[Sampling, Meta(description="shapes nothing here")] = field(default_factory=Sampling)

    def discover(self) -> Iterator[Item]:
        number = 0
        for split in self.input.list():
            for entry in self.input.list(split.name):
                stem = entry.name.removesuffix(".json")
                yield Item(id=f"{split.name}-{number:06d}", split=split.name, path=entry.name, images=stem)
                number += 1

    def convert(self, item: Item, images: ImageSink) -> Record:
        raw = json.loads(self.input.read(item.path))
        shown = []
        for number, colour in enumerate(raw["colours"]):
            pixels = np.full((self.side, self.side, 3), colour, np.uint8)
            shown.append(images.save(f"{item.images}.{number}.jpg", pixels))
        misbehave(raw.get("does", ""), item, images)
        turn = Turn(images=shown, user="What colours?", assistant=str(raw["colours"]))
        identity = "another" if raw.get("does") == "rename" else item.id
        meta: dict[str, Any] = {"label": item.images}
        return Record(id=identity, source=self.name, conversations=[turn], meta=meta)


def misbehave(does: str, item: Item, images: ImageSink) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    if does == "damaged":
        raise MediaError("no frame can be decoded")
    if does == "bug":
        raise KeyError("colour")
    if does == "leave":
        images.save("../outside.0.jpg", pixels)
    if does == "steal":
        images.save("train/0001.0.jpg", pixels)
    if does == "twice":
        images.save(f"{item.images}.0.jpg", pixels)
    if does == "hide":
        images.save(f"{item.images}.hidden.jpg", pixels)
    if does == "no image":
        images.save(f"{item.images}.bad.jpg", np.zeros((4, 4, 7), np.float32))
    if does == "no memory":
        raise MemoryError("2 TiB")
    if does == "interrupt":
        os.kill(os.getppid(), signal.SIGINT)
    if does == "terminate":
        os.kill(os.getppid(), signal.SIGTERM)
    if does == "exit":
        sys.exit("no licence")
    if does == "print":
        os.write(2, b"TIFFReadDirectory: Warning, unknown field\n")
    if does == "own path":
        raise RuntimeError(f"cannot open {Path(__file__).absolute()} ({images!r})")
    if does == "linger":
        signal.pause()
    if does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "no space":
        raise OSError(28, os.strerror(28))

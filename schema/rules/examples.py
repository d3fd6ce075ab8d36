"""Small datasets that show what a rule is about: written out for the tests, printed for people."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ..layout import IMAGES

# Lines of a file that are shown to people.
_LINES = 3
# The file that holds an example's records.
DATA = "made_train.jsonl"


@dataclass(frozen=True)
class Drawing:
    """An image described by what matters about it, and drawn when it is needed.

    Args:
        format: Pillow's name of the file format.
        width: in pixels.
        height: in pixels.
        mode: Pillow's mode.
        seed: another seed, another image.
        flat: one colour all over.
        orientation: EXIF's number; 1 is upright.
        frames: more than one is an animation.
        cut: bytes taken away at the end.
        damaged: some of the compressed data is overwritten.
        text_lines: so many lines of text are drawn on white.
    """

    format: str = "JPEG"
    width: int = 384
    height: int = 256
    mode: str = "RGB"
    seed: int = 0
    flat: bool = False
    orientation: int = 1
    frames: int = 1
    cut: int = 0
    damaged: bool = False
    text_lines: int = 0

    def __str__(self) -> str:
        notes = [self.format, f"{self.width}x{self.height}", self.mode]
        notes += ["one colour"] if self.flat else []
        notes += [f"EXIF orientation {self.orientation}"] if self.orientation != 1 else []
        notes += [f"{self.frames} frames"] if self.frames > 1 else []
        notes += [f"the last {self.cut} bytes are missing"] if self.cut else []
        notes += ["some of its data is overwritten"] if self.damaged else []
        notes += [f"{self.text_lines} lines of text"] if self.text_lines else []
        return f"an image: {', '.join(notes)}" if self.seed == 0 else f"another image: {', '.join(notes)}"

    def encode(self) -> bytes:
        """Return the file's bytes."""
        from PIL import Image

        pages = [self._page(number) for number in range(self.frames)]
        options: dict[str, Any] = {}
        if self.orientation != 1:
            exif = Image.Exif()
            exif[0x0112] = self.orientation
            options["exif"] = exif
        if self.frames > 1:
            options |= {"save_all": True, "append_images": pages[1:], "duration": 100}
        buffer = io.BytesIO()
        pages[0].save(buffer, self.format, **options)
        data = bytearray(buffer.getvalue())
        if self.damaged:
            late = len(data) * 3 // 4
            data[late : late + 24] = b"\xfe\x00" * 12
        return bytes(data[: len(data) - self.cut])

    def _page(self, number: int) -> Any:
        import numpy as np
        from PIL import Image, ImageDraw

        if self.text_lines:
            page = Image.new("L", (self.width, self.height), 255)
            pitch = self.height / self.text_lines
            for row in range(self.text_lines):
                top = int(row * pitch + pitch * 0.25)
                for left in range(self.width // 20, self.width * 19 // 20, max(2, int(pitch * 0.4))):
                    box = (left, top, left + int(pitch * 0.2), top + int(pitch * 0.5))
                    ImageDraw.Draw(page).rectangle(box, fill=0)
            return page.convert(self.mode)
        if self.flat:
            return Image.new("RGB", (1, 1), (120, 120, 120)).convert(self.mode).resize((self.width, self.height))
        random = np.random.default_rng([self.seed, number])
        small = random.integers(0, 256, (6, 8, 3), np.uint8)
        image = Image.fromarray(small).resize((self.width, self.height), Image.Resampling.BICUBIC)
        if self.mode == "I;16":
            grey = np.asarray(image.convert("L")).astype(np.uint16)
            return Image.fromarray(grey * 257)
        return image.convert(self.mode)


@dataclass(frozen=True)
class Example:
    """A dataset folder: its files, and the settings it is looked at with.

    Args:
        files: by name; text, bytes, or an image to be drawn.
        settings: of the validation, by name.
        links: symbolic links, by name, and where they lead.
    """

    files: Mapping[str, str | bytes | Drawing]
    settings: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_bytes(content))
        for name, target in self.links.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)

    def lines(self) -> list[str]:
        """Describe the files for people, a line each, records in full."""
        out = []
        for name, content in self.files.items():
            if isinstance(content, Drawing):
                out.append(f"{name}: {content}")
            elif not content:
                out.append(f"{name}: empty")
            else:
                out += [f"{name}: {each}" for each in _described(content)]
        out += [f"{name}: a link to {target}" for name, target in self.links.items()]
        out += [f"validated with {name} = {value}" for name, value in self.settings.items()]
        return out


def _bytes(content: str | bytes | Drawing) -> bytes:
    if isinstance(content, Drawing):
        return content.encode()
    return content.encode() if isinstance(content, str) else content


def _described(content: str | bytes) -> list[str]:
    if isinstance(content, bytes) and b"\0" in content:
        return [f"{len(content)} bytes"]
    text = content if isinstance(content, str) else ascii(content)[2:-1].replace("\\n", "\n")
    lines = text.split("\n") if not text.endswith("\n") else text[:-1].split("\n")
    more = [f"... and {len(lines) - _LINES} more like these"] if len(lines) > _LINES else []
    return [_cut(each) for each in lines[:_LINES]] + more


def _cut(text: str, most: int = 300) -> str:
    printable = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return printable if len(printable) <= most else f"{printable[:most]} ..."


def line(identity: str = "a", **fields: Any) -> str:
    """Return a record's line, such as `{"id": "a", "conversations": [...]}`.

    Args:
        identity: its id.
        fields: of its one turn (`images`, `user`, `assistant`, `answers`), or of the record (`source`, `meta`).
    """
    of_record = {name: fields.pop(name) for name in ("source", "meta") if name in fields}
    turn = {"user": f"What is {identity}?", "assistant": f"This is {identity}.", **fields}
    return msgspec.json.encode({"id": identity, "conversations": [turn], **of_record}).decode()


def one_line(*lines: str | bytes, **settings: Any) -> Example:
    """Return an example of nothing but records."""
    encoded = b"".join((each.encode() if isinstance(each, str) else each) + b"\n" for each in lines)
    try:
        content: str | bytes = encoded.decode()
    except UnicodeDecodeError:
        content = encoded
    return Example({DATA: content}, settings)


def example(records: list[str], *, settings: Mapping[str, Any] | None = None, **images: Drawing) -> Example:
    """Return an example of records with images, each named `a` for `images/a.jpg` and so on."""
    files: dict[str, str | bytes | Drawing] = {DATA: "".join(f"{each}\n" for each in records)}
    for name, drawing in images.items():
        files[f"{IMAGES}/{name}{_SUFFIXES[drawing.format]}"] = drawing
    return Example(files, settings or {})


def image_example(drawing: Drawing | bytes, name: str | None = None, **settings: Any) -> Example:
    """Return an example of one record that shows one image."""
    shown = name or f"a{_SUFFIXES[drawing.format] if isinstance(drawing, Drawing) else '.jpg'}"
    return Example({DATA: line(images=[shown]) + "\n", str(PurePosixPath(IMAGES, shown)): drawing}, settings)


_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "TIFF": ".tif", "WEBP": ".webp"}

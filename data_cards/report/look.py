"""Look at records, a chunk at a time: what a worker process does for a report."""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET
from PIL import Image

from ...schema.dataset import Dataset
from ...schema.errors import RecordError, UsageError
from ...schema.index import Counting, RecordIndex
from ...schema.index.counting import Counter
from ...schema.index.facts_table import image_key
from ...schema.record import Record
from ...schema.vision_tokens import CropGrid, VisionGeometry, crop_grid
from ...storage import open_folder
from .data_files import write_data
from .model_view import canvas_of, global_crop_of
from .rendered import Span, rendered
from .thumbnails import SPRITE, as_png, sprite, thumbnail

CHUNK = 256
"""Records in a file of data; four sprites."""

# What Pillow raises on images that are none, each reader in its own way.
_UNREADABLE = (OSError, ValueError, RuntimeError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Viewing:
    """How a dataset is looked at.

    Args:
        out: address of the report's folder.
        num_crops: most sub-crops an image.
        geometry: sizes of crops.
        counting: what texts are counted by; None where no tokenizer is at hand.
        copy_images: whether images are copied into the report; else it refers to where they are.
        model_pixels: every so many records of a split, the model's own pixels are kept; 0 for none.
    """

    out: str
    num_crops: int
    geometry: VisionGeometry
    counting: Counting | None
    copy_images: bool
    model_pixels: int


class Chunk(NamedTuple):
    """Records to look at: the split, its place among the splits, the first, how many, and which are samples of it."""

    split: str
    place: int
    first: int
    records: int
    samples: frozenset[int] = frozenset()


class _ShownImage(msgspec.Struct, array_like=True):
    """An image as the page gets it: path, width, height, [rows, columns, content width, content height], tokens, ..."""

    path: str
    width: int
    height: int
    grid: tuple[int, int, int, int] | None
    tokens: int
    failure: str = ""
    copied: str = ""
    model: str = ""


class _ShownRecord(msgspec.Struct):
    """A record as the page gets it; long texts are numbers into the chunk's `texts`."""

    id: str
    spans: list[tuple[str, int]] = msgspec.field(default_factory=list)
    images: list[_ShownImage] = msgspec.field(default_factory=list)
    answers: list[list[str]] = msgspec.field(default_factory=list)
    meta: Any = None
    label: str | None = None
    tokens: int = 0
    text_tokens: int | None = None
    supervised: int | None = None
    failure: str = ""


@dataclass
class Looked:
    """Numbers of a chunk's records, in order: what the whole report is computed from."""

    ids: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    supervised: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    images_of: list[int] = field(default_factory=list)
    """The key of each record's first image among the image facts; 0 where it shows none."""
    samples: dict[int, bytes] = field(default_factory=dict)
    """Of the samples among them, the thumbnails as PNG, by place in the split."""


class Looker:
    """Looks at chunks of records, and writes what the pages show of them.

    Args:
        dataset: the data.
        viewing: how.
    """

    def __init__(self, dataset: Dataset, viewing: Viewing) -> None:
        self._dataset, self._viewing = dataset, viewing
        self._out = open_folder(viewing.out)
        self._counter = Counter(viewing.counting) if viewing.counting else None
        self._indexes: dict[str, RecordIndex] = {}

    def __call__(self, chunk: Chunk) -> Looked:
        """Write the chunk's records and sprites; return the numbers of its records."""
        index = self._indexes.setdefault(chunk.split, RecordIndex(self._dataset, chunk.split))
        looked, shown = Looked(), []
        texts: dict[str, int] = {}
        thumbnails: list[Image.Image | None] = []
        for number in range(chunk.first, chunk.first + chunk.records):
            record = _read(index, number)
            one, small = self._look(index, number, record)
            spans = [] if isinstance(record, str) else rendered(record)
            one.spans = [(span.kind, _interned(texts, span)) for span in spans]
            shown.append(one)
            thumbnails.append(small)
            _note(looked, one, record)
            looked.images_of.append(_image_key(index, number, record))
            if number in chunk.samples and small is not None:
                looked.samples[number] = as_png(small)
        name = f"{chunk.place}-{chunk.first // CHUNK}"
        write_data(self._out, f"records/{name}", {"texts": list(texts), "records": shown})
        for first in range(0, len(thumbnails), SPRITE):
            sprite_name = f"{chunk.place}-{(chunk.first + first) // SPRITE}"
            self._out.write(f"data/sprites/{sprite_name}.webp", sprite(thumbnails[first : first + SPRITE]))
        return looked

    def _look(self, index: RecordIndex, number: int, record: Record | str) -> tuple[_ShownRecord, Image.Image | None]:
        if isinstance(record, str):
            return _ShownRecord(id=index.ids([number])[0], failure=record), None
        meta = None if record.meta is UNSET else record.meta
        shown = _ShownRecord(id=record.id, meta=meta, label=_label(meta))
        shown.answers = [[] if turn.answers is UNSET else turn.answers for turn in record.conversations]
        exact = bool(self._viewing.model_pixels) and number % self._viewing.model_pixels == 0
        small = None
        for which, path in enumerate(record.images()):
            image, its_small = self._image(index, number, record, which, exact)
            shown.images.append(image)
            if image.failure and not shown.failure:
                shown.failure = f"image {path} {image.failure}"
            small = its_small if which == 0 else small
        self._count(shown, record)
        return shown, small

    def _image(
        self, index: RecordIndex, number: int, record: Record, which: int, exact: bool
    ) -> tuple[_ShownImage, Image.Image | None]:
        path = list(record.images())[which]
        # Records that show one image share what is kept of it.
        name = hashlib.sha256(path.encode()).hexdigest()[:20]
        try:
            with index.open_image(number, record, which) as stream:
                # Every image's header is read, but only what is shown small, copied or kept is decoded.
                data = io.BytesIO(stream.read()) if which == 0 or exact or self._viewing.copy_images else stream
                with Image.open(data) as image:
                    width, height = image.size
                    grid = crop_grid(width, height, self._viewing.num_crops, self._viewing.geometry)
                    shown = _ShownImage(path, width, height, _grid_numbers(grid), grid.tokens)
                    if self._viewing.copy_images and isinstance(data, io.BytesIO):
                        shown.copied = self._copy(name, image.format or "", data.getvalue())
                    if exact:
                        shown.model = self._keep_model_pixels(name, image, grid)
                small = None
                if which == 0:
                    data.seek(0)
                    small = thumbnail(data)
        except FileNotFoundError:
            return _ShownImage(path, 0, 0, None, 0, "does not exist"), None
        except _UNREADABLE as error:
            return _ShownImage(path, 0, 0, None, 0, f"cannot be read ({error})"), None
        return shown, small

    def _copy(self, name: str, form: str, data: bytes) -> str:
        """Copy an image's bytes under a name that says only what Pillow found it to be."""
        copied = f"data/images/{name}.{form.lower()}"
        if not self._out.exists(copied):
            self._out.write(copied, data)
        return copied

    def _keep_model_pixels(self, name: str, image: Image.Image, grid: CropGrid) -> str:
        if self._out.exists(f"data/model/{name}.global.webp"):
            return f"data/model/{name}"
        canvas = canvas_of(image, grid)
        crop = global_crop_of(canvas, grid.geometry.crop_size)
        for kind, pixels in (("canvas", canvas), ("global", crop)):
            buffer = io.BytesIO()
            pixels.save(buffer, "WEBP", lossless=True, quality=20, method=1)
            self._out.write(f"data/model/{name}.{kind}.webp", buffer.getvalue())
        return f"data/model/{name}"

    def _count(self, shown: _ShownRecord, record: Record) -> None:
        counts = [image.tokens for image in shown.images]
        shown.tokens = sum(counts)
        if self._counter is None:
            return
        with contextlib.suppress(UsageError):  # what is wrong is told by `rendered`
            shown.tokens, shown.supervised = self._counter.tokens(record, counts)
            shown.text_tokens = shown.tokens - sum(counts)


def _read(index: RecordIndex, number: int) -> Record | str:
    try:
        return index[number]
    except RecordError as error:
        return str(error)


def _note(looked: Looked, shown: _ShownRecord, record: Record | str) -> None:
    first = shown.images[0] if shown.images else None
    turns = [] if isinstance(record, str) else record.conversations
    looked.ids.append(shown.id)
    looked.labels.append(shown.label)
    looked.answers.append(turns[0].assistant if len(turns) == 1 else "")
    looked.tokens.append(shown.tokens)
    looked.supervised.append(shown.supervised or 0)
    looked.images.append(len(shown.images))
    looked.turns.append(len(turns))
    looked.sizes.append((first.width, first.height) if first else (0, 0))


def _image_key(index: RecordIndex, number: int, record: Record | str) -> int:
    if isinstance(record, str) or next(record.images(), None) is None:
        return 0
    name = index.image_name(number, record, 0)
    return image_key(name) if name else 0


def _label(meta: Any) -> str | None:
    label = meta.get("label") if isinstance(meta, dict) else None
    return str(label) if isinstance(label, str | int) and label != "" else None


def _grid_numbers(grid: CropGrid) -> tuple[int, int, int, int]:
    return grid.rows, grid.columns, grid.content_width, grid.content_height


def _interned(texts: dict[str, int], span: Span) -> int:
    return span.text if isinstance(span.text, int) else texts.setdefault(span.text, len(texts))

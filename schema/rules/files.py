"""Rules on the images as files: each one shown is there and starts like an image; none lies about unshown."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from ..dataset import Dataset
from ..layout import IMAGES
from ..record import Record
from .report import Finding

__all__ = ["FileRules"]


class FileRules:
    """Looks at the header of every image a record shows, once each.

    Args:
        dataset: what to look at.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._faults: dict[str, str | None] = {}

    def check(self, file: str, line: int, record: Record) -> Iterator[Finding]:
        """Yield what is wrong with the images of one record."""
        for number, _ in enumerate(record.images()):
            place = self.dataset.images.place(record, number)
            if place not in self._faults:
                self._faults[place] = self._fault(record, number)
            fault = self._faults[place]
            if fault is not None:
                message = f"{place} {fault}"
                yield Finding(rule="image", severity="error", message=message, file=file, line=line, id=record.id)

    def unshown(self) -> Iterator[Finding]:
        """Yield every file under images/ that no record shows; call it after all records were checked."""
        if not self.dataset.folder.exists(IMAGES):
            return
        for entry in self.dataset.folder.files(IMAGES):
            if entry.name not in self._faults:
                yield Finding(rule="unshown", severity="warning", message="no record shows it", file=entry.name)

    def _fault(self, record: Record, number: int) -> str | None:
        try:
            with self.dataset.images.open(record, number) as stream, Image.open(stream) as image:
                width, height = image.size
        except FileNotFoundError:
            return "does not exist"
        except UnidentifiedImageError:
            return "is no image"
        except Image.DecompressionBombError:
            return "has more pixels than an image may have"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        except (ValueError, RuntimeError) as error:
            # What Pillow's readers say of broken headers, each in its own way.
            return f"cannot be read ({error})"
        return None if width and height else "has no pixels"

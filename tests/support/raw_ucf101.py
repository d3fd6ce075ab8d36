"""What the tests of the source ucf101 share: making it, discovering, converting, being refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phi3v_data.converters.base import Item
from phi3v_data.converters.sources.ucf101 import UCF101
from phi3v_data.schema.errors import InputError
from phi3v_data.schema.record import Record
from phi3v_data.storage import open_folder

FRAMES = 10
PROMPT = "Classify the video into one of the following classes: "


class Shown:
    """Keeps the images it is given."""

    def __init__(self) -> None:
        self.images: dict[str, np.ndarray] = {}

    def keep(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        raise AssertionError(f"{name}: a clip has no encoded images")

    def save(self, name: str, image: np.ndarray | Image.Image) -> str:
        assert name not in self.images
        self.images[name] = np.asarray(image)
        return name


def source(folder: Path | str, **options: object) -> UCF101:
    return UCF101(input=open_folder(folder), **options)  # type: ignore[arg-type]  # options of any type


def found(folder: Path | str, **options: object) -> list[Item]:
    return list(source(folder, **options).discover())


def converted(folder: Path | str, **options: object) -> list[Record]:
    made = source(folder, **options)
    return [made.convert(item, Shown()) for item in made.discover()]


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        found(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)

"""The demo's raw data: short clips of one moving disc, named and sorted as UCF-101 names and sorts its own.

The classes differ in motion alone: shape, size, colours and background are drawn without regard to the class. A group
is one scene (colours, size, place), and lies wholly in one split.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WIDTH, _HEIGHT = 320, 240
_FRAMES, _FPS = 32, 16
# A background is so many colours, run into one another: no scene is near-identical to another one.
_PATCHES = (4, 3)

# Where the disc is at time t of 0..1, in units of its swing around its resting place.
CLASSES: dict[str, Callable[[float], tuple[float, float]]] = {
    "Elevator": lambda t: (0.0, math.cos(2 * math.pi * t)),
    "Resting": lambda t: (0.0, 0.0),
    "Shuttle": lambda t: (math.cos(2 * math.pi * t), 0.0),
}

# Groups (scenes) in each split; every group holds one clip a class and variant.
GROUPS = {"train": range(1, 61), "val": range(61, 71), "test": range(71, 76)}


@dataclass(frozen=True)
class _Scene:
    radius: int
    disc: tuple[int, int, int]
    background: bytes
    centre: tuple[float, float]

    @classmethod
    def of_group(cls, group: int) -> _Scene:
        chance = random.Random(group)
        return cls(
            radius=chance.randint(26, 34),
            disc=(chance.randint(170, 255), chance.randint(170, 255), chance.randint(170, 255)),
            background=b"".join(_patch(chance) for _ in range(_PATCHES[0] * _PATCHES[1])),
            centre=(_WIDTH / 2 + chance.uniform(-40, 40), _HEIGHT / 2 + chance.uniform(-20, 20)),
        )


def _patch(chance: random.Random) -> bytes:
    """Return a colour that is dark to dim: always darker than a disc."""
    brightness = chance.randint(0, 100)
    return bytes(brightness + chance.randint(0, 30) for _ in range(3))


def write_clips(folder: Path) -> int:
    """Write `train|val|test/<Class>/v_<Class>_gNN_c01.avi`; the same clips every time.

    Returns:
        The number of clips.
    """
    from ..converters.video.synthesis import write_clip

    count = 0
    for split, groups in GROUPS.items():
        for name in CLASSES:
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            for group in groups:
                write_clip(place / f"v_{name}_g{group:02d}_c01.avi", _frames(name, group), fps=_FPS)
                count += 1
    return count


def _frames(name: str, group: int) -> Iterator[npt.NDArray[np.uint8]]:
    import numpy as np
    from PIL import Image, ImageDraw

    scene = _Scene.of_group(group)
    patches = Image.frombytes("RGB", _PATCHES, scene.background)
    background = patches.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    phase = random.Random(f"{name} {group}").random()
    swing = 75.0
    for number in range(_FRAMES):
        dx, dy = CLASSES[name](phase + number / _FRAMES)
        x, y = scene.centre[0] + swing * dx, scene.centre[1] + swing * dy
        image = background.copy()
        box = (x - scene.radius, y - scene.radius, x + scene.radius, y + scene.radius)
        ImageDraw.Draw(image).ellipse(box, fill=scene.disc)
        yield np.asarray(image)

"""How images are stored: options of the engine, for the images of every source."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...schema.errors import UsageError

# Pillow's own default, and so that of the recipe's images. A frame of UCF-101 takes 8 kB with it, 13 kB with 90.
DEFAULT_QUALITY = 75

ImageFormat = Literal["keep", "png", "jpeg"]


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How images are stored; see the package's text for the rule.

    Args:
        quality: of JPEG images, 1 to 100 on libjpeg's scale.
        image_format: `keep` what an image is where that is plain, or make all of them `png` or `jpeg`.
        max_pixels: scale an image down to so many pixels at most; None for any.
        max_side: scale an image down until its longer side has so many pixels at most; None for any.
        fit_crops: scale an image down to what the model sees of it at so many crops; None for not.

    Raises:
        UsageError: a number out of its bounds.
    """

    quality: int = DEFAULT_QUALITY
    image_format: ImageFormat = "keep"
    max_pixels: int | None = None
    max_side: int | None = None
    fit_crops: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: expected 1 to 100")
        for name in ("max_pixels", "max_side", "fit_crops"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected at least 1")

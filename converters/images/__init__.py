"""Images as they are stored. The rule, in one place:

- A plain image keeps its bytes: a JPEG of 8-bit YCbCr, or a PNG of 8-bit RGB without transparency and not interlaced;
  a single one, not turned by its EXIF data, within --max-pixels and --max-side, and undamaged from start to end.
- Anything else becomes plain RGB: CMYK (inverted where Adobe's marker says so) and palettes are converted, grey is put
  into all three colours, transparency is laid on white, of 16 bits the upper 8 are taken, of several frames or pages
  the first, and EXIF rotation is applied. Colour profiles are not applied, and no metadata is carried over.
- What was stored losslessly (PNG, GIF, BMP, PPM, TIFF and WebP of that kind) becomes PNG, all else JPEG at --quality;
  --image-format png or jpeg makes all images the one or the other.
- --max-pixels and --max-side scale down what is larger, with Lanczos' filter.
- --fit-crops N then scales down to what the model sees of the image at N crops, and stores that as PNG, unless
  --image-format jpeg asks otherwise.
- Other formats are not opened, nor are images of more than `MOST_PIXELS` by their header.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ...schema.errors import UsageError

# Pillow's own default, and so that of the recipe's images. A frame of UCF-101 takes 8 kB with it, 13 kB with 90.
DEFAULT_QUALITY = 75

ImageFormat = Literal["keep", "png", "jpeg"]


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the engine, for the images of every source, see above; UsageError where a number is out of bounds."""

    quality: int = DEFAULT_QUALITY  # of JPEG images, 1 to 100 on libjpeg's scale
    image_format: ImageFormat = "keep"  # `keep` what an image is where that is plain, or make all `png` or `jpeg`
    max_pixels: int | None = None  # scale an image down to so many pixels at most; None for any
    max_side: int | None = None  # scale an image down until its longer side has so many at most; None for any
    fit_crops: int | None = None  # scale an image down to what the model sees of it at so many crops; None for not

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: expected 1 to 100")
        for name in ("max_pixels", "max_side", "fit_crops"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected at least 1")

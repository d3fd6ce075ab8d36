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

from .settings import DEFAULT_QUALITY, ImageFormat, ImageSettings

__all__ = ["DEFAULT_QUALITY", "ImageFormat", "ImageSettings"]

"""What the model sees of an image: its canvas at so many crops, and the global crop beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from ...schema.vision_tokens import CropGrid

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WHITE = (255, 255, 255)


def canvas_of(image: Image.Image, grid: CropGrid) -> Image.Image:
    """Scale an image and pad it with white to whole crops, as the published image processor does.

    A portrait is scaled as its transpose: the other way, the resampling would round differently.

    Args:
        image: of any mode.
        grid: what `crop_grid` gives for its size.

    Returns:
        RGB, of `grid.canvas_size`.
    """
    image = image.convert("RGB")
    size = (grid.content_width, grid.content_height)
    if image.width < image.height:
        turn = Image.Transpose.TRANSPOSE
        content = image.transpose(turn).resize(size[::-1], Image.Resampling.BILINEAR).transpose(turn)
    else:
        content = image.resize(size, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", grid.canvas_size, _WHITE)
    canvas.paste(content, ((canvas.width - content.width) // 2, (canvas.height - content.height) // 2))
    return canvas


def global_crop_of(canvas: Image.Image, crop_size: int) -> Image.Image:
    """Scale a canvas down to the global crop: bicubic without antialiasing, as torch's and OpenCV's are."""
    import cv2
    import numpy as np

    pixels: npt.NDArray[np.uint8] = np.asarray(canvas)
    scaled = cv2.resize(pixels, (crop_size, crop_size), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(scaled)

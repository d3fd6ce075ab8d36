"""Images become crops, bit for bit as the published image processor makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import ImagesKwargs

from ...schema.errors import UsageError
from ...schema.vision_tokens import CropGrid, VisionGeometry, crop_grid
from .configuration import reachable_code

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

ImageInput = Image.Image | NDArray[Any]
_PUBLISHED_CROP_SIZE = 336
_WHITE = (255, 255, 255)


def content_of(image: Image.Image, grid: CropGrid) -> Image.Image:
    """Scale an image to what it is on its canvas.

    A portrait is worked on as its transpose: turned the other way, the resampling would round differently.

    Args:
        image: of any mode; transparency is dropped, as `convert("RGB")` drops it.
        grid: what `crop_grid` gives for the image's size.

    Returns:
        RGB, of the grid's content size.
    """
    turn = Image.Transpose.TRANSPOSE
    image = image.convert("RGB")
    if image.width < image.height:
        lying = image.transpose(turn).resize((grid.content_height, grid.content_width), Image.Resampling.BILINEAR)
        return lying.transpose(turn)
    return image.resize((grid.content_width, grid.content_height), Image.Resampling.BILINEAR)


def canvas_of(image: Image.Image, grid: CropGrid) -> Image.Image:
    """Scale an image and pad it with white to whole crops: RGB, of `grid.canvas_size`; see `content_of`."""
    content = content_of(image, grid)
    canvas = Image.new("RGB", grid.canvas_size, _WHITE)
    canvas.paste(content, ((canvas.width - content.width) // 2, (canvas.height - content.height) // 2))
    return canvas


def normalise(pixels: Tensor, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD) -> Tensor:
    """Bring uint8 colours to what CLIP was trained on.

    Args:
        pixels: [..., 3, height, width] uint8, on any device.
        mean: of each colour, of values from 0 to 1.
        std: standard deviations of the same.

    Returns:
        The same shape in float32.
    """
    centre, spread = (_of_colours(values, pixels.device) for values in (mean, std))
    return pixels.float().div(255).sub(centre).div(spread)


def _of_colours(values: Sequence[float], device: torch.device) -> Tensor:
    """Make a colour's numbers on the device itself: copied there, they would make the CPU wait for it."""
    filled = [torch.full((1, 1), value, dtype=torch.float32, device=device) for value in values]
    return torch.stack(filled)


def crops_of(canvas: Tensor, crop_size: int) -> Tensor:
    """Cut a canvas into its global crop and its sub-crops.

    Args:
        canvas: [3, rows * crop_size, columns * crop_size], normalised.
        crop_size: side of a crop in pixels.

    Returns:
        [1 + rows * columns, 3, crop_size, crop_size]: the whole canvas scaled down, then the parts row by row.
    """
    by_row = canvas.view(3, canvas.shape[1] // crop_size, crop_size, -1, crop_size)
    return torch.cat([whole_crop(canvas[None], crop_size), by_row.permute(1, 3, 0, 2, 4).flatten(0, 1)])


def whole_crop(canvases: Tensor, crop_size: int) -> Tensor:
    """Scale whole canvases down to global crops: [n, 3, height, width], normalised, to [n, 3, crop_size, crop_size]."""
    return nn.functional.interpolate(canvases, size=(crop_size, crop_size), mode="bicubic")


class Phi3VImagesKwargs(ImagesKwargs, total=False):
    """What may be given in place of `preprocessor_config.json`'s own values."""

    num_crops: int


class Phi3VImageProcessor(BaseImageProcessor):
    """The published image processor, without its code and without torchvision.

    Args:
        num_crops: the most sub-crops an image is cut into; 4 in 3.5, 16 in 3.0.
        image_mean: mean of red, green and blue, of values from 0 to 1.
        image_std: their standard deviations.
        num_img_tokens: tokens a crop, a square number.
        crop_size: side of a crop in pixels; the published file, which lacks it, means 336.
        do_convert_rgb: always true; images of other modes are converted.

    Raises:
        UsageError: values no image can be cut by.
    """

    model_input_names = ["pixel_values", "image_sizes"]  # noqa: RUF012 - transformers' own declaration
    valid_kwargs = Phi3VImagesKwargs

    def __init__(
        self,
        num_crops: int = 4,
        image_mean: Sequence[float] = CLIP_MEAN,
        image_std: Sequence[float] = CLIP_STD,
        num_img_tokens: int = 144,
        crop_size: int = _PUBLISHED_CROP_SIZE,
        do_convert_rgb: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        side = math.isqrt(num_img_tokens)
        if num_crops < 1 or side < 1 or side**2 != num_img_tokens or not do_convert_rgb:
            raise UsageError(
                f"num_crops {num_crops}, num_img_tokens {num_img_tokens}, do_convert_rgb {do_convert_rgb}; expected "
                "at least 1, a square number, and true"
            )
        self.num_crops = num_crops
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.num_img_tokens = num_img_tokens
        self.crop_size = crop_size
        self.do_convert_rgb = do_convert_rgb

    @property
    def geometry(self) -> VisionGeometry:
        """The sizes the token arithmetic follows from."""
        return VisionGeometry(self.crop_size, math.isqrt(self.num_img_tokens))

    def crop_grid(self, width: int, height: int, num_crops: int | None = None) -> CropGrid:
        """Say how an image of `width x height` pixels is cut, and how many tokens it costs.

        Raises:
            UsageError: `num_crops`, in place of the processor's own, is under 1.
        """
        most = self.num_crops if num_crops is None else num_crops
        if most < 1:
            raise UsageError(f"num_crops is {most}; expected at least 1")
        return crop_grid(width, height, most, self.geometry)

    def to_dict(self) -> dict[str, Any]:
        """The published form: what `preprocessor_config.json` holds."""
        settings: dict[str, Any] = {
            "do_convert_rgb": self.do_convert_rgb,
            "image_mean": self.image_mean,
            "image_processor_type": type(self).__name__,
            "image_std": self.image_std,
            "num_crops": self.num_crops,
            "num_img_tokens": self.num_img_tokens,
            "processor_class": "Phi3VProcessor",
        }
        if self.crop_size != _PUBLISHED_CROP_SIZE:
            settings["crop_size"] = self.crop_size
        # Of no use to us; other software finds the published code by it.
        if kept := reachable_code(getattr(self, "auto_map", None)):
            settings["auto_map"] = kept
        return settings

    def calc_num_image_tokens_from_image_size(self, width: int, height: int) -> int:
        """Return how many tokens an image of a size in pixels costs; the published name, which vLLM asks for."""
        return self.crop_grid(width, height).tokens

    def preprocess(
        self,
        images: ImageInput | Sequence[ImageInput],
        num_crops: int | None = None,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Cut images into normalised crops.

        Args:
            images: one or more, PIL images of any mode or uint8 arrays ([height, width] or [height, width, 3 or 4]).
            num_crops: in place of the processor's own.
            return_tensors: only "pt".

        Returns:
            `pixel_values` [images, 1 + num_crops, 3, side, side] float32, padded with empty crops; `image_sizes`
            [images, 2], height and width of each canvas; `num_img_tokens`, a list.

        Raises:
            UsageError: no images, or something that is none.
        """
        if return_tensors != "pt":
            raise UsageError(f"return_tensors is {return_tensors!r}; the model takes torch tensors: 'pt'")
        opened = [_as_pil(image) for image in (images if isinstance(images, list | tuple) else [images])]
        if not opened:
            raise UsageError("no images to process: leave images out, or pass at least one")
        most = self.num_crops if num_crops is None else num_crops
        grids = [self.crop_grid(image.width, image.height, most) for image in opened]
        crops = [self._crops(image, grid) for image, grid in zip(opened, grids, strict=True)]
        pixel_values = torch.zeros(len(crops), 1 + most, 3, self.crop_size, self.crop_size)
        for row, of_image in zip(pixel_values, crops, strict=True):
            row[: len(of_image)] = of_image
        return BatchFeature(
            {
                "pixel_values": pixel_values,
                "image_sizes": torch.tensor([grid.canvas_size[::-1] for grid in grids]),
                "num_img_tokens": [grid.tokens for grid in grids],
            }
        )

    def _crops(self, image: Image.Image, grid: CropGrid) -> Tensor:
        colours = torch.from_numpy(np.array(canvas_of(image, grid))).permute(2, 0, 1)
        return crops_of(normalise(colours, self.image_mean, self.image_std), self.crop_size)


def _as_pil(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and (image.ndim == 2 or image.shape[2:] in ((3,), (4,)))
    ):
        return Image.fromarray(image)
    given = f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise UsageError(f"{given} given as an image; expected a PIL image or a uint8 array [height, width, 3]")

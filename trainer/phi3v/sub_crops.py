"""From uint8 sub-crops, which is all that an image's pixels have to travel as, to what the tower takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from ...schema.vision_tokens import CropGrid
from .image_processing import normalise, whole_crop


def crops_of_parts(parts: Tensor, grids: Sequence[CropGrid]) -> Tensor:
    """Normalise images by CLIP's numbers and put its global crop in front of each.

    Args:
        parts: uint8 [sub-crops of all images, 3, side, side], row by row, image after image.
        grids: how each image is cut.

    Returns:
        float32 [crops, 3, side, side]; for each image what `crops_of` makes of its canvas, bit for bit on a CPU. Of an
        image of one sub-crop the global crop is the same once more; it is left out, see `CropGrid.encoded_crops`.
    """
    of_image = normalise(parts.contiguous()).split([grid.rows * grid.columns for grid in grids])
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, grid in enumerate(grids):
        by_shape[grid.rows, grid.columns].append(number)
    whole: dict[int, Tensor] = {}
    for (rows, columns), numbers in by_shape.items():
        if rows * columns == 1:
            continue
        canvases = _join(torch.stack([of_image[number] for number in numbers]), rows, columns)
        whole |= zip(numbers, whole_crop(canvases, parts.shape[-1]).split(1), strict=True)
    crops: list[Tensor] = []
    for number, own in enumerate(of_image):
        crops += [whole[number], own] if number in whole else [own]
    return torch.cat(crops)


def _join(parts: Tensor, rows: int, columns: int) -> Tensor:
    """[images, rows * columns, 3, side, side] to [images, 3, rows * side, columns * side]."""
    grid = parts.view(len(parts), rows, columns, *parts.shape[2:])
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

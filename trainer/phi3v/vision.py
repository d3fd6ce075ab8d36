"""Images become token embeddings: CLIP's tower, the merging of patches, the learned separators, the projector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from ...schema.errors import UsageError
from ...schema.vision_tokens import CropGrid
from .configuration import Phi3VConfig
from .sub_crops import crops_of_parts


class ClipTower(nn.Module):
    """CLIP's vision model up to its last layer but one, whose output is the features.

    The last layer and the final norm never reach the output: they are neither run nor trained, but kept, so that what
    is saved is complete.
    """

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        self.vision_model = CLIPVisionModel(config.tower_config)
        self.freeze_unused()

    def freeze_unused(self) -> None:
        """Ask for no gradient where none can come from."""
        for module in self.unused_modules():
            module.requires_grad_(False)

    def unused_modules(self) -> tuple[nn.Module, ...]:
        """The parts that are kept and saved, but not run."""
        return self.vision_model.encoder.layers[-1], self.vision_model.post_layernorm

    def forward(self, crops: Tensor) -> Tensor:
        """Encode normalised crops.

        Args:
            crops: [crops, 3, side, side].

        Returns:
            [crops, patches, width], patches row by row, without the class token; without a graph where nothing of the
            tower is trained.
        """
        trained = any(parameter.requires_grad for parameter in self.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
            hidden: Tensor = self.vision_model.pre_layrnorm(self.vision_model.embeddings(crops))
            for layer in self.vision_model.encoder.layers[:-1]:
                hidden = layer(hidden, attention_mask=None)
        return hidden[:, 1:]


class ImageEmbedding(nn.Module):
    """One image, its global crop and its grid of sub-crops, as a sequence of the language model's embeddings.

    The sequence is the grid row by row, each row closed by `sub_GN`; `glb_GN`; the global crop row by row, each closed
    by `sub_GN`; all of it projected.
    """

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        self.geometry = config.crop_geometry
        merged = 4 * config.tower_config.hidden_size
        self.img_processor = ClipTower(config)
        self.glb_GN = nn.Parameter(torch.zeros(1, 1, merged))
        self.sub_GN = nn.Parameter(torch.zeros(1, 1, 1, merged))
        self.img_projection = nn.Sequential(
            nn.Linear(merged, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )

    def forward(self, pixel_values: Tensor, grids: Sequence[CropGrid]) -> Tensor:
        """Embed images, all their real crops in one pass through the tower.

        Args:
            pixel_values: normalised [images, 1 + most sub-crops, 3, side, side], the global crop first; crops past a
                image's own are padding and never looked at. Or uint8 [sub-crops of all images, 3, side, side]:
                normalised here, the global crops made here.
            grids: how each image is cut.

        Returns:
            [tokens of all images, hidden size], image after image.
        """
        if pixel_values.ndim == 4:
            counts = [grid.encoded_crops for grid in grids]
            crops = crops_of_parts(pixel_values, grids)
        else:
            counts = [1 + grid.rows * grid.columns for grid in grids]
            crops = torch.cat([image[:count] for image, count in zip(pixel_values, counts, strict=True)])
        merged = self._merge_patches(self.img_processor(crops))
        sequences = [
            self._sequence(of_image, grid) for of_image, grid in zip(torch.split(merged, counts), grids, strict=True)
        ]
        projected: Tensor = self.img_projection(torch.cat(sequences))
        return projected

    def projector_parameters(self) -> list[nn.Parameter]:
        """The parameters beside the tower's: of the projector, and the separators that go through it."""
        return [self.glb_GN, self.sub_GN, *self.img_projection.parameters()]

    def nothing(self) -> Tensor:
        """Embed a blank image and forget it: a zero that has every parameter here in its graph."""
        side = self.geometry.crop_size
        blank = torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self.glb_GN.device)
        # Called like any image: wrappers that gather a module's weights do so when it is called.
        features: Tensor = self(blank, [CropGrid(1, 1, side, side, self.geometry)])
        return (features * 0).sum()

    def grids(self, pixel_values: Tensor, image_sizes: Tensor) -> list[CropGrid]:
        """Recover how each image was cut from the size of its canvas.

        Args:
            pixel_values: as `forward` takes them.
            image_sizes: [images, 2], height and width of each canvas in pixels.

        Raises:
            UsageError: the two do not fit each other or this model.
        """
        side = self.geometry.crop_size
        shape = list(pixel_values.shape)
        in_parts = len(shape) == 4 and pixel_values.dtype == torch.uint8
        if shape[-3:] != [3, side, side] or not (in_parts or len(shape) == 5):
            raise UsageError(
                f"pixel_values of shape {shape}, {pixel_values.dtype}; expected [images, crops, 3, {side}, {side}], "
                f"or uint8 [sub-crops, 3, {side}, {side}]: make them with this model's own processor"
            )
        images = image_sizes.shape[0] if in_parts else shape[0]
        if list(image_sizes.shape) != [images, 2]:
            raise UsageError(
                f"image_sizes of shape {list(image_sizes.shape)}; expected [{images}, 2], height and width of each "
                "image's canvas"
            )
        grids = [
            CropGrid(height // side, width // side, width, height, self.geometry)
            for height, width in image_sizes.tolist()
        ]
        most = shape[0] if in_parts else shape[1] - 1
        for grid in grids:
            height, width = grid.content_height, grid.content_width
            if grid.canvas_size != (width, height) or not 0 < grid.rows * grid.columns <= most:
                raise UsageError(
                    f"a canvas of {width}x{height} pixels; expected whole crops of {side} pixels, from 1 to {most} of "
                    "them: pass image_sizes as the processor gives them"
                )
        if in_parts and (cut := sum(grid.rows * grid.columns for grid in grids)) != most:
            raise UsageError(f"{most} sub-crops in pixel_values, {cut} by image_sizes: pass the two of the same images")
        return grids

    def _merge_patches(self, features: Tensor) -> Tensor:
        """Join 2x2 neighbouring patches: [crops, patches, width] to [crops, side, side, 4 * width]."""
        side = self.geometry.tokens_per_side
        squares = features.view(len(features), side, 2, side, 2, -1)
        return squares.transpose(2, 3).flatten(3)

    def _sequence(self, crops: Tensor, grid: CropGrid) -> Tensor:
        """Lay one image's merged crops out: [1 + rows * columns, side, side, n] to [tokens, n].

        A single crop is both the global one and the sub-crop.
        """
        whole, parts = crops[0], crops[-grid.rows * grid.columns :]
        canvas = parts.view(grid.rows, grid.columns, *whole.shape).transpose(1, 2).flatten(2, 3).flatten(0, 1)
        return torch.cat([self._close_rows(canvas), self.glb_GN[0], self._close_rows(whole)])

    def _close_rows(self, grid: Tensor) -> Tensor:
        separators = self.sub_GN[0].expand(len(grid), 1, -1)
        return torch.cat([grid, separators], dim=1).flatten(0, 1)

"""The pixels that a report shows as the model's are the model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from phi3v_data.data_cards.report.model_view import canvas_of, global_crop_of
from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.phi3v.image_processing import canvas_of as canvas_of_training
from phi3v_data.trainer.phi3v.image_processing import whole_crop


@pytest.mark.parametrize("size", [(320, 240), (240, 320), (1000, 90), (37, 1200)])
def test_canvas_and_global_crop_equal_those_of_training(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image, grid = Image.fromarray(noise), crop_grid(*size, 4)
    canvas = canvas_of(image, grid)
    assert canvas.tobytes() == canvas_of_training(image, grid).tobytes()
    ours = np.asarray(global_crop_of(canvas, 336)).astype(float)
    pixels = torch.from_numpy(np.array(canvas)).permute(2, 0, 1)[None].float()
    theirs = whole_crop(pixels, 336)[0].permute(1, 2, 0).clamp(0, 255).numpy()
    assert np.abs(ours - theirs).max() <= 1.0  # rounding

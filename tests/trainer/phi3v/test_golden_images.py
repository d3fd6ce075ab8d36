"""The published image processor's numbers of tests/golden: canvases, sub-crops bit for bit, the global crop close by.

The global crop is a bicubic resize, which torch computes by the processor's own instructions: on another one it may
differ in the last bit. `test_golden_processor` compares it bit for bit, on the machine the numbers are from.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import golden_inputs
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.phi3v import Phi3VImageProcessor
from phi3v_data.trainer.phi3v.image_processing import canvas_of

_FOLDER = Path(__file__).resolve().parents[2] / "golden"
_FACTS = json.loads((_FOLDER / "images.json").read_text())["cases"]
_AT = [0, 1, 167, 334, 335]


def _sha256(array: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize(("number", "crops"), golden_inputs.IMAGE_CASES)
def test_an_image_is_cut_as_by_the_published_processor(number: int, crops: int) -> None:
    facts, image = _FACTS[f"img{number}_nc{crops}"], golden_inputs.image(number)
    grid = crop_grid(*image.size, crops)
    assert _sha256(np.asarray(canvas_of(image, grid))) == facts["canvas_sha256"]
    made = Phi3VImageProcessor(crops)(image)
    assert made["image_sizes"].tolist() == [facts["image_size"]]
    assert made["num_img_tokens"] == [facts["num_img_tokens"]] == [grid.tokens]
    pixels = made["pixel_values"][0]
    assert pixels.shape == (1 + crops, 3, 336, 336)
    assert _sha256(pixels[1 : 1 + grid.rows * grid.columns].numpy()) == facts["sub_crops_sha256"]
    sampled = load_file(_FOLDER / "images.safetensors")[f"img{number}_nc{crops}.global"]
    torch.testing.assert_close(pixels[0][:, _AT][..., _AT], sampled, rtol=0, atol=1e-5)


def test_every_case_is_compared() -> None:
    assert len(golden_inputs.IMAGE_CASES) == len(_FACTS) == 18


def test_the_committed_numbers_stay_small() -> None:
    assert sum(file.stat().st_size for file in _FOLDER.iterdir() if file.is_file()) < 600_000

"""The published model's numbers, in a form that tests can walk through."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import golden_inputs
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from phi3v_data.schema.vision_tokens import CropGrid, crop_grid
from phi3v_data.trainer.phi3v import Phi3VConfig, Phi3VForCausalLM, Phi3VImageProcessor

# No text of the golden cases holds this id.
_UNUSED_ID = 2


@dataclass(frozen=True)
class GoldenCase:
    """One forward pass of the published model.

    Args:
        name: its key.
        facts: loss and gradient norms, where it has them.
        inputs: what the model is called with.
        tensors: everything stored for it.
    """

    name: str
    facts: dict[str, Any]
    inputs: dict[str, Tensor]
    tensors: dict[str, Tensor]


class GoldenNumbers(ABC):
    """The published model's tiny weights, and what it made of each case."""

    weights: dict[str, Tensor]

    def __init__(self) -> None:
        self.made = cache(self._made)

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """One of six images."""

    @abstractmethod
    def case(self, name: str) -> GoldenCase:
        """A case; skips the test where this set does not have it."""

    @abstractmethod
    def settings(self, case: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings of the language model and of the tower."""

    def config(self, case: str = "", **options: Any) -> Phi3VConfig:
        settings, tower = copy.deepcopy(self.settings(case))
        return Phi3VConfig(**settings, vision_config=tower, image_token_id=_UNUSED_ID, **options)

    def model(self, case: str = "", attention: str = "sdpa") -> Phi3VForCausalLM:
        model = Phi3VForCausalLM(self.config(case, attn_implementation=attention))
        model.load_state_dict(self.weights)
        model.eval()
        return model

    def _pixels(self, images: Sequence[Sequence[int]], crops: Sequence[int]) -> Tensor:
        """The images of all rows, filled up with empty crops: [images, 1 + most crops, 3, 336, 336]."""
        most = max(crops)
        made = [
            torch.nn.functional.pad(self.made(index, of_row), (0,) * 7 + (most - of_row,))
            for in_row, of_row in zip(images, crops, strict=True)
            for index in in_row
        ]
        return torch.stack(made)

    def _made(self, index: int, num_crops: int) -> Tensor:
        """The pixels of one image: [1 + num_crops, 3, 336, 336]."""
        pixels: Tensor = Phi3VImageProcessor(num_crops)(self.image(index))["pixel_values"][0]
        return pixels


class CommittedNumbers(GoldenNumbers):
    """The set of tests/golden, whose inputs are formulas."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._facts = json.loads((folder / "model.json").read_text())["cases"]
        self._tensors = load_file(folder / "model.safetensors")
        with torch.device("meta"):
            shapes = Phi3VForCausalLM(self.config()).state_dict()
        self.weights = {
            name: torch.from_numpy(golden_inputs.weight(name, tensor.shape)) for name, tensor in shapes.items()
        }

    def image(self, index: int) -> Image.Image:
        return golden_inputs.image(index)

    def case(self, name: str) -> GoldenCase:
        if name not in self._facts:
            pytest.skip("only in the full set")
        facts = self._facts[name]
        prefix = f"{name}."
        tensors = {key.removeprefix(prefix): value for key, value in self._tensors.items() if key.startswith(prefix)}
        ids = golden_inputs.case_inputs(name, lambda number, crops: self._grid(number, crops).tokens)
        inputs = {key: torch.from_numpy(value) for key, value in ids.items()}
        images, crops = facts["images"], facts["num_crops"]
        if any(images):
            grids = [self._grid(number, of_row) for row, of_row in zip(images, crops, strict=True) for number in row]
            sizes = torch.tensor([grid.canvas_size[::-1] for grid in grids])
            inputs |= {"pixel_values": self._pixels(images, crops), "image_sizes": sizes}
        return GoldenCase(name, facts, inputs, {**tensors, "emb_rows": tensors["rows"]})

    def settings(self, case: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return golden_inputs.config_of(case), golden_inputs.TOWER

    def _grid(self, number: int, crops: int) -> CropGrid:
        return crop_grid(*self.image(number).size, crops)


class FullNumbers(GoldenNumbers):
    """The larger set beside the real data."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._facts = json.loads((folder / "model_goldens.json").read_text())
        self._tensors = load_file(folder / "model_goldens.safetensors")
        self._configs = json.loads((folder / "tiny_config.json").read_text())
        self.weights = load_file(folder / "tiny_model.safetensors")
        self._files = [entry["file"] for entry in json.loads((folder / "images" / "images.json").read_text())]

    def image(self, index: int) -> Image.Image:
        return Image.open(self.folder / "images" / self._files[index])

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]

    def case(self, name: str) -> GoldenCase:
        facts = self._facts["cases"][name]
        prefix = f"{name}."
        tensors = {key.removeprefix(prefix): value for key, value in self._tensors.items() if key.startswith(prefix)}
        inputs: dict[str, Tensor] = {
            key: tensors[key].long()
            for key in ("input_ids", "attention_mask", "position_ids", "labels")
            if key in tensors
        }
        if "image_sizes" in tensors:
            inputs |= {"pixel_values": self._pixels_of(name, facts), "image_sizes": tensors["image_sizes"]}
        return GoldenCase(name, facts, inputs, tensors)

    def settings(self, case: str) -> tuple[dict[str, Any], dict[str, Any]]:
        letter = next((letter for letter in ("B", "N") if f"_{letter}_" in case), "")
        overrides = self._facts[f"config_{letter}_overrides"] if letter else {}
        return {**self._configs["phi3v_config"], **overrides}, self._configs["clip_config"]

    def _pixels_of(self, name: str, facts: dict[str, Any]) -> Tensor:
        if name == "formula_2img":
            return _formula_pixels()
        if name.startswith("batch2_row"):
            row = int(name[len("batch2_row")])
            batch = self._facts["cases"]["batch2_rightpad"]
            return self._pixels([batch["images"][row]], [batch["num_crops"][row]])
        if isinstance(facts["num_crops"], list):
            return self._pixels(facts["images"], facts["num_crops"])
        return self._pixels([facts["images"]], [facts["num_crops"]])


def _formula_pixels() -> Tensor:
    shape = (2, 5, 3, 336, 336)
    index = torch.arange(torch.Size(shape).numel())
    hashed = (index * 2654435761 + 12345) % 65536
    return (hashed.double() / 65536 * 4 - 2).float().view(shape)

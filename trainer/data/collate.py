"""From samples to the tensors of one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..phi3v.padding import attention_mask, pad_rows
from .prompt import IGNORED
from .samples import Sample

__all__ = ["TrainingCollator", "stack_pictures"]


def stack_pictures(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Join the pictures of a batch, in order: pixel_values [pictures, 1 + most crops, 3, H, W] and image_sizes.

    Samples with fewer crops are padded with zeros. Empty where no sample has a picture.
    """
    pixels = [sample.pixel_values for sample in samples if sample.pixel_values is not None]
    sizes = [sample.image_sizes for sample in samples if sample.image_sizes is not None]
    if not pixels:
        return {}
    most = max(each.shape[1] for each in pixels)
    padded = [torch.nn.functional.pad(each, (0,) * 7 + (most - each.shape[1],)) for each in pixels]
    return {"pixel_values": torch.cat(padded), "image_sizes": torch.cat(sizes)}


@dataclass(frozen=True)
class TrainingCollator:
    """Right-padded batches with labels; attention is masked by length, so a trained end of text is attended.

    Args:
        pad_token_id: what fills the ids.
    """

    pad_token_id: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return input_ids, attention_mask, labels [batch, longest], and the pictures as `stack_pictures` has them."""
        rows = [sample.text.input_ids for sample in samples]
        return {
            "input_ids": pad_rows(rows, self.pad_token_id, "right"),
            "attention_mask": attention_mask(rows, "right"),
            "labels": pad_rows([sample.text.labels for sample in samples], IGNORED, "right"),
            **stack_pictures(samples),
        }

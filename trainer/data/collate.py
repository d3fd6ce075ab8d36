"""From samples to the tensors of one forward pass."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .prompt import IGNORED
from .samples import Sample

__all__ = ["PackedCollator", "join_pictures"]


def join_pictures(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Join the pictures of a batch, in order; empty where no sample has one.

    Returns:
        `pixel_values` uint8 [sub-crops of all pictures, 3, side, side] and `image_sizes` [pictures, 2].
    """
    if not any(len(sample.image_sizes) for sample in samples):
        return {}
    return {
        "pixel_values": torch.cat([sample.crops for sample in samples]),
        "image_sizes": torch.cat([sample.image_sizes for sample in samples]),
    }


@dataclass(frozen=True)
class PackedCollator:
    """Samples laid end to end in one row, without padding.

    Args:
        filler: an id for the one masked token of a batch without samples, which other ranks' batches may need.
    """

    filler: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return what the model takes.

        Returns:
            `input_ids` and `labels` [1, tokens]; `cu_seq_lens` int32 [samples + 1], where each sample starts, then the
            number of tokens; the pictures as `join_pictures` has them. Positions follow from `cu_seq_lens`.
        """
        rows = [sample.text.input_ids for sample in samples] or [[self.filler]]
        labels = [sample.text.labels for sample in samples] or [[IGNORED]]
        ends = itertools.accumulate((len(row) for row in rows), initial=0)
        return {
            "input_ids": torch.tensor([list(itertools.chain.from_iterable(rows))]),
            "labels": torch.tensor([list(itertools.chain.from_iterable(labels))]),
            "cu_seq_lens": torch.tensor(list(ends), dtype=torch.int32),
            **join_pictures(samples),
        }

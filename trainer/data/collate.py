"""From samples to the tensors of one forward pass."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...schema.prompt import IGNORED
from ..phi3v.packing import next_labels
from .crops import cut_images
from .samples import Sample

__all__ = ["PackedCollator", "join_images"]


def join_images(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Cut the images of a batch, in order; empty where no sample has one.

    Returns:
        `pixel_values` uint8 [sub-crops of all images, 3, side, side] and `image_sizes` [images, 2].
    """
    images = [image for sample in samples for image in sample.images]
    if not images:
        return {}
    return {
        "pixel_values": cut_images(images),
        "image_sizes": torch.tensor([image.grid.canvas_size[::-1] for image in images]),
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
            number of tokens; `logits_to_keep` [learnt tokens], the positions from which there is something to predict:
            answers are short, and logits for all of a row would take gigabytes; the images as `join_images` has
            them. Positions follow from `cu_seq_lens`.
        """
        rows = [sample.text.input_ids for sample in samples] or [[self.filler]]
        labels = _end_to_end([sample.text.labels for sample in samples] or [[IGNORED]])
        starts = torch.tensor([0, *itertools.accumulate(len(row) for row in rows)], dtype=torch.int32)
        return {
            "input_ids": _end_to_end(rows),
            "labels": labels,
            "cu_seq_lens": starts,
            "logits_to_keep": (next_labels(labels, starts)[0] != IGNORED).nonzero()[:, 0],
            **join_images(samples),
        }


def _end_to_end(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    # Several times quicker than torch's own reading of a list.
    return torch.from_numpy(np.concatenate([np.fromiter(row, np.int64, len(row)) for row in rows]))[None]

"""From samples to the tensors of one forward pass.

All that follows from ids and image sizes is computed here, on the CPU, so that the forward pass need not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...schema.prompt import IGNORED
from ..phi3v.packing import packed_row
from .crops import cut_images
from .samples import Sample


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
        filler: an id for the one unsupervised token of a batch without samples, which other ranks' batches may need.
        image_token_id: the id that stands for an image's tokens.
    """

    filler: int
    image_token_id: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return what the model takes.

        Returns:
            `input_ids` [1, tokens]; `position_ids`, `cu_seq_lens` and `sample_lengths` as `packed_row` has them;
            `target_positions` and `targets` [supervised tokens], from where each of them is predicted, and its id;
            `answer_positions` and `answer_spans`, for which tokens the last layer is run, see `last_layer.Answers`;
            `image_token_indices` [image tokens], where they stand; with images `pixel_values` uint8 [sub-crops of all
            images, 3, side, side], and `image_grids`, how each image is cut. Tensors go to the device; the rest are
            plain numbers that the forward pass needs on the CPU.
        """
        rows = [_as_array(sample.text.input_ids) for sample in samples] or [_as_array([self.filler])]
        ids = np.concatenate(rows)
        following = [_following(sample.text.labels) for sample in samples] or [_as_array([IGNORED])]
        labels = np.concatenate(following)
        supervised = np.flatnonzero(labels != IGNORED)
        spans = [_answer_span(row) for row in following]
        starts = np.cumsum([0, *(len(row) for row in rows[:-1])])
        asked = [np.arange(start + first, start + stop) for start, (first, stop) in zip(starts, spans, strict=True)]
        images = [image for sample in samples for image in sample.images]
        return {
            "input_ids": torch.from_numpy(ids)[None],
            **packed_row([len(row) for row in rows]),
            "target_positions": torch.from_numpy(supervised),
            "targets": torch.from_numpy(labels[supervised]),
            "answer_positions": torch.from_numpy(np.concatenate(asked)),
            "answer_spans": tuple(spans),
            "image_token_indices": torch.from_numpy(np.flatnonzero(ids == self.image_token_id)),
            **({"pixel_values": cut_images(images)} if images else {}),
            **({"image_grids": tuple(image.grid for image in images)} if images else {}),
        }


def _following(labels: Sequence[int]) -> npt.NDArray[np.int64]:
    """What is to be predicted at each token of a sample: the label of the next one."""
    following = np.full(len(labels), IGNORED, np.int64)
    following[:-1] = _as_array(labels)[1:]
    return following


def _answer_span(following: npt.NDArray[np.int64]) -> tuple[int, int]:
    """From the first to behind the last token of a sample that something is predicted from; of none, the last."""
    supervised = np.flatnonzero(following != IGNORED)
    return (int(supervised[0]), int(supervised[-1]) + 1) if len(supervised) else (len(following) - 1, len(following))


def _as_array(row: Sequence[int]) -> npt.NDArray[np.int64]:
    # Several times faster than torch's own reading of a list.
    return np.fromiter(row, np.int64, len(row))

"""What a sample costs to train on, in floating-point operations: from its tokens and crops, before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ...schema.index import RecordCosts
    from ..config import TrainConfig
    from ..phi3v import Phi3VConfig

Number = TypeVar("Number", int, "npt.NDArray[np.int64]")

_FORWARD = 1.0
# Forward, and the gradients of the inputs: weights that are frozen need none of their own.
_FROZEN_WEIGHTS = 2.0
# Forward, and as much again for the gradients of the inputs and for those of the weights.
_TRAINED_WEIGHTS = 3.0


class Passes(NamedTuple):
    """How often a part of the model is gone through in a training step, in forward passes.

    Args:
        tower: the vision tower.
        projector: from the tower's features to the language model's embeddings.
        language: the decoder layers and the head.
    """

    tower: float = _TRAINED_WEIGHTS
    projector: float = _TRAINED_WEIGHTS
    language: float = _TRAINED_WEIGHTS


FULL_PASSES = Passes()


class SampleSize(NamedTuple):
    """What a sample's cost follows from; each a number, or an array with one a sample.

    Args:
        tokens: ids, images included.
        supervised: those with a label.
        crops: what the tower encodes; see `CropGrid.encoded_crops`.
        images: images shown.
    """

    tokens: npt.NDArray[np.int64]
    supervised: npt.NDArray[np.int64]
    crops: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]


class StepSize(NamedTuple):
    """What an optimizer step trains on, over all processes.

    Args:
        images: images shown.
        tokens: ids, images included.
        supervised: those with a label.
        flops: floating-point operations; see `sample_cost`.
    """

    images: int
    tokens: int
    supervised: int
    flops: float

    @classmethod
    def of(cls, samples: SampleSize, model: Phi3VConfig, passes: Passes) -> StepSize:
        """Add up the samples of a step."""
        costs = sample_cost(samples.tokens, samples.supervised, samples.crops, model, passes)
        images, tokens, supervised = (
            int(column.sum()) for column in (samples.images, samples.tokens, samples.supervised)
        )
        return cls(images, tokens, supervised, float(costs.sum()))


def sample_sizes(costs: RecordCosts) -> SampleSize:
    """Return the sizes of all records of an index."""
    return SampleSize(costs.tokens, costs.supervised, costs.crops, costs.images)


def strategy_passes(config: TrainConfig) -> Passes:
    """Return how often each part is gone through with the configured strategy."""
    if config.strategy == "full":
        return Passes()
    if config.strategy == "frozen-vision":
        projector = _TRAINED_WEIGHTS if config.train_projector else _FORWARD
        return Passes(_FORWARD, projector, _TRAINED_WEIGHTS)
    vision = _FROZEN_WEIGHTS if config.lora.vision else _FORWARD
    return Passes(vision, vision, _FROZEN_WEIGHTS)


def sample_cost(
    tokens: Number, supervised: Number, crops: Number, config: Phi3VConfig, passes: Passes = FULL_PASSES
) -> Number:
    """Return the floating-point operations of training on one sample; what is recomputed is not counted.

    A matrix of n weights takes 2n a position; attention takes 4 x width a layer and pair of positions, of which the
    language model, being causal, needs half. The head, and all of the last layer but its keys and values, is run at
    supervised positions only, and the tower's last layer not at all. Phi-3.5-vision, trained in full at 2443 tokens and
    17 crops, comes to 74 TFLOP, a quarter of it in the tower.

    Args:
        tokens: the sample's ids, images included; one number or an array, as the others.
        supervised: tokens with a label.
        crops: what the tower encodes; see `CropGrid.encoded_crops`.
        config: the model's, for its shapes.
        passes: how often the strategy goes through each part.
    """
    text, tower, geometry = config, config.tower_config, config.crop_geometry
    heads = text.num_attention_heads
    head = text.hidden_size // heads
    keys = (text.num_key_value_heads or heads) * head
    # All but the first of a layer's matrices, and all attention from a token, are left out of the last layer where
    # nothing is predicted.
    attended = heads * head
    first = text.hidden_size * (attended + 2 * keys)
    rest = text.hidden_size * attended + 3 * text.hidden_size * text.intermediate_size
    whole = text.num_hidden_layers - 1
    language = 2 * tokens * (whole * (first + rest + attended * tokens) + first)
    language = language + 2 * supervised * (rest + attended * (2 * tokens - supervised))
    language = language + 2 * text.hidden_size * text.vocab_size * supervised

    positions = (2 * geometry.tokens_per_side) ** 2 + 1
    width, tower_layers = tower.hidden_size, tower.num_hidden_layers - 1
    tower_weights = tower_layers * (4 * width**2 + 2 * width * tower.intermediate_size)
    a_crop = 2 * positions * tower_weights + 4 * tower_layers * width * positions**2
    projection = 2 * geometry.tokens_per_side**2 * (4 * width + text.hidden_size) * text.hidden_size
    vision = passes.tower * a_crop + passes.projector * projection
    cost: Number = passes.language * language + vision * crops  # type: ignore[assignment]  # floats of whole numbers
    return cost

"""How many parameters the model has, and how many of them a strategy trains: from the configuration's shapes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .config import TrainConfig

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

__all__ = ["Counts", "count_parameters"]


class Counts(NamedTuple):
    """Numbers of parameters.

    Args:
        trained: of them, adapters included.
        frozen: not trained, in the dtype of computation.
        quantised: not trained, in 4 bits.
        embedding: of the word embedding.
        head: of the head.
        projector: of projector and separators.
        decoder_layer: of one layer of the language model.
        tower_layer: of one layer of the vision tower.
    """

    trained: int
    frozen: int
    quantised: int
    embedding: int
    head: int
    projector: int
    decoder_layer: int
    tower_layer: int

    @property
    def trained_share(self) -> float:
        """The share of the parameters that is trained."""
        return self.trained / (self.trained + self.frozen + self.quantised)


def count_parameters(config: TrainConfig, model: Phi3VConfig) -> Counts:
    """Count the parameters of a model under a strategy.

    Args:
        config: strategy and adapters.
        model: the model's shapes.
    """
    width, inner = model.hidden_size, model.intermediate_size
    heads = model.num_attention_heads
    keys = width // heads * (model.num_key_value_heads or heads)
    decoder = [(width, width + 2 * keys), (width, width), (width, 2 * inner), (inner, width)]
    decoder_layer = _matrices(decoder) + 2 * width
    embedding = head = model.vocab_size * width

    tower = model.tower_config
    # transformers allows for sides that differ; CLIP's do not.
    patch, channels, size = (int(n) for n in (tower.patch_size, tower.num_channels, tower.image_size))  # type: ignore[arg-type]
    side = size // patch
    attention, mlp = (tower.hidden_size,) * 2, (tower.hidden_size, tower.intermediate_size)
    in_tower = [attention] * 4 + [mlp, mlp[::-1]]
    tower_layer = _matrices(in_tower) + sum(out for _, out in in_tower) + 4 * tower.hidden_size
    patches = channels * patch**2 * tower.hidden_size
    # The class, the positions, and two norms.
    tower_rest = patches + tower.hidden_size * (1 + side**2 + 1 + 4)
    merged = 4 * tower.hidden_size
    projection = [(merged, width), (width, width)]
    projector = _matrices(projection) + 2 * width + 2 * merged

    layers, tower_layers = model.num_hidden_layers, tower.num_hidden_layers
    language = embedding + head + layers * decoder_layer + width
    vision = tower_layers * tower_layer + tower_rest + projector
    # The tower's last layer and its last norm never reach the output.
    unused = tower_layer + 2 * tower.hidden_size
    if config.strategy in ("lora", "qlora"):
        targets = decoder * layers + [(width, model.vocab_size)]
        if config.lora.vision:
            targets += in_tower * (tower_layers - 1) + projection
        magnitudes = sum(out for _, out in targets) if config.lora.dora else 0
        trained = config.lora.rank * sum(map(sum, targets)) + magnitudes
        quantised = 0
        if config.strategy == "qlora":
            # All matrices but the head and the embedding.
            quantised = layers * _matrices(decoder) + tower_layers * _matrices(in_tower) + _matrices(projection)
        frozen = language + vision - quantised
    else:
        trained = language + (vision - unused if config.strategy == "full" else 0)
        if config.strategy == "frozen-vision" and config.train_projector:
            trained += projector
        quantised, frozen = 0, language + vision - trained
    return Counts(trained, frozen, quantised, embedding, head, projector, decoder_layer, tower_layer)


def _matrices(shapes: list[tuple[int, int]]) -> int:
    return sum(rows * columns for rows, columns in shapes)

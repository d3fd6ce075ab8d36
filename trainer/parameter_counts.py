"""How many parameters the model has, and how many of them a strategy trains: from the configuration's shapes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .config import LoraSettings, TrainConfig

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig


_SMALL = 100_000


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
        small_trained: of the trained ones, in tensors of at most 100,000 values, which ZeRO-3 leaves whole.
        small_frozen: of the frozen ones, likewise.
        small_quantised: of the quantised ones, likewise; two of them are one value, a byte.
    """

    trained: int
    frozen: int
    quantised: int
    embedding: int
    head: int
    projector: int
    decoder_layer: int
    tower_layer: int
    small_trained: int
    small_frozen: int
    small_quantised: int

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
    shapes = _Shapes(model)
    quantised: list[int] = []
    if config.strategy in ("lora", "qlora"):
        trained = shapes.adapters(config.lora)
        frozen = shapes.language + shapes.projector + shapes.tower + shapes.unused
        if config.strategy == "qlora":
            quantised = shapes.quantised
            for size in quantised:
                frozen.remove(size)
    else:
        trained = list(shapes.language)
        if config.strategy == "full":
            trained += shapes.projector + shapes.tower
        elif config.train_projector:
            trained += shapes.projector
        frozen = [] if config.strategy == "full" else list(shapes.tower)
        frozen += shapes.unused + ([] if config.strategy == "full" or config.train_projector else shapes.projector)
    return Counts(
        trained=sum(trained),
        frozen=sum(frozen),
        quantised=sum(quantised),
        embedding=shapes.embedding,
        head=shapes.embedding,
        projector=sum(shapes.projector),
        decoder_layer=sum(shapes.decoder_layer),
        tower_layer=sum(shapes.tower_layer),
        small_trained=_in_small(trained),
        small_frozen=_in_small(frozen),
        small_quantised=_in_small(quantised, packed=2),
    )


def _in_small(sizes: list[int], packed: int = 1) -> int:
    return sum(size for size in sizes if size // packed <= _SMALL)


class _Shapes:
    """The sizes of all tensors of a model, by part; matrices as (inputs, outputs)."""

    def __init__(self, model: Phi3VConfig) -> None:
        width, inner = model.hidden_size, model.intermediate_size
        heads = model.num_attention_heads
        keys = width // heads * (model.num_key_value_heads or heads)
        self._layers, self._width, self._vocabulary = model.num_hidden_layers, width, model.vocab_size
        self._decoder = [(width, width + 2 * keys), (width, width), (width, 2 * inner), (inner, width)]
        self.decoder_layer = [*_products(self._decoder), width, width]
        self.embedding = model.vocab_size * width
        # The word embedding, the layers, the last norm, the head.
        self.language = [self.embedding, *self.decoder_layer * self._layers, width, self.embedding]

        tower = model.tower_config
        hidden = tower.hidden_size
        # transformers allows for sides that differ; CLIP's do not.
        patch, channels, size = (int(n) for n in (tower.patch_size, tower.num_channels, tower.image_size))  # type: ignore[arg-type]
        mlp = (hidden, tower.intermediate_size)
        self._in_tower = [(hidden, hidden)] * 4 + [mlp, mlp[::-1]]
        norm = [hidden, hidden]
        self.tower_layer = [*_products(self._in_tower), *(out for _, out in self._in_tower), *norm, *norm]
        self._tower_layers = tower.num_hidden_layers
        # The class, the patches, the positions, and the first norm; the last layer and the last norm are not used.
        self.tower = [hidden, channels * patch**2 * hidden, ((size // patch) ** 2 + 1) * hidden, *norm]
        self.tower += self.tower_layer * (self._tower_layers - 1)
        self.unused = [*self.tower_layer, *norm]

        merged = 4 * hidden
        self._projection = [(merged, width), (width, width)]
        self.projector = [*_products(self._projection), width, width, merged, merged]

    @property
    def quantised(self) -> list[int]:
        """All matrices but the head and the embedding."""
        decoder, tower = _products(self._decoder), _products(self._in_tower)
        return decoder * self._layers + tower * self._tower_layers + _products(self._projection)

    def adapters(self, settings: LoraSettings) -> list[int]:
        """Two matrices beside each that is adapted, and with DoRA its magnitudes."""
        targets = self._decoder * self._layers + [(self._width, self._vocabulary)]
        if settings.vision:
            targets += self._in_tower * (self._tower_layers - 1) + self._projection
        magnitudes = [out for _, out in targets] if settings.dora else []
        return [settings.rank * side for sides in targets for side in sides] + magnitudes


def _products(matrices: list[tuple[int, int]]) -> list[int]:
    return [inputs * outputs for inputs, outputs in matrices]

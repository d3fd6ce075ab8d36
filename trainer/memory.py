"""What a run holds in the memory of one GPU, worked out from shapes before anything is loaded.

States follow from counts of parameters: what is trained, as it is stored, its gradients, Adam's two moments, in shards
where the backend has shards. Activations follow from what the layers keep for the backward pass; the coefficients are
those of this model's own layers, and `tests/trainer/test_memory.py` holds them against the real model, run at its real
size on tensors without data.

Not in it: the fragments of the allocator and what kernels use for themselves; `OVERHEAD` stands for them, with CUDA's
own context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .backends.base import LARGEST_BUCKET
from .config import Strategy, TrainConfig
from .parameter_counts import Counts, count_parameters

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

OVERHEAD = 1.5e9
"""Bytes of CUDA's context, NCCL's buffers and libraries' workspaces: about 0.5 GB each on an A100."""

_MOMENTS = 2
# nf4: half a byte a weight, and a float32 scale for each block of 64 (Dettmers et al., "QLoRA", 2023); quantised twice,
# a scale takes a byte, and each 256 of them a float32.
_NF4 = 0.5 + 4 / 64
_NF4_TWICE = 0.5 + 1 / 64 + 4 / (64 * 256)
# What a layer keeps for its backward pass beside its input, in bytes a token: by the width (norms, projections, rotated
# queries and keys, attention's output) and by the inner width; in half precision.
_DECODER, _TOWER = (28.0, 8.0), (20.0, 6.0)
# A norm of a float32 residual stream keeps so many bytes more, a token and value of its width.
_NORM = 4.0
# What the backward pass of a layer needs beside what was kept, in bytes a token and value of its width: of a layer with
# adapters, and of one without.
_BACKWARD_ADAPTED, _BACKWARD_PLAIN = 32.0, 22.0
# What the forward pass of a tower layer needs where nothing is kept.
_FORWARD = 33.0
# Scores of eager attention, in bytes a head and pair of positions: raw, their softmax in float32, its cast, a gradient.
_SCORES = 2.0 + 4.0 + 2.0 + 4.0


class Implementation(msgspec.Struct, frozen=True, kw_only=True):
    """How forward and backward passes are written.

    Args:
        eager: attention keeps its scores.
        recomputed_tower: gradient checkpointing takes in the tower, too.
        every_logit: the head runs at every token, not only at supervised ones.
    """

    eager: bool = False
    recomputed_tower: bool = True
    every_logit: bool = False


class MicroBatch(msgspec.Struct, frozen=True):
    """What a forward pass takes.

    Args:
        tokens: of all its samples, images included.
        crops: that the tower sees.
        supervised: tokens with a label.
    """

    tokens: int
    crops: int
    supervised: int


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on each GPU.

    Args:
        strategy: which parameters are trained.
        backend: what the GPUs share.
        gpus: how many.
        weights: of the model, as they are stored between steps.
        gradients: of the trained parameters.
        optimizer: Adam's two moments of each, and with DeepSpeed a float32 copy of the weights.
        communication: what is gathered and reduced at a time.
        kept_buckets: of it, what is not released between passes: the buckets of ZeRO-3.
        activations: the most that forward and backward passes hold.
        overhead: see `OVERHEAD`.
    """

    strategy: Strategy
    backend: str
    gpus: int
    weights: float
    gradients: float
    optimizer: float
    communication: float
    activations: float
    kept_buckets: float = 0.0
    overhead: float = OVERHEAD

    @property
    def held(self) -> float:
        """What is there between a backward pass and the update that follows it."""
        return self.weights + self.gradients + self.optimizer + self.kept_buckets

    @property
    def total(self) -> float:
        """All of it."""
        parts = (self.weights, self.gradients, self.optimizer, self.communication, self.activations, self.overhead)
        return sum(parts)


def estimate_memory(
    config: TrainConfig,
    model: Phi3VConfig,
    backend: str,
    gpus: int,
    micro_batch: MicroBatch,
    implementation: Implementation | None = None,
) -> MemoryEstimate:
    """Work out what each GPU holds.

    Args:
        config: strategy, precision, adapters, gradient checkpointing.
        model: the model's shapes.
        backend: `single`, `ddp`, `fsdp2`, `zero2` or `zero3`.
        gpus: that share the run.
        micro_batch: what a forward pass takes.
        implementation: of the model; ours where None.
    """
    counts = count_parameters(config, model)
    trained_size, compute_size = _sizes(config)
    implementation = implementation or Implementation(eager=config.model.attention == "eager")
    if backend == "zero2" and trained_size == 2:
        return _zero2_in_bf16(config, model, counts, gpus, micro_batch, implementation)
    share_weights = gpus if backend in ("fsdp2", "zero3") else 1
    share_states = gpus if backend in ("fsdp2", "zero2", "zero3") else 1
    trained = counts.trained * trained_size
    # DeepSpeed updates a copy of the weights; without it, pure bf16 keeps what rounding took from them.
    states = _MOMENTS + (1 if backend in ("zero2", "zero3") or config.model.precision == "bf16-pure" else 0)
    # FSDP2 leaves 4-bit weights whole in each process: they know their own form alone.
    frozen = counts.frozen * compute_size / share_weights + counts.quantised * _four_bit(config)
    if backend == "zero3":
        # Small tensors are not gathered for each layer, but stay. Of 4-bit weights all but the scales is in shards.
        frozen += counts.small_trained * trained_size + counts.small_frozen * compute_size
        frozen += counts.quantised * (1 / gpus - 1) / 2 + counts.small_quantised / 2
    buckets = _buckets(config, counts, backend)
    return MemoryEstimate(
        strategy=config.strategy,
        backend=backend,
        gpus=gpus,
        weights=trained / share_weights + frozen,
        gradients=trained / share_states,
        optimizer=states * trained / share_states,
        communication=_gathered(counts, backend, compute_size, trained_size) + buckets,
        kept_buckets=buckets if backend == "zero3" else 0.0,
        activations=activation_bytes(config, model, counts, micro_batch, implementation),
    )


def _zero2_in_bf16(
    config: TrainConfig,
    model: Phi3VConfig,
    counts: Counts,
    gpus: int,
    micro_batch: MicroBatch,
    implementation: Implementation,
) -> MemoryEstimate:
    """Return what DeepSpeed's own mixed precision holds.

    The model is in bf16; in shards are its gradients in bf16 and, at the step, in float32; a float32 copy of the
    weights with two moments; and what the step makes of them: an update in float32, and bf16 weights to be gathered.
    Buckets of 5e8 values are reduced two at a time, and gathered.
    """
    states = (4 + 4 * _MOMENTS) + (4 + 2)
    return MemoryEstimate(
        strategy=config.strategy,
        backend="zero2",
        gpus=gpus,
        weights=2.0 * (counts.trained + counts.frozen),
        gradients=(2 + 4) * counts.trained / gpus,
        optimizer=states * counts.trained / gpus,
        communication=3 * 2 * LARGEST_BUCKET,
        activations=activation_bytes(config, model, counts, micro_batch, implementation),
    )


def activation_bytes(
    config: TrainConfig,
    model: Phi3VConfig,
    counts: Counts,
    micro_batch: MicroBatch,
    implementation: Implementation,
) -> float:
    """Return the most that forward and backward passes hold beside weights, gradients and optimizer states.

    A layer that is recomputed keeps its input, and the rest while its own backward pass runs. Where a weight is trained
    in float32 and computed in half precision, its cast is kept like an activation. The backward pass is at its largest
    in the head (whose gradient is that of the largest matrix), in the last layer of the language model, or, where that
    has let go of everything, in the last layer of the tower.
    """
    from .phi3v.loss import CHUNK

    trained_size, compute_size = _sizes(config)
    adapters = config.strategy in ("lora", "qlora")
    stream = compute_size if adapters else trained_size
    cast = 0 if adapters or trained_size == compute_size else compute_size
    # A gradient comes in the dtype of computation, and is cast to that of its weight.
    gradient = 0 if adapters else compute_size + (trained_size if cast else 0)
    tower, side = model.tower_config, model.crop_geometry.tokens_per_side
    patches = micro_batch.crops * ((2 * side) ** 2 + 1)
    norm = _NORM if stream > compute_size else 0.0

    def layer(tokens: int, width: int, inner: int, per: tuple[float, float], weights: int) -> float:
        return tokens * ((per[0] + norm) * width + per[1] * inner) * compute_size / 2 + weights * cast

    decoder_input = micro_batch.tokens * model.hidden_size * stream
    decoder = layer(micro_batch.tokens, model.hidden_size, model.intermediate_size, _DECODER, counts.decoder_layer)
    every = config.model.gradient_checkpointing
    if implementation.eager:
        decoder += model.num_attention_heads * micro_batch.tokens**2 * _SCORES * compute_size / 2
    kept, working = _kept(every, model.num_hidden_layers, decoder_input, decoder)
    per_value = (_BACKWARD_ADAPTED if adapters else _BACKWARD_PLAIN) * compute_size / 2
    backward = micro_batch.tokens * model.hidden_size * per_value
    if gradient:
        backward = float(model.hidden_size * model.intermediate_size * gradient)
    in_tower = patches * tower.hidden_size * _FORWARD * compute_size / 2
    if config.strategy == "full" or (adapters and config.lora.vision):
        tower_input = patches * tower.hidden_size * stream
        tower_layer = layer(patches, tower.hidden_size, tower.intermediate_size, _TOWER, counts.tower_layer)
        if implementation.eager:
            tower_layer += tower.num_attention_heads * patches * ((2 * side) ** 2 + 1) * compute_size
        every = every if implementation.recomputed_tower else 0
        kept_tower, working_tower = _kept(every, tower.num_hidden_layers - 1, tower_input, tower_layer)
        in_tower = kept_tower + working_tower + patches * tower.hidden_size * per_value
        kept += kept_tower + _projector_bytes(model, micro_batch, compute_size) + counts.projector * cast
    predicted = micro_batch.tokens if implementation.every_logit else min(micro_batch.supervised, CHUNK)
    logits = predicted * model.vocab_size * (compute_size + 2 * 4)
    head = kept + decoder_input + logits + counts.head * gradient
    return max(head, kept + working + backward, in_tower)


def _kept(every: int, layers: int, input_bytes: float, layer_bytes: float) -> tuple[float, float]:
    """Return what a stack of layers keeps, and what one of them needs beside it while it is recomputed."""
    recomputed = -(-layers // every) if every else 0
    return layers * input_bytes + (layers - recomputed) * layer_bytes, layer_bytes if recomputed else 0.0


def _projector_bytes(model: Phi3VConfig, micro_batch: MicroBatch, compute_size: int) -> float:
    tokens = micro_batch.crops * model.crop_geometry.tokens_per_side**2
    return tokens * (4 * model.tower_config.hidden_size + 4 * model.hidden_size) * compute_size


def _gathered(counts: Counts, backend: str, compute_size: int, trained_size: int) -> float:
    """Return what is gathered at a time.

    FSDP2 and ZeRO-3 hold two layers, gathered in the dtype of computation, and FSDP2 the gradient of one on its way;
    all that is in no layer (embedding, head, projector) is one unit.
    """
    if backend not in ("fsdp2", "zero3"):
        return 0.0
    outside = counts.embedding + counts.head + counts.projector
    gathered = float((2 * counts.decoder_layer + outside) * compute_size)
    if backend == "zero3":
        return gathered
    return gathered + max(counts.decoder_layer, outside) * counts.trained_share * trained_size


def _buckets(config: TrainConfig, counts: Counts, backend: str) -> float:
    """Return the buckets that DeepSpeed reduces gradients in, one for each dtype that they are sent in.

    Under autocast the weights of linear layers, and so all adapters, are sent in half precision, the others as they
    are. Stage 2 keeps both in the dtype of the gradients.
    """
    if backend not in ("zero2", "zero3"):
        return 0.0
    trained_size, compute_size = _sizes(config)
    sent = {compute_size} if config.strategy in ("lora", "qlora") else {compute_size, trained_size}
    value = sum(trained_size if backend == "zero2" else size for size in sent)
    return float(min(LARGEST_BUCKET, counts.trained) * value)


def _sizes(config: TrainConfig) -> tuple[int, int]:
    """Return the bytes of a trained value, and of one that is frozen or computed."""
    sizes = {"bf16": (4, 2), "fp16": (4, 2), "fp32": (4, 4), "bf16-pure": (2, 2)}
    return sizes[config.model.precision]


def _four_bit(config: TrainConfig) -> float:
    return _NF4_TWICE if config.lora.double_quantisation else _NF4

"""What a GPU holds: against the real model on tensors without data, and against the published figures."""

from __future__ import annotations

from typing import Any

import pytest
from fake_memory import measure_step

from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.config import TrainConfig, make_config
from phi3v_data.trainer.memory import Implementation, MicroBatch, activation_bytes, estimate_memory
from phi3v_data.trainer.parameter_counts import count_parameters
from phi3v_data.trainer.phi3v import Phi3VConfig, Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model
from phi3v_data.trainer.strategies import apply_strategy

GB = 1e9


def published_shapes(**changes: Any) -> Phi3VConfig:
    """Phi-3.5-vision's own shapes, which are the defaults of its configuration."""
    return Phi3VConfig(**changes)


def small_shapes() -> Phi3VConfig:
    """A quarter of the published width, two layers of each kind that is used: enough to tell the terms apart."""
    config = published_shapes(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8
    )
    config.tower_config.num_hidden_layers = 3
    return config


def settings(strategy: str, **more: Any) -> TrainConfig:
    return make_config({"strategy": strategy, **more})


def test_the_published_model_has_the_published_number_of_parameters() -> None:
    counts = count_parameters(settings("full"), published_shapes())
    # PHI-3.5-vision's checkpoint has 8,293,242,880 bytes in bf16.
    assert 2 * (counts.trained + counts.frozen) == 8_293_242_880


@pytest.mark.parametrize("strategy", ["full", "frozen-vision", "lora"])
@pytest.mark.parametrize("more", [{}, {"train_projector": True}, {"lora.vision": False}, {"lora.rank": 4}])
def test_counts_are_those_of_the_model(strategy: str, more: dict[str, Any]) -> None:
    config = settings(strategy, **{"lora.rank": 8, **more})
    model: Phi3VForCausalLM = tiny_model()
    counts = count_parameters(config, model.config)
    apply_strategy(model, config)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    assert (counts.trained, counts.frozen) == (trained, frozen)


@pytest.mark.slow
@pytest.mark.parametrize("every", [0, 1])
@pytest.mark.parametrize("strategy", ["full", "frozen-vision", "lora"])
def test_activations_are_within_a_tenth_of_what_the_model_holds(strategy: str, every: int) -> None:
    config, shapes = settings(strategy, **{"model.gradient_checkpointing": every}), small_shapes()
    grid = crop_grid(1700, 2200, 16, shapes.crop_geometry)
    measured = measure_step(config, shapes, [grid], text_tokens=300, supervised=20)
    micro_batch = MicroBatch(grid.tokens + 300, grid.rows * grid.columns + 1, 20)
    counts = count_parameters(config, shapes)
    expected = activation_bytes(config, shapes, counts, micro_batch, Implementation())
    assert expected == pytest.approx(measured.activations, rel=0.1)
    estimate = estimate_memory(config, shapes, "single", 1, micro_batch)
    assert (estimate.weights, estimate.gradients) == (measured.weights, measured.gradients)


# The recipe's throughput table: DocVQA's pages of 2443 tokens on average, 17 crops each, one to a micro-batch, logits
# at every token; 8 x A100-80GB unless said otherwise. Whole gigabytes of a GPU, as published.
PAGE = MicroBatch(2443, 17, 20)
PUBLISHED = {
    "full, eager": ("full", "bf16-pure", "zero2", 8, True, False, 42),
    "full, flash": ("full", "bf16-pure", "zero2", 8, False, False, 36),
    "full, flash, 16 GPUs": ("full", "bf16-pure", "zero2", 16, False, False, 29),
    "full, flash, 32 GPUs": ("full", "bf16-pure", "zero2", 32, False, False, 26),
    "frozen, eager": ("frozen-vision", "bf16-pure", "zero2", 8, True, False, 29),
    "frozen, flash": ("frozen-vision", "bf16-pure", "zero2", 8, False, False, 27),
    "frozen, V100": ("frozen-vision", "bf16-pure", "zero2", 8, True, False, 27),
    "lora, eager": ("lora", "fp32", "ddp", 8, True, False, 50),
    "lora, V100": ("lora", "fp32", "ddp", 8, True, True, 30),
    "lora, flash": ("lora", "bf16", "ddp", 8, False, True, 16),
    "qlora, flash": ("qlora", "bf16", "ddp", 8, False, True, 10),
}
# With adapters, the published script is the same on A100 and V100, and its 50 GB do not fit into 32: the tower is
# recomputed in one of them and not in the other, and with flash attention it must be.
#
# Left out: full on V100 (32 GB on 8, 16 and 32 GPUs: all of the card, which is what the allocator had and not a need);
# and qlora, eager (32: 4-bit layers compute in fp16 inside a float32 model; the activations are of neither precision).


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_peaks_are_met_within_a_fifth(row: str) -> None:
    strategy, precision, backend, gpus, eager, recomputed, published = PUBLISHED[row]
    config = settings(strategy, **{"model.precision": precision, "lora.rank": 64})
    recipe = Implementation(eager=eager, recomputed_tower=recomputed, every_logit=True)
    estimate = estimate_memory(config, published_shapes(), backend, gpus, PAGE, recipe)
    assert estimate.total / GB == pytest.approx(published, rel=0.2)


def test_shards_shrink_with_the_number_of_gpus_and_replicas_do_not() -> None:
    one, eight = (estimate_memory(settings("full"), published_shapes(), "fsdp2", gpus, PAGE) for gpus in (1, 8))
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(eight, part) == pytest.approx(getattr(one, part) / 8)
    replicas = [estimate_memory(settings("lora"), published_shapes(), "ddp", gpus, PAGE).total for gpus in (1, 8)]
    assert replicas[0] == replicas[1]


@pytest.mark.parametrize("double", [False, True])
def test_four_bit_weights_take_little_more_than_half_a_byte(double: bool) -> None:
    lora, qlora = (
        estimate_memory(
            settings(strategy, **{"lora.double_quantisation": double}), published_shapes(), "single", 1, PAGE
        ).weights
        for strategy in ("lora", "qlora")
    )
    quantised = count_parameters(settings("qlora"), published_shapes()).quantised
    assert lora - qlora == pytest.approx(quantised * (2 - (0.516 if double else 0.5625)), rel=1e-3)

from __future__ import annotations

from collections.abc import Callable

import pytest

from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model
from phi3v_data.trainer.strategy import apply_strategy, lora_targets

TOWER = "model.vision_embed_tokens.img_processor.vision_model.encoder.layers"


@pytest.fixture
def model() -> Phi3VForCausalLM:
    return tiny_model()


def test_adapters_go_on_the_recipes_layers_and_on_none_that_the_output_never_sees(model: Phi3VForCausalLM) -> None:
    found = lora_targets(model, vision=True)
    decoder = [f"model.layers.{n}.{part}" for n in range(2) for part in ("self_attn.qkv_proj", "self_attn.o_proj")]
    decoder += [f"model.layers.{n}.mlp.{part}" for n in range(2) for part in ("gate_up_proj", "down_proj")]
    tower = [
        f"{TOWER}.{n}.{part}"
        for n in range(2)  # of three layers, the last is not run
        for part in (*(f"self_attn.{p}" for p in ("q_proj", "k_proj", "v_proj", "out_proj")), "mlp.fc1", "mlp.fc2")
    ]
    projector = ["model.vision_embed_tokens.img_projection.0", "model.vision_embed_tokens.img_projection.2"]
    assert sorted(found) == sorted([*decoder, *tower, *projector, "lm_head"])


def test_without_vision_no_adapter_goes_on_tower_or_projector(model: Phi3VForCausalLM) -> None:
    found = lora_targets(model, vision=False)
    assert found
    assert not [name for name in found if "vision" in name]


def test_lora_trains_its_adapters_and_nothing_else(
    model: Phi3VForCausalLM, tiny_run: Callable[..., TrainConfig]
) -> None:
    adapted = apply_strategy(model, tiny_run({"strategy": "lora", "lora.rank": 4}))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_alpha_is_twice_the_rank_unless_given(model: Phi3VForCausalLM, tiny_run: Callable[..., TrainConfig]) -> None:
    adapted = apply_strategy(model, tiny_run({"strategy": "lora", "lora.rank": 4}))
    assert adapted.peft_config["default"].lora_alpha == 8
    other = apply_strategy(tiny_model(), tiny_run({"strategy": "lora", "lora.rank": 32, "lora.alpha": 16}))
    assert other.peft_config["default"].lora_alpha == 16


def test_full_trains_everything_that_reaches_the_output(
    model: Phi3VForCausalLM, tiny_run: Callable[..., TrainConfig]
) -> None:
    apply_strategy(model, tiny_run())
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all(f"{TOWER}.2." in name or "post_layernorm" in name for name in frozen)

"""Which parameters each strategy trains, in which dtypes and at which learning rates."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest import mock

import pytest
import torch
from adapters import adapter_settings
from torch import Tensor, nn

from phi3v_data.schema.errors import MissingDependencyError, UsageError
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.model_folder import load_trainable
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.loss import fused_loss, summed_loss
from phi3v_data.trainer.phi3v.tiny import tiny_model
from phi3v_data.trainer.strategies import adapter_targets, parameter_groups, part_of

Run = Callable[..., TrainConfig]

TOWER = "model.vision_embed_tokens.img_processor.vision_model.encoder.layers"
UNUSED = (f"{TOWER}.2.", "model.vision_embed_tokens.img_processor.vision_model.post_layernorm.")


def _named(model: nn.Module, *, trained: bool) -> dict[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad == trained}


def _parts(model: nn.Module, *, trained: bool) -> set[str]:
    return {part_of(name) for name in _named(model, trained=trained)}


def test_adapters_go_on_the_recipes_layers_and_on_none_that_the_output_never_sees() -> None:
    found = adapter_targets(tiny_model(), vision=True)
    decoder = [f"model.layers.{n}.{part}" for n in range(2) for part in ("self_attn.qkv_proj", "self_attn.o_proj")]
    decoder += [f"model.layers.{n}.mlp.{part}" for n in range(2) for part in ("gate_up_proj", "down_proj")]
    tower = [
        f"{TOWER}.{n}.{part}"
        for n in range(2)  # of three layers, the last is not run
        for part in (*(f"self_attn.{p}" for p in ("q_proj", "k_proj", "v_proj", "out_proj")), "mlp.fc1", "mlp.fc2")
    ]
    projector = ["model.vision_embed_tokens.img_projection.0", "model.vision_embed_tokens.img_projection.2"]
    assert sorted(found) == sorted([*decoder, *tower, *projector, "lm_head"])


def test_without_vision_no_adapter_goes_on_tower_or_projector() -> None:
    found = adapter_targets(tiny_model(), vision=False)
    assert found
    assert not [name for name in found if "vision" in name]


def test_adapters_are_placed_by_what_a_layer_is_whether_or_not_it_asks_for_a_gradient() -> None:
    model = tiny_model()
    expected = adapter_targets(model, vision=True).keys()
    model.requires_grad_(False)
    assert adapter_targets(model, vision=True).keys() == expected


@pytest.mark.parametrize("strategy", ["lora", "qlora"])
def test_adapters_alone_are_trained_on_tower_projector_and_language_model(tiny_run: Run, strategy: str) -> None:
    model = load_trainable(tiny_run({"strategy": strategy, "lora.rank": 4, "model.precision": "bf16"}))
    trained = _named(model, trained=True)
    assert all("lora_" in name for name in trained)
    assert {value.dtype for value in trained.values()} == {torch.float32}
    with_adapters = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in trained}
    assert with_adapters == adapter_targets(tiny_model(), vision=True).keys()
    assert torch.float32 not in {value.dtype for value in _named(model, trained=False).values()}


def test_qlora_keeps_decoder_tower_and_projector_in_4_bits_and_head_and_norms_out(tiny_run: Run) -> None:
    model = load_trainable(tiny_run({"strategy": "qlora", "lora.rank": 4, "model.precision": "bf16"}))
    in_4_bits = {name for name, value in model.named_parameters() if value.dtype == torch.uint8}
    assert {part_of(name) for name in in_4_bits} == {"tower", "projector", "language model"}
    kept = [name for name, _ in model.named_parameters() if name not in in_4_bits and "lora_" not in name]
    assert [name for name in kept if "lm_head" in name]
    assert [name for name in kept if "norm" in name]


@pytest.mark.parametrize("double", [False, True])
def test_qlora_quantises_its_scales_where_asked_to(tiny_run: Run, double: bool) -> None:
    model = load_trainable(tiny_run({"strategy": "qlora", "lora.double_quantisation": double}))
    states = [getattr(value, "quant_state", None) for value in model.parameters()]
    assert {(state.quant_type, state.nested) for state in states if state} == {("nf4", double)}


def test_a_qlora_model_is_trained_on_after_it_was_evaluated(tiny_run: Run) -> None:
    model = load_trainable(tiny_run({"strategy": "qlora", "lora.rank": 4}))
    in_4_bits = {name: value.clone() for name, value in model.named_parameters() if value.dtype == torch.uint8}
    ids = torch.arange(3, 40)[None]
    model.eval()
    with torch.no_grad():
        evaluated = model(input_ids=ids, labels=ids).loss
    model.train()
    trained = model(input_ids=ids, labels=ids).loss
    trained.backward()
    torch.testing.assert_close(trained, evaluated)
    assert all(value.grad is not None for value in _named(model, trained=True).values())
    assert all(torch.equal(value, in_4_bits[name]) for name, value in model.named_parameters() if name in in_4_bits)


def test_full_trains_everything_that_reaches_the_output_in_float32(tiny_run: Run) -> None:
    model = load_trainable(tiny_run({"strategy": "full", "model.precision": "bf16"}))
    frozen = _named(model, trained=False)
    assert frozen
    assert all(name.startswith(UNUSED) for name in frozen)
    assert {value.dtype for value in frozen.values()} == {torch.bfloat16}
    assert {value.dtype for value in _named(model, trained=True).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "trained", "frozen"),
    [
        ("bf16", torch.float32, torch.bfloat16),
        ("fp16", torch.float32, torch.float16),
        ("fp32", torch.float32, torch.float32),
        ("bf16-pure", torch.bfloat16, torch.bfloat16),
    ],
)
def test_each_precision_has_its_dtypes_for_what_is_trained_and_what_is_frozen(
    tiny_run: Run, precision: str, trained: torch.dtype, frozen: torch.dtype
) -> None:
    model = load_trainable(tiny_run({"strategy": "frozen-vision", "model.precision": precision}))
    assert {value.dtype for value in _named(model, trained=True).values()} == {trained}
    assert {value.dtype for value in _named(model, trained=False).values()} == {frozen}


@pytest.mark.parametrize("train_projector", [False, True])
def test_frozen_vision_trains_the_language_model_with_its_embeddings_and_the_projector_where_asked(
    tiny_run: Run, train_projector: bool
) -> None:
    model = load_trainable(tiny_run({"strategy": "frozen-vision", "train_projector": train_projector}))
    expected = {"language model", "projector"} if train_projector else {"language model"}
    assert _parts(model, trained=True) == expected
    assert _parts(model, trained=False) == {"tower", "projector", "language model"} - expected
    assert model.model.embed_tokens.weight.requires_grad
    assert model.model.vision_embed_tokens.sub_GN.requires_grad == train_projector


def test_alpha_is_twice_the_rank_unless_given(tiny_run: Run) -> None:
    def alpha(settings: Mapping[str, object]) -> object:
        model = load_trainable(tiny_run({"strategy": "lora", **settings}))
        return adapter_settings(model).lora_alpha

    assert alpha({"lora.rank": 4}) == 8
    assert alpha({"lora.rank": 32, "lora.alpha": 16}) == 16


@pytest.mark.parametrize("option", ["dora", "rslora"])
def test_dora_and_rslora_are_peft_options(tiny_run: Run, option: str) -> None:
    model = load_trainable(tiny_run({"strategy": "lora", "lora.rank": 4, f"lora.{option}": True}))
    assert getattr(adapter_settings(model), f"use_{option}") is True
    assert any("magnitude" in name for name, _ in model.named_parameters()) == (option == "dora")


def test_a_rank_that_no_matrix_has_is_refused_before_memory_is_taken(tiny_run: Run) -> None:
    with pytest.raises(UsageError, match=r"lora\.rank is 10000000; expected 1 to 96"):
        load_trainable(tiny_run({"strategy": "lora", "lora.rank": 10_000_000}))


def test_a_missing_bitsandbytes_is_the_pip_line(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "bitsandbytes" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'phi3v-data\[qlora\]'"):
        load_trainable(tiny_run({"strategy": "qlora"}))


def test_tower_projector_and_language_model_have_learning_rates_of_their_own(tiny_run: Run) -> None:
    config = tiny_run({"optimizer.lr": 1e-3, "optimizer.tower_lr": 1e-5, "optimizer.projector_lr": 1e-4})
    model = load_trainable(config)
    groups = parameter_groups(model, config)
    assert {group["name"]: group["lr"] for group in groups} == {
        "tower": 1e-5,
        "tower, no decay": 1e-5,
        "projector": 1e-4,
        "projector, no decay": 1e-4,
        "language model": 1e-3,
        "language model, no decay": 1e-3,
    }
    of_group = {id(value): group for group in groups for value in group["params"]}
    assert of_group.keys() == {id(value) for value in model.parameters() if value.requires_grad}
    for name, value in _named(model, trained=True).items():
        group = of_group[id(value)]
        assert group["name"].removesuffix(", no decay") == part_of(name)
        is_matrix = name.endswith(".weight") and "norm" not in name
        assert (group["weight_decay"] > 0) == (is_matrix or "position_embedding" in name), name


def test_without_rates_of_their_own_all_parts_have_the_strategys(tiny_run: Run) -> None:
    config = tiny_run({"strategy": "lora", "lora.rank": 4, "optimizer.lr": None})
    assert {group["lr"] for group in parameter_groups(load_trainable(config), config)} == {2e-4}


@pytest.mark.parametrize("part", ["tower", "projector"])
def test_a_learning_rate_for_what_is_frozen_is_refused(tiny_run: Run, part: str) -> None:
    config = tiny_run({"strategy": "frozen-vision", f"optimizer.{part}_lr": 1e-5})
    with pytest.raises(UsageError, match=f"optimizer.{part}_lr is 1e-05, and --strategy frozen-vision does not train"):
        parameter_groups(load_trainable(config), config)


@pytest.mark.parametrize(("every", "expected"), [(0, []), (1, [0, 1]), (2, [0])])
def test_layers_recompute_their_activations_as_often_as_asked(tiny_run: Run, every: int, expected: list[int]) -> None:
    model: Phi3VForCausalLM = load_trainable(tiny_run({"model.gradient_checkpointing": every}))
    tower = model.model.vision_embed_tokens.img_processor.vision_model.encoder.layers
    for layers in (model.model.layers, tower[:2]):
        assert [number for number, layer in enumerate(layers) if layer.gradient_checkpointing] == expected


def test_the_fused_loss_needs_its_package(tiny_run: Run) -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'phi3v-data\[liger\]'"):
        load_trainable(tiny_run({"model.fused_loss": True}))


def test_the_fused_loss_takes_a_head_without_adapters() -> None:
    head, hidden, targets = nn.Linear(8, 16, bias=False), torch.randn(3, 8), torch.tensor([1, 2, 3])

    def kernel(states: Tensor, weight: Tensor, labels: Tensor, *, reduction: str) -> Tensor:
        """What Liger's kernel computes, which runs on a GPU only."""
        return nn.functional.cross_entropy(states @ weight.T, labels, reduction=reduction)

    stand_in = ModuleType("liger_kernel.transformers.functional")
    stand_in.liger_fused_linear_cross_entropy = kernel  # type: ignore[attr-defined]  # a module made here
    with mock.patch.dict("sys.modules", {"liger_kernel.transformers.functional": stand_in}):
        torch.testing.assert_close(fused_loss(head, hidden, targets), summed_loss(head, hidden, targets))
    with pytest.raises(UsageError, match="takes one without adapters: leave"):
        fused_loss(nn.Sequential(head), hidden, targets)

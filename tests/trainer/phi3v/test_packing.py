"""Packing changes nothing: laid end to end with others, a sample has the logits, loss and gradients it has alone."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers.cache_utils import DynamicCache

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import Phi3VForCausalLM, packing, varlen
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model

_SWITCH = 16  # tokens beyond which the small models take the long frequencies
_ON_CUDA = "varlen on CUDA"
_KERNELS = ["eager", "sdpa", "varlen", _ON_CUDA, "flash_attention_2"]
Sample = dict[str, Any]


def small_model(kernel: str) -> Phi3VForCausalLM:
    """The tiny model with a near switch between its frequencies."""
    config = tiny_config()
    config.original_max_position_embeddings = _SWITCH
    config.rope_parameters["original_max_position_embeddings"] = _SWITCH
    made = tiny_model()
    model = Phi3VForCausalLM(config)
    model.load_state_dict(made.state_dict())
    return choose(model.eval(), kernel)


def choose(model: Phi3VForCausalLM, kernel: str) -> Phi3VForCausalLM:
    """Set the language model's kernel without transformers' look at what is installed."""
    model.config._attn_implementation_internal = "varlen" if kernel == _ON_CUDA else kernel
    model.as_on_cuda = kernel == _ON_CUDA
    return model


def reference_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Tensor,
    key_bounds: Tensor,
    longest: int,
    longest_key: int,
    scale: float | None,
    causal: bool,
) -> Tensor:
    """What the kernels of torch and flash-attn compute, for a CPU: [tokens, heads, head size]."""
    assert bounds.dtype == torch.int32
    assert torch.equal(bounds, key_bounds)
    assert longest == longest_key == int(bounds.diff().max())
    assert causal
    parts = [states.transpose(0, 1).split(bounds.diff().tolist(), dim=1) for states in (query, key, value)]
    attended = [scaled_dot_product_attention(*own, scale=scale, is_causal=True) for own in zip(*parts, strict=True)]
    return torch.cat(attended, dim=1).transpose(0, 1)


def _torchs(*args: Any, scale: float, window_size: tuple[int, int], enable_gqa: bool) -> Tensor:
    assert not enable_gqa
    return reference_attention(*args, scale=scale, causal=window_size == (-1, 0))


def _flash_attns(query: Tensor, key: Tensor, value: Tensor, **kwargs: Any) -> Tensor:
    return reference_attention(
        query,
        key,
        value,
        kwargs["cu_seqlens_q"],
        kwargs["cu_seqlens_k"],
        kwargs["max_seqlen_q"],
        kwargs["max_seqlen_k"],
        kwargs["softmax_scale"],
        kwargs["is_causal"],
    )


def _flash_attns_alone(*states: Tensor, **kwargs: Any) -> Tensor:
    swapped = (each.transpose(1, 2) for each in states)
    return scaled_dot_product_attention(*swapped, scale=kwargs["softmax_scale"], is_causal=True).transpose(1, 2)


@contextmanager
def kernels_on_a_cpu(model: Any) -> Iterator[None]:
    """Neither torch's kernel nor flash-attn's runs on a CPU; all up to the call does, and this answers it."""
    flash = ((_flash_attns_alone, _flash_attns, None, None, None), (lambda **kwargs: kwargs, None))
    with (
        mock.patch.object(varlen, "_runs_torch_kernel", return_value=model.as_on_cuda),
        mock.patch.object(varlen, "torch_kernel", return_value=_torchs),
        mock.patch("transformers.modeling_flash_attention_utils.lazy_import_flash_attention", return_value=flash),
    ):
        yield


def text(ids: Sequence[int]) -> Sample:
    return {"input_ids": torch.tensor([ids]), "labels": torch.tensor([ids])}


def random_text(length: int, seed: int) -> Sample:
    draw = random.Random(seed)
    return text([draw.randrange(3, 259) for _ in range(length)])


def pack(samples: Sequence[Sample]) -> Sample:
    packed = {name: torch.cat([sample[name] for sample in samples], dim=1) for name in ("input_ids", "labels")}
    packed |= packing.packed_row([sample["input_ids"].shape[1] for sample in samples])
    shown = [sample for sample in samples if "pixel_values" in sample]
    if shown:
        most = max(sample["pixel_values"].shape[1] for sample in shown)
        pixels = [pad(sample["pixel_values"], (0,) * 7 + (most - sample["pixel_values"].shape[1],)) for sample in shown]
        packed["pixel_values"] = torch.cat(pixels)
        packed["image_sizes"] = torch.cat([sample["image_sizes"] for sample in shown])
    return packed


def gradients(model: Any, batches: Sequence[Sample], learned: int) -> tuple[list[Tensor], float, dict[str, Tensor]]:
    """Logits of each batch, the summed loss over `learned` tokens, and the gradients."""
    model.zero_grad()
    with kernels_on_a_cpu(model):
        outputs = [model(**batch, num_items_in_batch=learned) for batch in batches]
        loss = sum(output.loss for output in outputs)
        loss.backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return [output.logits.detach() for output in outputs], loss.item(), found


def check_alone_is_packed(model: Any, samples: Sequence[Sample]) -> None:
    learned = sum(int((sample["labels"][:, 1:] != -100).sum()) for sample in samples)
    alone, loss, expected = gradients(model, samples, learned)
    (packed,), packed_loss, found = gradients(model, [pack(samples)], learned)
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), rtol=0, atol=1e-5)
    assert packed_loss == pytest.approx(loss, abs=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kernel", _KERNELS)
@given(lengths=st.lists(st.integers(1, 3 * _SWITCH), min_size=1, max_size=6), seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_packed_texts_of_any_lengths_are_what_they_are_alone(kernel: str, lengths: list[int], seed: int) -> None:
    samples = [random_text(length, seed + number) for number, length in enumerate(lengths)]
    # A text of one token predicts nothing.
    check_alone_is_packed(small_model(kernel), [*samples, random_text(2, seed)])


@pytest.mark.parametrize("kernel", _KERNELS)
def test_a_short_sample_keeps_its_frequencies_beside_a_long_one(kernel: str) -> None:
    check_alone_is_packed(small_model(kernel), [random_text(n, n) for n in (5, _SWITCH, _SWITCH + 1, 50, 7)])


_GOLDEN = {
    "": ["lm_short_A", "lm_long_A", "img1_nc4_short_rope", "img2_nc4", "batch2_row0_alone"],
    "near switch": ["lm_B_len64_short", "lm_B_len65_long", "lm_B_len100_long", "img1_nc4_B_long"],
}


@pytest.mark.real_data
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("group", _GOLDEN)
@pytest.mark.parametrize("kernel", ["eager", "sdpa", "varlen"])
def test_random_groups_of_golden_cases_are_packed_what_they_are_alone(
    full_numbers: Any, kernel: str, group: str, seed: int
) -> None:
    names = random.Random(f"{kernel} {group} {seed}").sample(_GOLDEN[group], 3)
    samples = []
    for name in names:
        inputs = full_numbers.case(name).inputs
        kept = {key: inputs[key] for key in ("input_ids", "pixel_values", "image_sizes") if key in inputs}
        # Images are learned by nobody, and their ids are negative.
        samples.append({**kept, "labels": inputs["input_ids"].masked_fill(inputs["input_ids"] < 0, -100)})
    check_alone_is_packed(choose(full_numbers.model(names[0]), kernel), samples)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's varlen attention runs on CUDA only")
def test_packed_texts_are_what_they_are_alone_with_torchs_own_kernel() -> None:
    model = choose(torch.nn.Module.to(tiny_model().eval(), "cuda", torch.bfloat16), "varlen")
    samples = [{name: value.cuda() for name, value in random_text(n, n).items()} for n in (40, 7, 100)]
    row = {name: value.cuda() if isinstance(value, Tensor) else value for name, value in pack(samples).items()}
    with torch.no_grad():
        packed = model(**row).logits
        alone = torch.cat([choose(model, "sdpa")(**sample).logits for sample in samples], dim=1)
    torch.testing.assert_close(packed, alone, rtol=0, atol=0.1)


def _sees_its_neighbours(position_ids: Tensor) -> Tensor:
    tokens = position_ids.shape[1]
    return torch.ones(tokens, tokens, dtype=torch.bool).tril()[None, None]


def _one_sample_for_the_kernel(kernel: str, row: packing.PackedRow, embedded: Tensor) -> dict[str, Any]:
    return packing_as_it_is(kernel, packing.packed_row([sum(row["sample_lengths"])]), embedded)


packing_as_it_is = packing.packed_attention
labels_as_they_are = packing.next_labels


def _labels_of_the_neighbours(labels: Tensor, cu_seq_lens: Tensor | None) -> Tensor:
    return labels_as_they_are(labels)


@pytest.mark.parametrize(
    ("kernel", "place", "injected"),
    [
        ("sdpa", "phi3v_data.trainer.phi3v.packing.block_causal_mask", _sees_its_neighbours),
        ("eager", "phi3v_data.trainer.phi3v.packing.block_causal_mask", _sees_its_neighbours),
        ("varlen", "phi3v_data.trainer.phi3v.backbone.packed_attention", _one_sample_for_the_kernel),
        (_ON_CUDA, "phi3v_data.trainer.phi3v.backbone.packed_attention", _one_sample_for_the_kernel),
        ("flash_attention_2", "phi3v_data.trainer.phi3v.backbone.packed_attention", _one_sample_for_the_kernel),
        ("sdpa", "phi3v_data.trainer.phi3v.modeling.next_labels", _labels_of_the_neighbours),
        (
            "sdpa",
            "phi3v_data.trainer.phi3v.rope._sample_lengths",
            lambda position_ids: position_ids.amax(-1, keepdim=True).expand_as(position_ids) + 1,
        ),
    ],
)
def test_the_check_fails_where_samples_meet(kernel: str, place: str, injected: Callable[..., Any]) -> None:
    samples = [random_text(length, length) for length in (9, 30, 6)]
    check_alone_is_packed(small_model(kernel), samples)
    with mock.patch(place, injected), pytest.raises(AssertionError):
        check_alone_is_packed(small_model(kernel), samples)


@pytest.mark.parametrize("kernel", ["sdpa", "varlen", _ON_CUDA])
def test_adapters_and_recomputed_activations_change_nothing_in_it(kernel: str) -> None:
    torch.manual_seed(0)
    model = small_model(kernel)
    model.checkpoint_activations()
    settings = peft.LoraConfig(r=4, target_modules=["qkv_proj", "o_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model.train(), settings)
    check_alone_is_packed(adapted, [random_text(length, length) for length in (12, 3, 40)])


def test_padded_rows_are_the_same_with_varlen() -> None:
    samples = [random_text(length, length)["input_ids"][0] for length in (5, 30)]
    batch = {
        "input_ids": torch.nn.utils.rnn.pad_sequence(samples, batch_first=True, padding_side="left"),
        "attention_mask": torch.tensor([[0] * 25 + [1] * 5, [1] * 30]),
    }
    with torch.no_grad():
        expected, found = (small_model(kernel)(**batch).logits for kernel in ("sdpa", "varlen"))
        generated = [small_model(kernel).generate(**batch, max_new_tokens=3).tolist() for kernel in ("sdpa", "varlen")]
    assert torch.equal(found, expected)
    assert generated[0] == generated[1]


def test_the_vision_tower_runs_beside_varlen(model: Phi3VForCausalLM, processor: Any, sample_images: Any) -> None:
    inputs = processor("<|image_1|>", sample_images[0])
    with torch.no_grad():
        expected = model(**inputs).logits
        model.set_attn_implementation("varlen")
        assert model.config.tower_config._attn_implementation == "varlen"
        assert torch.equal(model(**inputs).logits, expected)


def test_transformers_own_detection_is_not_what_keeps_samples_apart() -> None:
    samples = [random_text(length, length) for length in (9, 6)]
    packed = pack(samples)
    model = small_model("sdpa")
    restarted = {"input_ids": packed["input_ids"], "position_ids": packed["position_ids"], "use_cache": True}
    with torch.no_grad():
        alone = torch.cat([model(**sample).logits for sample in samples], dim=1)
        # The trap, as it stands in transformers; the day it is gone, this may go, too.
        assert not torch.allclose(model(**restarted).logits, alone, atol=1e-3)
        torch.testing.assert_close(model(**packed).logits, alone, rtol=0, atol=1e-5)


def test_a_batch_of_one_masked_token_has_no_loss_and_no_gradient() -> None:
    model = small_model("sdpa").train()
    empty = {
        "input_ids": torch.tensor([[1]]),
        "labels": torch.tensor([[-100]]),
        **packing.packed_row([1]),
    }
    _, loss, found = gradients(model, [empty], 7)
    assert loss == 0
    assert found.keys() == {name for name, value in model.named_parameters() if value.requires_grad}
    assert not any(gradient.any() for gradient in found.values())


def _row_of(lengths: Sequence[int]) -> dict[str, Any]:
    return {**packing.packed_row([5]), "sample_lengths": tuple(lengths), "cu_seq_lens": torch.zeros(len(lengths) + 1)}


@pytest.mark.parametrize("lengths", [[4], [3, 3], [5, 0], [6, -1], []])
def test_lengths_that_do_not_fill_the_row_are_refused(lengths: list[int]) -> None:
    with pytest.raises(UsageError, match="expected one row of samples"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **_row_of(lengths))


def test_bounds_of_other_samples_are_refused() -> None:
    row = {**packing.packed_row([2, 3]), "sample_lengths": (5,)}
    with pytest.raises(UsageError, match="3 bounds"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **row)


def test_packed_samples_in_two_rows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"in rows and tokens \[2, 5\]"):
        small_model("sdpa")(torch.ones(2, 5, dtype=torch.long), **packing.packed_row([5]))


@pytest.mark.parametrize("missing", ["sample_lengths", "position_ids"])
def test_bounds_alone_do_not_tell_where_samples_lie(missing: str) -> None:
    row = {name: value for name, value in packing.packed_row([5]).items() if name != missing}
    with pytest.raises(UsageError, match="pass all that packed_row makes"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **row)


@pytest.mark.parametrize(
    "beside",
    [{"attention_mask": torch.ones(1, 5)}, {"use_cache": True}, {"past_key_values": DynamicCache()}],
    ids=lambda beside: next(iter(beside)),
)
def test_a_mask_or_a_cache_beside_packed_samples_is_refused(beside: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="packed samples take neither"):
        small_model("sdpa")(torch.ones(1, 5, dtype=torch.long), **packing.packed_row([5]), **beside)


def test_a_kernel_without_a_form_for_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="attention 'flex_attention'"):
        small_model("flex_attention")(torch.ones(1, 5, dtype=torch.long), **packing.packed_row([5]))


@pytest.mark.parametrize("capability", [(7, 0), (7, 5), (8, 0), (9, 0)])
def test_torchs_kernel_is_taken_on_cuda_in_half_precision_since_ampere(capability: tuple[int, int]) -> None:
    def runs(device: str, dtype: torch.dtype) -> bool:
        value: Any = SimpleNamespace(is_cuda=device == "cuda", dtype=dtype, device=torch.device(device))
        return varlen._runs_torch_kernel(value)

    varlen._compute_capability.cache_clear()
    with mock.patch.object(torch.cuda, "get_device_capability", return_value=capability):
        for half in (torch.bfloat16, torch.float16):
            assert runs("cuda", half) == (capability >= (8, 0))
            assert not runs("cpu", half)
        assert not runs("cuda", torch.float32)
    varlen._compute_capability.cache_clear()


def test_torchs_kernel_is_called_by_the_signature_that_is_installed() -> None:
    kernel = varlen.torch_kernel.__wrapped__()
    assert kernel is not None, "the torch of constraints.txt has it"
    inspect.signature(kernel).bind(*range(7), scale=1.0, window_size=(-1, 0), enable_gqa=False)


def _kernel_of_torch_2_10(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool,
) -> Tensor:
    raise AssertionError("it takes other arguments")


@pytest.mark.parametrize("module", [None, SimpleNamespace(varlen_attn=_kernel_of_torch_2_10)], ids=["older", "2.10"])
def test_a_torch_without_the_kernel_or_with_another_signature_does_without(module: Any) -> None:
    with mock.patch.dict("sys.modules", {"torch.nn.attention.varlen": module}):
        assert varlen.torch_kernel.__wrapped__() is None


def test_no_sample_pays_for_its_neighbours_in_varlen() -> None:
    seen: list[int] = []

    def count(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(query.shape[2])
        return scaled_dot_product_attention(query, *args, **kwargs)

    samples = [random_text(length, length) for length in (9, 6, 30)]
    with mock.patch.object(varlen, "scaled_dot_product_attention", count), torch.no_grad():
        model = small_model("varlen")
        model(**pack(samples))
    assert seen == [9, 6, 30] * len(model.model.layers)

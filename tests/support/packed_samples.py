"""Small models, texts for them, and rows of packed samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from phi3v_data.trainer.phi3v import Phi3VForCausalLM, packing
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model

SWITCH = 16  # tokens beyond which the small models take the long frequencies
ON_CUDA = "varlen on CUDA"
KERNELS = ["eager", "sdpa", "varlen", ON_CUDA, "flash_attention_2"]
Sample = dict[str, Any]


def small_model(kernel: str) -> Phi3VForCausalLM:
    """The tiny model with a near switch between its frequencies."""
    config = tiny_config()
    config.original_max_position_embeddings = SWITCH
    assert config.rope_parameters is not None
    config.rope_parameters["original_max_position_embeddings"] = SWITCH
    made = tiny_model()
    model = Phi3VForCausalLM(config)
    model.load_state_dict(made.state_dict())
    return choose(model.eval(), kernel)


def choose(model: Phi3VForCausalLM, kernel: str) -> Phi3VForCausalLM:
    """Set the language model's kernel without transformers' look at what is installed."""
    model.config._attn_implementation_internal = "varlen" if kernel == ON_CUDA else kernel
    vars(model)["as_on_cuda"] = kernel == ON_CUDA
    return model


def text(ids: Sequence[int]) -> Sample:
    return {"input_ids": torch.tensor([ids]), "labels": torch.tensor([ids])}


def random_text(length: int, seed: int) -> Sample:
    draw = random.Random(seed)
    return text([draw.randrange(3, 259) for _ in range(length)])


def pack(samples: Sequence[Sample]) -> Sample:
    packed: Sample = {name: torch.cat([sample[name] for sample in samples], dim=1) for name in ("input_ids", "labels")}
    packed |= packing.packed_row([sample["input_ids"].shape[1] for sample in samples])
    shown = [sample for sample in samples if "pixel_values" in sample]
    if shown:
        most = max(sample["pixel_values"].shape[1] for sample in shown)
        pixels = [pad(sample["pixel_values"], (0,) * 7 + (most - sample["pixel_values"].shape[1],)) for sample in shown]
        packed["pixel_values"] = torch.cat(pixels)
        packed["image_sizes"] = torch.cat([sample["image_sizes"] for sample in shown])
    return packed

"""4-bit weights for qlora, by bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...schema.dependencies import require
from ..config import TrainConfig
from ..precision import dtypes_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import BitsAndBytesConfig

# Not in 4 bits: the head, whose errors nothing corrects; and what is never run.
_HEAD = "lm_head"


def quantisation(config: TrainConfig) -> BitsAndBytesConfig | None:
    """Say how the weights of a run are quantised when they are loaded; None where they are not.

    Decoder, tower and projector are; head, embeddings and norms are not.

    Raises:
        MissingDependencyError: bitsandbytes is not installed.
    """
    if config.strategy != "qlora":
        return None
    require("bitsandbytes", purpose="--strategy qlora", extra="qlora")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=config.lora.double_quantisation,
        bnb_4bit_compute_dtype=dtypes_of(config.model.precision).compute,
        llm_int8_skip_modules=[_HEAD],
    )


def keep_weight_format(model: nn.Module) -> None:
    """Keep 4-bit weights as they were quantised, on a CPU too.

    There bitsandbytes rewrites them for its own kernel when a model is first evaluated: with rounded scales, only for
    widths of whole blocks, and in a form that has no backward pass.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False

"""4-bit weights for qlora, by bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...schema.dependencies import require
from ..config import TrainConfig
from ..precision import dtypes_of

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

__all__ = ["quantisation"]

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

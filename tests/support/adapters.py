"""The adapter of a model that is trained by LoRA."""

from __future__ import annotations

from typing import Any

import peft
from torch import nn


def adapter_settings(model: nn.Module) -> peft.LoraConfig:
    """The settings of its only adapter."""
    # transformers' type of `peft_config` knows few of them.
    adapted: Any = model
    return adapted.peft_config["default"]

"""Answers of a model, as transformers' `generate` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def generate(model: nn.Module, inputs: Mapping[str, Tensor], **options: Any) -> Tensor:
    """Token ids [rows, prompt and answer]."""
    # The type of transformers' generate knows only models of its own.
    answering: Any = model
    made: Tensor = answering.generate(**inputs, **options)
    return made

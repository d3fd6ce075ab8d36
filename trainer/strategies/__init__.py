"""Which parameters are trained, and at which learning rates.

| strategy        | trained                                                                                      |
| --------------- | -------------------------------------------------------------------------------------------- |
| `full`          | everything that reaches the output                                                           |
| `frozen-vision` | the language model with its word embeddings; with `--train-projector` projector, separators  |
| `lora`          | adapters beside frozen weights                                                               |
| `qlora`         | adapters beside weights quantised to 4 bits                                                  |
"""

from __future__ import annotations

from .apply import apply_strategy, check_takes_adapters
from .groups import Part, parameter_groups, part_of
from .quantisation import keep_weight_format, quantisation
from .targets import adapter_targets

__all__ = [
    "Part",
    "adapter_targets",
    "apply_strategy",
    "check_takes_adapters",
    "keep_weight_format",
    "parameter_groups",
    "part_of",
    "quantisation",
]

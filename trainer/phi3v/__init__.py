"""Phi-3-vision and Phi-3.5-vision, natively on transformers.

Importing this package makes `AutoModelForCausalLM`, `AutoModelForImageTextToText` (and with it
`pipeline("image-text-to-text")`), `AutoProcessor`, `AutoImageProcessor` and `AutoConfig` take a published folder as it
is, without running any code from it.
"""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from ...schema.text import encode_prompt, image_numbers, image_placeholder
from .backbone import Phi3VModel
from .configuration import CHAT_END_IDS, IMAGE_TOKEN_ID, Phi3VConfig
from .image_processing import Phi3VImageProcessor
from .modeling import Phi3VForCausalLM
from .processing import Phi3VProcessor

__all__ = [
    "CHAT_END_IDS",
    "IMAGE_TOKEN_ID",
    "Phi3VConfig",
    "Phi3VForCausalLM",
    "Phi3VImageProcessor",
    "Phi3VModel",
    "Phi3VProcessor",
    "encode_prompt",
    "image_numbers",
    "image_placeholder",
]

AutoConfig.register(Phi3VConfig.model_type, Phi3VConfig, exist_ok=True)
AutoModelForCausalLM.register(Phi3VConfig, Phi3VForCausalLM, exist_ok=True)
AutoModelForImageTextToText.register(Phi3VConfig, Phi3VForCausalLM, exist_ok=True)
AutoImageProcessor.register(
    Phi3VConfig, image_processor_classes={"pil": Phi3VImageProcessor, "torchvision": Phi3VImageProcessor}, exist_ok=True
)
AutoProcessor.register(Phi3VConfig, Phi3VProcessor, exist_ok=True)

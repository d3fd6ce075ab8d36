"""Loading what is trained or judged, and saving what was trained: whole models and adapters alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import PeftModel

from ..schema.dependencies import require
from ..schema.errors import ModelFolderError
from .config import ModelConfig, TrainConfig
from .phi3v.loading import load_config, load_model, load_processor
from .phi3v.tiny import tiny_config, tiny_model, tiny_processor
from .phi3v.varlen import VARLEN

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig, Phi3VForCausalLM, Phi3VProcessor

__all__ = ["load_checkpoint", "load_run_config", "load_run_processor", "load_trainable", "save_checkpoint"]

_TINY = "tiny"
_ADAPTER = "adapter_config.json"
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def load_trainable(config: TrainConfig) -> Phi3VForCausalLM:
    """Load the model that a run starts from, on the device it trains on.

    Raises:
        ModelFolderError: it is no Phi-3-vision.
        HubError: it is not here and cannot be fetched.
    """
    return _load(config.model, config.model.name)


def load_run_processor(config: TrainConfig) -> Phi3VProcessor:
    """Load the processor alone of the model that a run starts from; see `load_trainable`."""
    return _processor(config, config.model.name)


def load_run_config(config: TrainConfig) -> Phi3VConfig:
    """Load the configuration alone of the model that a run starts from; see `load_trainable`."""
    return tiny_config() if config.model.name == _TINY else load_config(config.model.name)


def load_checkpoint(config: TrainConfig) -> tuple[Phi3VForCausalLM, Phi3VProcessor]:
    """Load a model to be judged.

    Args:
        config: `model.name` is a run's folder, a model or adapter folder, a hub id, or 'tiny'.

    Raises:
        ModelFolderError: it is no Phi-3-vision, and no adapter for one.
        HubError: it is not here and cannot be fetched.
    """
    folder = Path(config.model.name)
    if (folder / "run.json").is_file():
        folder = folder / "model"
        if not folder.is_dir():
            raise ModelFolderError(f"{folder.parent}: this run saved no model (it broke off before its end)")
    name = str(folder) if folder.is_dir() else config.model.name
    processor = _processor(config, name)
    if not (folder / _ADAPTER).is_file():
        return _load(config.model, name), processor

    base = json.loads((folder / _ADAPTER).read_text())["base_model_name_or_path"]
    model: Phi3VForCausalLM = PeftModel.from_pretrained(_load(config.model, base), str(folder))
    return model, processor


def save_checkpoint(model: Phi3VForCausalLM, processor: Phi3VProcessor, folder: Path) -> None:
    """Save a model, or its adapters, and its processor."""
    # The embedding is never trained by the adapters; peft would copy it beside them because lm_head is.
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder), save_embedding_layers=False)
        # peft's empty form of a model card, which says nothing about this model.
        (folder / "README.md").unlink(missing_ok=True)
    else:
        model.save_pretrained(str(folder))
    processor.save_pretrained(str(folder))


def _load(settings: ModelConfig, name: str) -> Phi3VForCausalLM:
    dtype = _DTYPES[settings.precision]
    attention = VARLEN if settings.attention == "auto" else settings.attention
    if attention == "flash_attention_2":
        require("flash_attn", package="flash-attn", purpose="--attention flash_attention_2", extra="flash")
    model: Phi3VForCausalLM
    if name == _TINY:
        model = torch.nn.Module.to(tiny_model(), dtype)
        # What an adapter's folder says it is for.
        model.name_or_path = _TINY
        model.set_attn_implementation(attention)
    else:
        model = load_model(name, dtype=dtype, attn_implementation=attention)
    return torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")


def _processor(config: TrainConfig, name: str) -> Phi3VProcessor:
    processor: Phi3VProcessor = tiny_processor() if name == _TINY else load_processor(name)
    if config.data.num_crops is not None:
        processor.image_processor.num_crops = config.data.num_crops
    return processor

"""A folder that loads wherever the original model loads, from a model, an adapter or a run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from ..schema.errors import ModelFolderError, OutputError, UsageError
from ..schema.wording import counted
from .model_folder import save_weights
from .model_source import TINY, ModelSource, find_model
from .phi3v.loading import check_model_source, load_model, load_processor
from .phi3v.tiny import tiny_model, tiny_processor
from .strategies.adapter_folder import load_adapter

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM

BESIDE = "beside"
"""As `auto_map`: the published code's files are going to lie beside the exported ones."""

# Which class of the published code each file names.
_PUBLISHED_CODE = {
    "config.json": {
        "AutoConfig": "configuration_phi3_v.Phi3VConfig",
        "AutoModelForCausalLM": "modeling_phi3_v.Phi3VForCausalLM",
    },
    "preprocessor_config.json": {
        "AutoImageProcessor": "processing_phi3_v.Phi3VImageProcessor",
        "AutoProcessor": "processing_phi3_v.Phi3VProcessor",
    },
    "processor_config.json": {"AutoProcessor": "processing_phi3_v.Phi3VProcessor"},
    "tokenizer_config.json": {"AutoProcessor": "processing_phi3_v.Phi3VProcessor"},
}


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Args:
        adapter_only: the adapter as it is, in place of a merged model.
        dtype: of the weights; None for the base model's own.
        shard_size: most that a file of weights holds, such as "5GB".
        auto_map: `BESIDE`, or a hub repository `owner/name` that has the published code; None names no code.
    """

    adapter_only: bool = False
    dtype: torch.dtype | None = None
    shard_size: str = "5GB"
    auto_map: str | None = None


def export_model(name: str, out: Path, options: ExportOptions, log: Callable[[str], None] = lambda line: None) -> None:
    """Write a model as a folder under the published names, its adapter merged.

    Args:
        name: a run's folder, a model or adapter folder, a hub id, or 'tiny'.
        out: a new or empty folder.
        options: how.
        log: receives what is done, a line at a time.

    Raises:
        OutputError: `out` is taken, or cannot be written.
        UsageError: there is no adapter to export alone.
        ModelFolderError: the model or its adapter cannot be loaded.
        HubError: it is not here and cannot be fetched.
    """
    source = find_model(name)
    if options.adapter_only and source.adapter is None:
        raise UsageError(f"{name} has no adapter to export alone: leave --adapter-only out")
    _check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            folder = Path(scratch) / out.name
            folder.mkdir()
            _write(source, folder, options, log)
            if out.exists():
                out.rmdir()
            folder.rename(out)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OutputError(f"--out {out}: cannot be written ({reason}); free space or choose another place") from error


def _check_free(out: Path) -> None:
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise OutputError(f"--out {out}: cannot be read ({error.strerror}); choose another place") from error
    if taken:
        raise OutputError(f"--out {out} is not a new or empty folder: choose another one, or remove what is there")


def _write(source: ModelSource, folder: Path, options: ExportOptions, log: Callable[[str], None]) -> None:
    if source.base != TINY:
        check_model_source(source.base)
    processor = tiny_processor() if source.processor == TINY else load_processor(source.processor)
    if options.adapter_only and source.adapter is not None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(source.adapter / name, folder / name)
        log(f"the adapter for {source.base}, as it is")
    else:
        _write_whole(source, folder, options, log)
    processor.save_pretrained(folder)
    if options.auto_map is not None:
        _name_published_code(folder, options.auto_map)


def _write_whole(source: ModelSource, folder: Path, options: ExportOptions, log: Callable[[str], None]) -> None:
    # In the dtype the weights are stored in: nothing is rounded before the adapter is merged.
    model: Phi3VForCausalLM = tiny_model() if source.base == TINY else load_model(source.base)
    dtype = options.dtype or model.dtype
    if source.adapter is not None:
        count = _merge(load_adapter(model, source.adapter, trainable=False), dtype)
        log(f"merged {counted(count, 'adapter')} of {source.adapter} into {source.base}, in float32")
    save_weights(model, model.state_dict(), folder, dtype, options.shard_size)


@torch.no_grad()
def _merge(adapted: Any, dtype: torch.dtype) -> int:
    """Merge adapters into the model they are on, one layer at a time in float32, each then cast.

    Returns:
        How many there were.

    Raises:
        ModelFolderError: an adapter holds values that are not finite.
    """
    from peft.tuners.lora import LoraLayer

    layers = [(name, module) for name, module in adapted.named_modules() if isinstance(module, LoraLayer)]
    for name, layer in layers:
        base: Any = layer.get_base_layer()
        base.weight.data = base.weight.data.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise ModelFolderError(f"the adapter of {name} holds NaN or infinite values: train it again") from error
        base.weight.data = base.weight.data.to(dtype)
    adapted.unload()
    return len(layers)


def _name_published_code(folder: Path, where: str) -> None:
    prefix = "" if where == BESIDE else f"{where}--"
    for name, classes in _PUBLISHED_CODE.items():
        file = folder / name
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if not settings and name != "processor_config.json":
            continue
        settings["auto_map"] = {auto: f"{prefix}{place}" for auto, place in classes.items()}
        settings.setdefault("processor_class", "Phi3VProcessor") if name == "processor_config.json" else None
        file.write_text(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

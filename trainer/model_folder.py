"""Loading a model to be trained or evaluated, and saving it: whole models and adapters alike."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from ..schema.dependencies import require
from .config import TrainConfig
from .model_source import TINY, adapter_source, base_source, find_model
from .phi3v.loading import check_model_source, load_config, load_model, load_processor
from .phi3v.tiny import tiny_config, tiny_model, tiny_processor, write_tiny
from .phi3v.varlen import VARLEN
from .precision import dtypes_of
from .strategies import apply_strategy, keep_weight_format, quantisation
from .strategies.adapter_folder import load_adapter

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BitsAndBytesConfig

    from .phi3v import Phi3VConfig, Phi3VForCausalLM, Phi3VProcessor


def load_trainable(config: TrainConfig, device: torch.device | None = None) -> Phi3VForCausalLM:
    """Load the model that a run starts from, ready to be trained by the run's strategy.

    Args:
        config: the run's.
        device: where it is put; default: the current GPU, or the CPU where there is none. A backend that shards the
            model takes it on the CPU.

    Returns:
        The model, or a peft model around it. What is trained is in float32 (`bf16-pure` apart), what is frozen in the
        dtype of the computation or in 4 bits, and layers recompute their activations as configured.

    Raises:
        UsageError: what is named is an adapter, or an adapter that does not go with the strategy.
        ModelFolderError: it is not a Phi-3-vision.
        HubError: it is not here and cannot be fetched.
        MissingDependencyError: a package that the strategy or the attention needs is not installed.
    """
    dtypes = dtypes_of(config.model.precision)
    # Read in the dtype that most of it is kept in: float32 weights are not rounded on the way.
    dtype = dtypes.frozen if config.strategy in ("lora", "qlora") else dtypes.trained
    adapter = None if config.model.init_adapter is None else adapter_source(config.model.init_adapter)
    if config.model.fused_loss:
        require("liger_kernel", package="liger-kernel", purpose="model.fused_loss", extra="liger")
    model = _load(base_source(config.model.name), dtype, config, quantisation(config), device)
    model.fused_loss = config.model.fused_loss
    trainable = apply_strategy(model, config, adapter)
    # After the adapters are there: peft would put hooks on a model whose activations are recomputed.
    trainable.checkpoint_activations(every=config.model.gradient_checkpointing)
    trainable.train()
    return trainable


def load_run_processor(config: TrainConfig) -> Phi3VProcessor:
    """Load the processor alone of the model that a run starts from; see `load_trainable`."""
    return _processor(config, base_source(config.model.name))


def load_model_config(config: TrainConfig) -> Phi3VConfig:
    """Load the configuration alone of the model that a run starts from; see `load_trainable`."""
    name = base_source(config.model.name)
    return tiny_config() if name == TINY else load_config(name)


def load_for_evaluation(
    config: TrainConfig, device: torch.device | None = None
) -> tuple[Phi3VForCausalLM, Phi3VProcessor]:
    """Load a model that is to answer, with its adapter where it has one.

    All weights are in the dtype of the computation; a qlora run's adapter is put on 4-bit weights, as it was trained.

    Args:
        config: `model.name` is a run's folder, a model or adapter folder, a hub id, or 'tiny'.
        device: as for `load_trainable`.

    Raises:
        ModelFolderError: it is not a Phi-3-vision, and not an adapter for one.
        HubError: it is not here and cannot be fetched.
    """
    source = find_model(config.model.name)
    if source.base != TINY:
        # Another model's folder is refused as that, not for a file that it lacks.
        check_model_source(source.base)
    processor = _processor(config, source.processor)
    quantised = None if source.run is None or source.adapter is None else quantisation(source.run)
    model = _load(source.base, dtypes_of(config.model.precision).frozen, config, quantised, device)
    if source.adapter is not None:
        model = load_adapter(model, source.adapter, trainable=False)
    model.train(False)
    return model, processor


def save_model(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    folder: Path,
    dtype: torch.dtype,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Save a model, or its adapters, and its processor.

    Args:
        model: as `load_trainable` returned it, trained.
        processor: the model's own.
        folder: made where it is missing.
        dtype: what a whole model is cast to; adapters stay in float32.
        state: the whole tensors under the model's own names, gathered from where a backend keeps them; default: the
            model's.
    """
    state = model.state_dict() if state is None else state
    # Only a model of peft has it; peft takes seconds to import, and whoever trains all weights has no use for it.
    if hasattr(model, "peft_config"):
        # The embedding is never trained by the adapters; peft would copy it beside them because lm_head is.
        model.save_pretrained(str(folder), state_dict=dict(state), save_embedding_layers=False)
        # peft's empty form of a model card, which says nothing about this model.
        (folder / "README.md").unlink(missing_ok=True)
    else:
        save_weights(model, state, folder, dtype)
    processor.save_pretrained(str(folder))


def save_weights(
    model: Phi3VForCausalLM, state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype, shard_size: str = "5GB"
) -> None:
    """Write weights under the published names, `config.json` and `generation_config.json`.

    Args:
        model: has the configurations.
        state: the whole tensors.
        folder: where to.
        dtype: what the weights are cast to, one file's at a time.
        shard_size: most that a file holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    kept = {name: tensor for name, tensor in state.items() if name not in tied}
    sizes = {name: torch.empty(tensor.shape, dtype=dtype, device="meta") for name, tensor in kept.items()}
    shards = split_torch_state_dict_into_shards(sizes, max_shard_size=shard_size)
    for file, names in shards.filename_to_tensors.items():
        cast = {name: kept[name].detach().to("cpu", dtype).contiguous() for name in names}
        save_file(cast, folder / file, metadata={"format": "pt"})
    if shards.is_sharded:
        index = {"metadata": shards.metadata, "weight_map": dict(sorted(shards.tensor_to_filename.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    written = copy.deepcopy(model.config)
    written.dtype = dtype
    # A wrapper around the model has a name of its own.
    written.architectures = ["Phi3VForCausalLM"]
    written.save_pretrained(str(folder))
    model.generation_config.save_pretrained(str(folder))


def _load(
    name: str,
    dtype: torch.dtype,
    config: TrainConfig,
    quantised: BitsAndBytesConfig | None,
    device: torch.device | None,
) -> Phi3VForCausalLM:
    attention = VARLEN if config.model.attention == "auto" else config.model.attention
    if attention == "flash_attention_2":
        require("flash_attn", package="flash-attn", purpose="--attention flash_attention_2", extra="flash")
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Phi3VForCausalLM
    if name == TINY and quantised is None:
        model = torch.nn.Module.to(tiny_model(), dtype)
        model.set_attn_implementation(attention)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            folder = write_tiny(scratch) if name == TINY else name
            # Weights are quantised on the device they are loaded to.
            placed = {} if quantised is None else {"quantization_config": quantised, "device_map": {"": device}}
            model = load_model(folder, dtype=dtype, attn_implementation=attention, **placed)
    # What an adapter's folder says it is for.
    model.name_or_path = str(Path(name).resolve()) if Path(name).is_dir() else name
    if quantised is None:
        return torch.nn.Module.to(model, device)
    keep_weight_format(model)
    return model


def _processor(config: TrainConfig, name: str) -> Phi3VProcessor:
    processor: Phi3VProcessor = tiny_processor() if name == TINY else load_processor(name)
    if config.data.num_crops is not None:
        processor.image_processor.num_crops = config.data.num_crops
    return processor

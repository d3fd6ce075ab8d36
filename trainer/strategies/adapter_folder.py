"""Adapter folders, as peft writes them: read with care, for they may come from strangers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta
from safetensors import SafetensorError, safe_open

from ...schema.errors import ModelFolderError, UsageError
from .targets import adapter_targets, check_rank

if TYPE_CHECKING:
    from torch import Tensor

    from ..phi3v import Phi3VForCausalLM

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"

# Options of peft's that change what an adapter computes, and that nothing here knows how to train, merge or check.
_UNSUPPORTED = (
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "exclude_modules",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)


class AdapterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of `adapter_config.json`.

    Args:
        base_model_name_or_path: the model that the adapter was trained on.
        r: rank.
        lora_alpha: numerator of the scale.
        target_modules: names, or last parts of names, of the layers that have adapters.
        lora_dropout: in training.
        use_dora: whether the weights are decomposed.
        use_rslora: whether the scale is by the root of the rank.
    """

    base_model_name_or_path: Annotated[str, Meta(min_length=1)]
    r: Annotated[int, Meta(ge=1)]
    lora_alpha: Annotated[float, Meta(gt=0)]
    target_modules: Annotated[list[str], Meta(min_length=1)]
    lora_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    use_dora: bool = False
    use_rslora: bool = False


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, sound or not."""
    return (folder / _CONFIG).is_file()


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read what an adapter is.

    Raises:
        ModelFolderError: it is not a LoRA adapter that can be loaded here; names the file and what to do.
    """
    file = folder / _CONFIG
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFolderError(f"{folder} has no {_CONFIG}: pass the folder of an adapter") from error
    except (ValueError, RecursionError) as error:
        raise _broken(file, f"not valid JSON ({error})") from error
    if not isinstance(settings, dict):
        raise _broken(file, f"a JSON {type(settings).__name__}, expected an object")
    if settings.get("peft_type") != "LORA":
        raise _broken(file, f"peft_type is {settings.get('peft_type')!r}, expected 'LORA'")
    for name in _UNSUPPORTED:
        if settings.get(name):
            raise _broken(file, f"{name} is {settings[name]!r}, which is not supported")
    if settings.get("bias", "none") != "none":
        raise _broken(file, f"bias is {settings['bias']!r}, expected 'none'")
    try:
        return msgspec.convert(settings, AdapterConfig)
    except msgspec.ValidationError as error:
        raise _broken(file, str(error)) from error


def load_adapter(model: Phi3VForCausalLM, folder: Path, *, trainable: bool) -> Phi3VForCausalLM:
    """Put a saved adapter on the model that it was trained on.

    Args:
        model: the base model.
        folder: the adapter's.
        trainable: whether it is to be trained on.

    Returns:
        A peft model around it, its adapters in float32.

    Raises:
        ModelFolderError: it is not an adapter for this model, or its weights are damaged.
    """
    from peft import LoraConfig, PeftModel

    settings = read_adapter_config(folder)
    _check_rank(settings, model, folder / _CONFIG)
    weights = _read_weights(folder / _WEIGHTS)
    config = LoraConfig(
        r=settings.r,
        # peft takes whole numbers as well as fractions, and writes what it was given.
        lora_alpha=int(settings.lora_alpha) if settings.lora_alpha.is_integer() else settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=settings.target_modules,
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
        task_type="CAUSAL_LM",
        inference_mode=not trainable,
        base_model_name_or_path=settings.base_model_name_or_path,
    )
    try:
        wrapped: Phi3VForCausalLM = PeftModel(model, config)
    except ValueError as error:
        raise _broken(folder / _CONFIG, f"not an adapter for this model ({_one_line(error)})") from error
    _fill(wrapped, weights, folder)
    return wrapped


def _check_rank(settings: AdapterConfig, model: Phi3VForCausalLM, file: Path) -> None:
    try:
        check_rank(settings.r, adapter_targets(model, vision=True))
    except UsageError as error:
        raise _broken(file, str(error)) from error


def _read_weights(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise ModelFolderError(f"{file.parent} has no {_WEIGHTS}: save or copy the adapter again")
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{file} is damaged ({error}): save or copy the adapter again") from error


def _fill(model: Phi3VForCausalLM, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Give the model's adapters the saved values, each of them and no others."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    expected: Mapping[str, Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    file = folder / _WEIGHTS
    if unpaired := sorted(expected.keys() ^ weights.keys()):
        what = "lacks" if unpaired[0] in expected else "has an unexpected"
        raise ModelFolderError(
            f"{file} does not hold the tensors that {_CONFIG} and the base model ask for ({what} {unpaired[0]}; names "
            f"that differ: {len(unpaired)}): take the adapter's files and the base model from one run"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise ModelFolderError(
                f"{file}: {name} is {list(tensor.shape)}, expected {list(expected[name].shape)}: take the adapter's "
                "files and the base model from one run"
            )
    set_peft_model_state_dict(model, dict(weights))


def _broken(file: Path, why: str) -> ModelFolderError:
    return ModelFolderError(f"{file}: {_one_line(why)}; save or copy the adapter again")


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())

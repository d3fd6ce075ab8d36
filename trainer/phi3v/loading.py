"""Open a model folder, or say in one line why it is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoProcessor

from ...schema.errors import HubError, ModelFolderError
from .configuration import Phi3VConfig
from .modeling import Phi3VForCausalLM
from .processing import Phi3VProcessor

__all__ = ["check_model_source", "load_model", "load_processor"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def load_model(source: str | Path, **options: Any) -> Phi3VForCausalLM:
    """Load a Phi-3-vision model from a folder or the hub; no code of it is run.

    Args:
        source: a folder in the published form, or a hub id.
        options: as `from_pretrained` takes them (`dtype`, `attn_implementation`, `quantization_config`, ...).

    Raises:
        ModelFolderError: the folder is missing, incomplete, damaged, or of another model.
        HubError: the hub cannot be reached or lacks the model.
    """
    check_model_source(source)
    options = {"dtype": "auto", **options, "use_safetensors": True, "trust_remote_code": False}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(str(source), output_loading_info=True, **options)
    except OSError as error:
        raise _unreachable(source, error) from error
    model, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ModelFolderError(
            f"{source} lacks {len(missing)} of the model's tensors ({missing[0]} ...): download or save it again"
        )
    if not isinstance(model, Phi3VForCausalLM):
        raise ModelFolderError(f"{source} holds a {type(model).__name__}; expected Phi-3-vision")
    return model


def load_processor(source: str | Path, **options: Any) -> Phi3VProcessor:
    """Load the processor of a Phi-3-vision model.

    Args:
        source: a folder in the published form, or a hub id.
        options: in place of `preprocessor_config.json`'s own values (`num_crops`).

    Raises:
        ModelFolderError: the folder is missing or holds no such processor.
        HubError: the hub cannot be reached or lacks the model.
    """
    folder = Path(source)
    if not _is_hub_id(source):
        _check_exists(folder)
        for name in ("preprocessor_config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ModelFolderError(f"{folder} has no {name}: copy it from the model it was made from")
    try:
        processor: Any = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]  # untyped in transformers
            str(source), trust_remote_code=False, **options
        )
    except OSError as error:
        raise _unreachable(source, error) from error
    if not isinstance(processor, Phi3VProcessor):
        raise ModelFolderError(f"{source} holds a {type(processor).__name__}; expected Phi-3-vision's processor")
    return processor


def check_model_source(source: str | Path) -> None:
    """Find out cheaply whether a folder can be a model of this kind; hub ids pass.

    Raises:
        ModelFolderError: it cannot; one line says why.
    """
    if not _is_hub_id(source):
        folder = Path(source)
        _check_folder(folder)
        for file in _weight_files(folder):
            _check_weights(file)


def _is_hub_id(source: str | Path) -> bool:
    return not Path(source).exists() and isinstance(source, str) and _HUB_ID.fullmatch(source) is not None


def _check_exists(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelFolderError(f"no model folder at {folder}: pass a folder, a hub id such as owner/name, or tiny")


def _check_folder(folder: Path) -> None:
    _check_exists(folder)
    file = folder / "config.json"
    if not file.is_file():
        raise ModelFolderError(f"{folder} is no model folder, it has no config.json: pass the folder that has it")
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{file} is not JSON ({error}): download or save the model again") from error
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind != Phi3VConfig.model_type:
        raise ModelFolderError(
            f"{folder} holds a model of type {kind!r}; expected {Phi3VConfig.model_type!r}: "
            "Phi-3-vision or Phi-3.5-vision"
        )


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        raise ModelFolderError(f"{folder} has no weights: neither {_WEIGHTS} nor {_INDEX}")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelFolderError(f"{index} is no index of weights: download or save the model again") from error
    for name in names:
        if not (folder / name).is_file():
            raise ModelFolderError(f"{folder} lacks {name}, one of {len(names)} files of weights: download it again")
    return [folder / name for name in names]


def _check_weights(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise ModelFolderError(f"{file} is damaged ({error}): download or save the model again") from error


def _unreachable(source: str | Path, error: OSError) -> ModelFolderError | HubError:
    if not _is_hub_id(source):
        return ModelFolderError(f"{source} cannot be read ({_first_line(error)}): download or save the model again")
    return HubError(
        f"no folder {source} here, and the hub gave no model of that name ({_first_line(error)}): download it by hand, "
        f"hf download {source} --local-dir DIR, and pass --model DIR"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

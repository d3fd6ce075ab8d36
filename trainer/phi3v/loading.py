"""Open a model folder, or refuse it in one line that says why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoProcessor, GenerationConfig, PreTrainedConfig
from transformers.utils import GENERATION_CONFIG_NAME

from ...schema.errors import HubError, ModelFolderError, Phi3VDataError
from ...schema.wording import counted
from .configuration import Phi3VConfig
from .image_processing import Phi3VImageProcessor
from .modeling import Phi3VForCausalLM
from .processing import Phi3VProcessor

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_LONGEST_REASON = 500  # characters


def load_model(source: str | Path, **options: Any) -> Phi3VForCausalLM:
    """Load a Phi-3-vision model from a folder or the hub; no code of it is run.

    Args:
        source: a folder in the published form, or a hub id.
        options: as `from_pretrained` takes them (`dtype`, `attn_implementation`, `quantization_config`, ...).

    Raises:
        ModelFolderError: the folder is missing, incomplete, damaged, or of another model.
        HubError: the hub cannot be reached or lacks the model.
    """
    check_model_source(source, **options)
    options = {"dtype": "auto", **options, "use_safetensors": True, "trust_remote_code": False}
    # Reported, and refused below in one line, instead of in a table.
    options["ignore_mismatched_sizes"] = True
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(str(source), output_loading_info=True, **options)
    except OSError as error:
        raise _unreadable(source, error) from error
    model, report = loaded
    missing, mismatched = sorted(report["missing_keys"]), sorted(report["mismatched_keys"])
    if missing:
        raise ModelFolderError(
            f"{source} lacks {len(missing)} of the model's tensors ({missing[0]} ...): download or save it again"
        )
    if mismatched:
        name, found, expected = mismatched[0]
        raise ModelFolderError(
            f"{source} has {counted(len(mismatched), 'tensor')} of another shape than config.json says ({name} is "
            f"{list(found)}, not {list(expected)}): take both from one model"
        )
    if not isinstance(model, Phi3VForCausalLM):
        raise ModelFolderError(f"{source} holds a {type(model).__name__}; expected Phi-3-vision")
    return model


def load_processor(source: str | Path, **options: Any) -> Phi3VProcessor:
    """Load the processor of a Phi-3-vision model.

    Args:
        source: a folder in the published form, or a hub id.
        options: in place of `preprocessor_config.json`'s own values (`num_crops`), or of the hub client's.

    Raises:
        ModelFolderError: the folder is missing or holds no such processor.
        HubError: the hub cannot be reached or lacks the model.
    """
    if _is_hub_id(source):
        _check_hub_model(str(source), options)
    else:
        folder = Path(source)
        _check_exists(folder)
        for name in ("preprocessor_config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ModelFolderError(f"{folder} has no {name}: copy it from the model it was made from")
        _check_tokenizer(folder / "tokenizer.json")
    with _damage_is_one_error(source):
        processor: Any = AutoProcessor.from_pretrained(str(source), trust_remote_code=False, **options)
    for part, expected in (
        (processor, Phi3VProcessor),
        (getattr(processor, "image_processor", None), Phi3VImageProcessor),
    ):
        if not isinstance(part, expected):
            raise ModelFolderError(f"{source} holds a {type(part).__name__}; expected Phi-3-vision's own")
    ours: Phi3VProcessor = processor
    return ours


def load_config(source: str | Path) -> Phi3VConfig:
    """Load the configuration of a Phi-3-vision model, without its weights.

    Args:
        source: a folder with the published `config.json`, or a hub id.

    Raises:
        ModelFolderError: the folder is missing or holds another model's.
        HubError: the hub cannot be reached or lacks the model.
    """
    if _is_hub_id(source):
        _check_hub_model(str(source), {})
    else:
        _check_folder(Path(source))
    with _damage_is_one_error(source):
        config: Phi3VConfig = Phi3VConfig.from_pretrained(str(source))
    return config


def check_model_source(source: str | Path, **options: Any) -> None:
    """Find out cheaply whether this can be a model of this kind.

    Args:
        source: a folder in the published form, or a hub id.
        options: as `load_model` takes them; the hub's (`cache_dir`, `revision`, `token`) count.

    Raises:
        ModelFolderError: it cannot; one line says why.
        HubError: the hub cannot be reached or lacks the model.
    """
    if _is_hub_id(source):
        _check_hub_model(str(source), options)
    else:
        folder = Path(source)
        _check_folder(folder)
        if (folder / GENERATION_CONFIG_NAME).is_file():
            with _damage_is_one_error(source):
                GenerationConfig.from_pretrained(folder)
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
        raise ModelFolderError(f"{folder} is not a model folder, it has no config.json: pass the folder that has it")
    _check_settings(folder, _read_json(file))


def _check_hub_model(source: str, options: dict[str, Any]) -> None:
    of_the_hub = {name: options[name] for name in ("cache_dir", "revision", "token") if name in options}
    try:
        settings, _ = PreTrainedConfig.get_config_dict(source, **of_the_hub)
    except OSError as error:
        manually = f"download it by hand, hf download {source} --local-dir DIR, and name DIR"
        if HF_HUB_OFFLINE:
            raise HubError(
                f"no folder {source} here, nothing of it in the cache, and HF_HUB_OFFLINE is set: unset it to fetch "
                f"the model, or {manually}"
            ) from error
        # The rest is advice for other programs.
        why = _in_one_line(error).partition(". ")[0]
        raise HubError(f"no folder {source} here, and the hub has no model of that name ({why}): {manually}") from error
    _check_settings(source, settings)


def _check_settings(source: str | Path, settings: Any) -> None:
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind != Phi3VConfig.model_type:
        raise ModelFolderError(
            f"{source} holds a model of type {kind!r}; expected {Phi3VConfig.model_type!r}: "
            "Phi-3-vision or Phi-3.5-vision"
        )
    try:
        Phi3VConfig(**settings)
    except (StrictDataclassError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{source}: its config.json describes no such model ({_in_one_line(error)}): take the original's"
        ) from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{file} is not JSON ({error}): download or save the model again") from error


def _check_tokenizer(file: Path) -> None:
    content = _read_json(file)
    if not isinstance(content, dict) or not {"model", "added_tokens"} <= content.keys():
        raise ModelFolderError(f"{file} is not a tokenizer: copy it from the model it was made from")


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        raise ModelFolderError(f"{folder} has no weights: neither {_WEIGHTS} nor {_INDEX}")
    content = _read_json(index)
    files = content.get("weight_map") if isinstance(content, dict) else None
    named = list(files.values()) if isinstance(files, dict) else []
    # A name that leads elsewhere would read a stranger's choice of file.
    if not named or not all(isinstance(name, str) and Path(name).name == name for name in named):
        raise ModelFolderError(f"{index} is not an index of weights in this folder: download or save the model again")
    names = sorted(set(named))
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


@contextmanager
def _damage_is_one_error(source: str | Path) -> Iterator[None]:
    """Say in one line that settings cannot be read: damaged ones make the libraries raise errors of every kind.

    Raises:
        ModelFolderError: from within the block: whatever is not this package's own.
    """
    try:
        yield
    except (Phi3VDataError, ImportError):
        raise
    except Exception as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str | Path, error: Exception) -> ModelFolderError:
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    why = f"{kind}{_in_one_line(error)[:_LONGEST_REASON]}"
    return ModelFolderError(f"{source} cannot be read ({why}): download or save the model again")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Find a model's tokenizer and crop sizes from its files alone: no torch, no transformers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec

from ..schema.dependencies import require
from ..schema.errors import HubError, ModelFolderError
from ..schema.index import Counting
from ..schema.vision_tokens import VisionGeometry

DEFAULT_MODEL = "microsoft/Phi-3.5-vision-instruct"

_TOKENIZER = "tokenizer.json"
_PREPROCESSOR = "preprocessor_config.json"
_IMAGE_TOKEN_ID = 32044  # <|image|> of the published tokenizer


class _Preprocessor(msgspec.Struct):
    """As much of `preprocessor_config.json` as counting needs; the published file leaves the crop size out."""

    num_crops: int = 4
    num_img_tokens: int = 144
    crop_size: int = 336


def find_counting(model: str | None, num_crops: int | None = None) -> tuple[Counting | None, str]:
    """Return what a model counts by, and its name.

    Args:
        model: a folder or a hub id; None for the default model, if it was fetched before.
        num_crops: most crops an image, in place of the model's own.

    Returns:
        None and "" where no model was named and the default one is not here.

    Raises:
        ModelFolderError: a folder that lacks a tokenizer, or holds a damaged one.
        HubError: a model that is not here and cannot be fetched.
        MissingDependencyError: the package tokenizers is not installed.
    """
    name = model or DEFAULT_MODEL
    folder = _folder(name, fetch=model is not None)
    if folder is None:
        return None, ""
    require("tokenizers", purpose="counting tokens", extra="train")
    found = _read(folder)
    return (found if num_crops is None else replace(found, num_crops=num_crops)), name


def _folder(name: str, *, fetch: bool) -> Path | None:
    if Path(name).is_dir():
        # A run's folder keeps its model in a folder of its own.
        inner = Path(name) / "model"
        return inner if (Path(name) / "run.json").is_file() and inner.is_dir() else Path(name)
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not fetch:
        cached = huggingface_hub.try_to_load_from_cache(name, _TOKENIZER)
        return Path(cached).parent if isinstance(cached, str) else None
    try:
        huggingface_hub.hf_hub_download(name, _PREPROCESSOR)
        return Path(huggingface_hub.hf_hub_download(name, _TOKENIZER)).parent
    except HFValidationError as error:
        raise ModelFolderError(
            f"--model {name}: no such folder, and not a hub id such as owner/name; name one of the two"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        offline = "HF_HUB_OFFLINE is set: unset it"
        reason = offline if huggingface_hub.constants.HF_HUB_OFFLINE else " ".join(str(error).split())
        what = f"--model {name}: its tokenizer is not here and cannot be fetched ({reason})"
        raise HubError(f"{what}; or name a model folder") from error


def _read(folder: Path) -> Counting:
    from tokenizers import Tokenizer

    path = folder / _TOKENIZER
    if not path.is_file():
        raise ModelFolderError(f"{folder}: no model folder (it holds no {_TOKENIZER})")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelFolderError(f"{path}: cannot be read ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        settings = msgspec.json.decode((folder / _PREPROCESSOR).read_bytes(), type=_Preprocessor)
    except FileNotFoundError:
        settings = _Preprocessor()
    except (OSError, msgspec.DecodeError) as error:
        raise ModelFolderError(f"{folder / _PREPROCESSOR}: cannot be read ({error})") from error
    geometry = VisionGeometry(settings.crop_size, math.isqrt(settings.num_img_tokens))
    image_token = tokenizer.token_to_id("<|image|>")
    return Counting(
        tokenizer.to_str(), _IMAGE_TOKEN_ID if image_token is None else image_token, settings.num_crops, geometry
    )

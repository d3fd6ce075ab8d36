"""What `--model`, `--checkpoint` and `--init-adapter` name: a model, an adapter, or a run that ended with either."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from ..schema.errors import ModelFolderError, UsageError
from ..storage import is_remote
from .config import TrainConfig
from .strategies.adapter_folder import is_adapter, read_adapter_config

TINY = "tiny"
_RUN = "run.json"


class ModelSource(NamedTuple):
    """Where a model is loaded from.

    Args:
        base: a model folder, a hub id, or 'tiny'.
        adapter: the folder of the adapter on it; None where there is none.
        processor: where the processor is; named as `base` is.
        run: the configuration of the run that made it; None where that is not known.
    """

    base: str
    adapter: Path | None
    processor: str
    run: TrainConfig | None


def find_model(name: str) -> ModelSource:
    """Find out what a name stands for.

    Args:
        name: a run's folder, its checkpoint, a model or adapter folder, a hub id, or 'tiny'.

    Raises:
        ModelFolderError: a run that saved no model, a broken adapter, or an address of an object store.
    """
    if is_remote(name):
        raise ModelFolderError(f"{name}: models are read from this machine; copy that folder here and name the copy")
    folder = Path(name)
    if name == TINY or not folder.is_dir():
        return ModelSource(name, None, name, None)
    if (folder / _RUN).is_file():
        folder = folder / "model"
        if not folder.is_dir():
            raise ModelFolderError(f"{name}: this run has saved no model, it ended early: rerun it to resume")
    elif (folder / "model").is_dir():  # a checkpoint of a run
        folder = folder / "model"
    # A run's model lies in its folder, a checkpoint's one level further down.
    around = (folder.parent, folder.parent.parent) if folder.name == "model" else ()
    run = next((config for each in around if (config := _run_config(each)) is not None), None)
    if not is_adapter(folder):
        return ModelSource(str(folder), None, str(folder), run)
    base = read_adapter_config(folder).base_model_name_or_path
    if Path(base).is_absolute() and not Path(base).is_dir():
        raise ModelFolderError(
            f"{folder} is an adapter for the model in {base}, which is not there: put it back, or write its place into "
            "adapter_config.json as base_model_name_or_path"
        )
    has_processor = (folder / "preprocessor_config.json").is_file()
    return ModelSource(base, folder, str(folder) if has_processor else base, run)


def base_source(name: str) -> str:
    """Return the model that a training run starts from.

    Args:
        name: as for `find_model`.

    Raises:
        UsageError: it is an adapter, which is continued by --init-adapter.
        ModelFolderError: see `find_model`.
    """
    source = find_model(name)
    if source.adapter is not None:
        raise UsageError(
            f"--model {name} is an adapter for {source.base}: continue training it by --model {source.base} "
            f"--init-adapter {name}, or merge it first: phi3v-data export {name} --out DIR"
        )
    return source.base


def adapter_source(name: str) -> Path:
    """Return the adapter's folder that `--init-adapter` names.

    Raises:
        UsageError: there is no adapter.
        ModelFolderError: see `find_model`.
    """
    source = find_model(name)
    if source.adapter is None:
        raise UsageError(f"--init-adapter {name} is not an adapter: pass an adapter's folder, or a lora run's")
    return source.adapter


class _RunFile(msgspec.Struct):
    config: TrainConfig


def _run_config(folder: Path) -> TrainConfig | None:
    file = folder / _RUN
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=_RunFile).config
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFolderError(f"{file} does not describe a run ({error}): pass the folder of its model") from error

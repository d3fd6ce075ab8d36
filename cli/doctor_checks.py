"""What works on this machine, what does not, and how to get it: one check after another."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from .. import __version__
from ..schema.cores import core_count
from ..schema.wording import counted

Status = Literal["works", "missing", "slow", "fails"]

_DATA = (
    "av",
    "opencv-python-headless",
    "pillow",
    "numpy",
    "pyarrow",
    "simplejpeg",
    "datasets",
    "huggingface_hub",
    "webdataset",
)
_TRAINING = ("torch", "transformers", "peft", "safetensors", "tokenizers", "tensorboard")
EXTRAS = (
    ("bitsandbytes", "qlora", "4-bit weights: train --strategy qlora"),
    ("deepspeed", "deepspeed", "ZeRO: optimizer states spread over GPUs"),
    ("flash_attn", "flash", "attention on packed samples: train --attention flash_attention_2"),
    ("liger_kernel", "liger", "a fused loss, less memory for logits: train --set model.fused_loss=true"),
    ("wandb", "wandb", "curves at Weights & Biases: train --track wandb"),
    ("mlflow", "mlflow", "curves in MLflow: train --track mlflow"),
    ("ray", "ray", "conversion on a cluster: convert --engine ray"),
    ("s3fs", "s3", "s3:// addresses"),
    ("zstandard", "zstd", "records compressed by Zstandard: .jsonl.zst"),
    ("decord", "decord", "another decoder of clips: convert --decoder decord"),
)
"""Module, extra of this package, what it is for; of the extras beside `train` and `dev`."""

_GIGABYTE = 1e9
_LITTLE_DISK = 20
# Weights of Phi-3.5-vision in half precision, and room to train adapters on them.
_SMALLEST_GPU = 16


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Args:
        name: what.
        status: `works`; `missing`: not there, and not needed for the rest; `slow`: works, but there is something
            faster; `fails`: a command that needs it will not run.
        detail: what was found.
        advice: what to do about it; "" where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def all_checks() -> Iterator[tuple[str, list[Check]]]:
    """Yield the checks, group by group."""
    yield "Versions", list(_versions())
    yield "Training", list(_training())
    yield "Extras", list(_extras())
    yield "Hub", list(_hub())
    yield "Disk", list(_disk())


def _versions() -> Iterator[Check]:
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Check(name="phi3v-data", status="works", detail=f"{__version__}; {where}; {counted(core_count(), 'core')}")
    for package in _DATA:
        version = _version(package)
        if version:
            yield Check(name=package, status="works", detail=version)
        else:
            yield Check(name=package, status="fails", detail="not installed", advice="pip install phi3v-data")


def _training() -> Iterator[Check]:
    absent = [package for package in _TRAINING if not _version(package)]
    if absent:
        detail = f"not installed: {', '.join(absent)}"
        yield Check(name="training", status="missing", detail=detail, advice="pip install 'phi3v-data[train]'")
        return
    for package in _TRAINING:
        yield Check(name=package, status="works", detail=_version(package))
    import torch

    if not torch.cuda.is_available():
        built = "torch was built without CUDA" if torch.version.cuda is None else "no CUDA device is seen"
        advice = (
            "install a CUDA build of torch, and check nvidia-smi; a CPU trains the tiny model only (phi3v-data demo)"
        )
        yield Check(name="GPU", status="slow", detail=f"none: {built}", advice=advice)
        yield Check(name="attention", status="works", detail="SDPA, on the CPU")
        return
    for number in range(torch.cuda.device_count()):
        yield _gpu(torch, number)
    yield _attention(torch)


def _gpu(torch: Any, number: int) -> Check:
    found = torch.cuda.get_device_properties(number)
    memory = found.total_memory / _GIGABYTE
    detail = f"{found.name}, {memory:.0f} GB, compute capability {found.major}.{found.minor}"
    if memory < _SMALLEST_GPU:
        advice = "too little for Phi-3.5-vision in half precision: train --strategy qlora, or a larger GPU"
        return Check(name=f"GPU {number}", status="slow", detail=detail, advice=advice)
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return Check(name=f"GPU {number}", status="slow", detail=f"{detail}; no bf16", advice="train --precision fp16")
    return Check(name=f"GPU {number}", status="works", detail=detail)


def _attention(torch: Any) -> Check:
    if _has("flash_attn"):
        return Check(name="attention", status="works", detail=f"flash-attn {_version('flash-attn')}")
    major, _ = torch.cuda.get_device_capability()
    if major >= 8 and _has("torch.nn.attention.varlen"):
        return Check(name="attention", status="works", detail="torch's varlen kernel, on packed samples")
    advice = "pip install 'phi3v-data[flash]'" if major >= 8 else "a GPU of compute capability 8.0 or more"
    return Check(name="attention", status="slow", detail="SDPA", advice=f"faster on packed samples: {advice}")


def _extras() -> Iterator[Check]:
    for module, extra, purpose in EXTRAS:
        if _has(module):
            yield Check(name=module, status="works", detail=f"{_version(module)}; {purpose}")
        else:
            install = f"pip install 'phi3v-data[{extra}]'"
            yield Check(name=module, status="missing", detail=purpose, advice=install)


def _hub() -> Iterator[Check]:
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        advice = "unset HF_HUB_OFFLINE to fetch or push"
        yield Check(name="hub", status="missing", detail="switched off by HF_HUB_OFFLINE", advice=advice)
    else:
        yield Check(name="hub", status="works", detail=f"{constants.ENDPOINT} (not asked: this reaches no network)")
    if huggingface_hub.get_token() is None:
        advice = "hf auth login, for private repositories and push"
        yield Check(name="token", status="missing", detail="none", advice=advice)
    else:
        yield Check(name="token", status="works", detail="there is one")


def _disk() -> Iterator[Check]:
    from huggingface_hub import constants

    places = {"here": Path.cwd(), "hub cache": Path(constants.HF_HUB_CACHE)}
    places["tables"] = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name, path in places.items():
        there = next(above for above in (path, *path.parents) if above.exists())
        free = shutil.disk_usage(there).free / _GIGABYTE
        detail = f"{path}: {free:,.0f} GB free"
        if not os.access(there, os.W_OK):
            yield Check(name=name, status="fails", detail=f"{path}: cannot be written", advice="choose another place")
        elif free < _LITTLE_DISK:
            advice = "Phi-3.5-vision takes 8.3 GB, a checkpoint of full training several times that"
            yield Check(name=name, status="slow", detail=detail, advice=advice)
        else:
            yield Check(name=name, status="works", detail=detail)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

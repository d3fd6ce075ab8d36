"""Every extra that is offered: what needs it, and the one line that names it where it is not installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from colours import colour_records, write_dataset
from command_line import typed

from phi3v_data.cli.doctor_checks import EXTRAS
from phi3v_data.schema.errors import MissingDependencyError
from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.processes import Processes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "train data --model tiny --precision fp32 --set evaluation.enabled=false"

# The module that an extra brings, and a command that needs it.
NEEDED = {
    "train": ("tensorboard", "estimate data --model tiny"),
    "qlora": ("bitsandbytes", f"{TRAIN} --strategy qlora"),
    "deepspeed": ("deepspeed", ""),  # several processes need it, see below
    "flash": ("flash_attn", f"{TRAIN} --attention flash_attention_2"),
    "liger": ("liger_kernel", f"{TRAIN} --set model.fused_loss=true"),
    "wandb": ("wandb", f"{TRAIN} --track wandb"),
    "mlflow": ("mlflow", f"{TRAIN} --track mlflow"),
    "ray": ("ray", "convert --source image-folder --input data/images --out made --engine ray"),
    "s3": ("s3fs", "validate s3://bucket/data"),
    "zstd": ("zstandard", "validate packed_train.jsonl.zst"),
    "decord": ("decord", "convert --source ucf101 --input data --out made --decoder decord"),
}


def offered() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"]) - {"dev"}


def test_every_extra_has_a_command_that_needs_it_and_is_shown_by_doctor() -> None:
    assert set(NEEDED) == offered()
    assert {extra: module for module, extra, _ in EXTRAS} == {
        extra: module for extra, (module, _) in NEEDED.items() if extra != "train"
    }


@pytest.mark.parametrize("extra", [extra for extra, (_, line) in NEEDED.items() if line])
def test_what_is_not_installed_is_one_line_with_the_extra_that_brings_it(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    module, line = NEEDED[extra]
    write_dataset(tmp_path / "data", {"train": colour_records("train", 2)})
    (tmp_path / "packed_train.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    monkeypatch.chdir(tmp_path)
    # As where it is not installed: it is neither found nor imported, and no earlier test has left it to fsspec.
    monkeypatch.setitem(sys.modules, module, None)
    known = vars(importlib.import_module("fsspec.registry"))["_registry"]
    monkeypatch.delitem(known, extra, raising=False)
    answer = typed(capfd, *line.split())
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("phi3v-data: ")
    assert answer.err.endswith(f": pip install 'phi3v-data[{extra}]'\n"), answer.err


def test_without_deepspeed_its_backends_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from phi3v_data.trainer.backends.deepspeed import DeepSpeed

    monkeypatch.setitem(sys.modules, "deepspeed", None)
    config = make_config({"model.precision": "fp32", "backend": "zero2"})
    with pytest.raises(MissingDependencyError, match=r"zero2 needs .*: pip install 'phi3v-data\[deepspeed\]'$"):
        DeepSpeed(config, Processes(), 2)

"""An adapter folder is loaded as it was saved, or refused in one line that names the file and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import adapter_settings
from peft import PeftModel
from safetensors.torch import load_file, save_file

from phi3v_data.schema.errors import ModelFolderError
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.model_folder import load_for_evaluation, load_trainable, save_model
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor
from phi3v_data.trainer.strategies.adapter_folder import load_adapter, read_adapter_config

Run = Callable[..., TrainConfig]
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LORA = {"strategy": "lora", "lora.rank": 4}


@torch.no_grad()
def _with_values(model: Phi3VForCausalLM) -> Phi3VForCausalLM:
    """Give new adapters, which change nothing yet, values that do."""
    noise = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.copy_(0.1 * torch.randn(value.shape, generator=noise))
    return model


def _logits(model: Phi3VForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(torch.arange(3, 40)[None]).logits
    return logits


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_runs import tiny_config

    folder = tmp_path_factory.mktemp("adapter")
    save_model(_with_values(load_trainable(tiny_config(_LORA))), tiny_processor(), folder, torch.float32)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the adapter, to be spoiled."""
    return shutil.copytree(saved, tmp_path / "adapter")


@pytest.mark.parametrize("option", [{}, {"lora.dora": True}, {"lora.rslora": True}, {"lora.vision": False}])
def test_an_adapter_is_loaded_as_it_was_saved(tiny_run: Run, tmp_path: Path, option: dict[str, object]) -> None:
    model = _with_values(load_trainable(tiny_run({**_LORA, **option})))
    save_model(model, tiny_processor(), tmp_path, torch.float32)
    assert {path.name for path in tmp_path.iterdir()} >= {_CONFIG, _WEIGHTS, "preprocessor_config.json"}
    assert not (tmp_path / "README.md").exists()
    loaded, _ = load_for_evaluation(tiny_run({"model.name": str(tmp_path)}))
    assert torch.equal(_logits(loaded), _logits(model))
    assert not [name for name, value in loaded.named_parameters() if value.requires_grad]


def test_peft_itself_loads_what_is_saved(saved: Path) -> None:
    ours = load_adapter(tiny_model(), saved, trainable=False)
    theirs = PeftModel.from_pretrained(tiny_model(), saved)
    assert torch.equal(_logits(ours), _logits(theirs))


def test_training_continues_from_an_adapter_with_its_rank_and_values(tiny_run: Run, saved: Path) -> None:
    model = load_trainable(tiny_run({"strategy": "lora", "model.init_adapter": str(saved)}))
    assert adapter_settings(model).r == 4
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if "lora_" in name}
    loaded, _ = load_for_evaluation(tiny_run({"model.name": str(saved)}))
    assert torch.equal(_logits(model), _logits(loaded))


def _change(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        settings = json.loads((folder / _CONFIG).read_text())
        settings.update(changes)
        kept = {name: value for name, value in settings.items() if value != "left out"}
        (folder / _CONFIG).write_text(json.dumps(kept))

    return change


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def _torn(folder: Path) -> None:
    weights = folder / _WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


def _without_weights(folder: Path) -> None:
    (folder / _WEIGHTS).unlink()


def _rewrite(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / _WEIGHTS)
        change(tensors)
        save_file(tensors, folder / _WEIGHTS)

    return rewrite


def _lose_one(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[sorted(tensors)[0]]


def _add_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["somebody.elses"] = torch.ones(1)


def _cut_one(tensors: dict[str, torch.Tensor]) -> None:
    name = sorted(tensors)[0]
    tensors[name] = tensors[name][:1].clone()


@pytest.mark.parametrize(
    ("spoil", "file", "message"),
    [
        (_write(_CONFIG, b""), _CONFIG, "not valid JSON"),
        (_write(_CONFIG, b"{"), _CONFIG, "not valid JSON"),
        (_write(_CONFIG, b"\xff\xfe"), _CONFIG, "not valid JSON"),
        (_write(_CONFIG, b"[" * 100_000), _CONFIG, "not valid JSON"),
        (_write(_CONFIG, b"[]"), _CONFIG, "a JSON list, expected an object"),
        (_change(peft_type="left out"), _CONFIG, "peft_type is None, expected 'LORA'"),
        (_change(peft_type="IA3"), _CONFIG, "peft_type is 'IA3', expected 'LORA'"),
        (_change(base_model_name_or_path="left out"), _CONFIG, "base_model_name_or_path"),
        (_change(base_model_name_or_path=None), _CONFIG, "base_model_name_or_path"),
        (_change(r="many"), _CONFIG, r"`\$\.r`"),
        (_change(r=0), _CONFIG, r"`\$\.r`"),
        (_change(r=10_000_000), _CONFIG, "rank is 10000000; expected 1 to 96"),
        (_change(lora_alpha=-1), _CONFIG, "lora_alpha"),
        (_change(target_modules="left out"), _CONFIG, "target_modules"),
        (_change(target_modules=".*(a+)+$"), _CONFIG, "target_modules"),
        (_change(target_modules=["no_such_layer"]), _CONFIG, "not an adapter for this model"),
        (_change(target_modules=["qkv_proj"]), _WEIGHTS, "names that differ"),
        (_change(modules_to_save=["lm_head"]), _CONFIG, "modules_to_save is .* not supported"),
        (_change(rank_pattern={"q_proj": 10_000_000}), _CONFIG, "rank_pattern is .* not supported"),
        (_change(bias="all"), _CONFIG, "bias is 'all', expected 'none'"),
        (_change(r=8), _WEIGHTS, r"is \[4, \d+\], expected \[8, \d+\]"),
        (_torn, _WEIGHTS, "is damaged"),
        (_write(_WEIGHTS, b""), _WEIGHTS, "is damaged"),
        (_write(_WEIGHTS, b"version https://git-lfs.github.com/spec/v1"), _WEIGHTS, "is damaged"),
        (_without_weights, _WEIGHTS, "has no adapter_model.safetensors"),
        (_rewrite(_lose_one), _WEIGHTS, "lacks .* names that differ: 1"),
        (_rewrite(_add_one), _WEIGHTS, "has an unexpected somebody.elses"),
        (_rewrite(_cut_one), _WEIGHTS, "expected"),
    ],
)
def test_a_broken_adapter_is_refused_in_one_line_that_names_the_file(
    folder: Path, tiny_run: Run, spoil: Callable[[Path], None], file: str, message: str
) -> None:
    spoil(folder)
    for load in (
        lambda: load_for_evaluation(tiny_run({"model.name": str(folder)})),
        lambda: load_trainable(tiny_run({"strategy": "lora", "model.init_adapter": str(folder)})),
    ):
        with pytest.raises(ModelFolderError, match=message) as raised:
            load()
        line = str(raised.value)
        assert "\n" not in line
        assert file in line
        assert str(folder) in line
        assert line.rstrip().endswith(("again", "from one run"))


def test_a_folder_without_the_file_is_not_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="has no adapter_config"):
        read_adapter_config(tmp_path)


def test_an_adapter_of_another_model_is_refused(folder: Path) -> None:
    from phi3v_data.trainer.phi3v import Phi3VConfig
    from phi3v_data.trainer.phi3v.tiny import tiny_config

    wider = Phi3VForCausalLM(Phi3VConfig(**{**tiny_config().to_diff_dict(), "intermediate_size": 64}))
    with pytest.raises(ModelFolderError, match="take the adapter's files and the base model from one run"):
        load_adapter(wider, folder, trainable=False)

"""What a model's name stands for, what a saved folder holds, and what training leaves behind: nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import adapter_settings
from safetensors.torch import load_file

from phi3v_data.schema.errors import ModelFolderError, UsageError
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.model_folder import load_for_evaluation, load_trainable, save_model, save_weights
from phi3v_data.trainer.model_source import find_model
from phi3v_data.trainer.phi3v.loading import load_model
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor, write_tiny

Run = Callable[..., TrainConfig]


def _run(path: Path, model: Callable[[Path], object], **config: object) -> Path:
    """A run's folder, with a model in it."""
    model(path / "model")
    (path / "run.json").write_text(json.dumps({"config": config}))
    return path


def _adapter(folder: Path, run: Run, **settings: object) -> Path:
    save_model(
        load_trainable(run({"strategy": "lora", "lora.rank": 4, **settings})), tiny_processor(), folder, torch.float32
    )
    return folder


def test_a_runs_folder_stands_for_its_model_wherever_a_model_is_named(tmp_path: Path, tiny_run: Run) -> None:
    run = _run(tmp_path / "run", lambda folder: write_tiny(folder, seed=3))
    source = find_model(str(run))
    assert (source.base, source.adapter, source.processor) == (str(run / "model"), None, str(run / "model"))
    expected = tiny_model(seed=3).lm_head.weight
    trained = load_trainable(tiny_run({"model.name": str(run)}))
    evaluated, _ = load_for_evaluation(tiny_run({"model.name": str(run)}))
    assert torch.equal(trained.lm_head.weight, expected)
    assert torch.equal(evaluated.lm_head.weight, expected)


def test_a_run_that_ended_early_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="has saved no model, it ended early: rerun it to resume"):
        find_model(str(tmp_path))


def test_a_run_json_that_does_not_describe_a_run_is_refused_by_name(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", write_tiny)
    (run / "run.json").write_text('{"config": {"strategy": "half"}}')
    with pytest.raises(ModelFolderError, match=r"run\.json does not describe a run"):
        find_model(str(run))


def test_an_adapter_as_the_model_of_a_run_says_what_it_is_and_what_to_do(tmp_path: Path, tiny_run: Run) -> None:
    adapter = _adapter(tmp_path, tiny_run)
    with pytest.raises(UsageError, match=f"--model {adapter} is an adapter for tiny: .* --init-adapter {adapter}"):
        load_trainable(tiny_run({"model.name": str(adapter)}))


@pytest.mark.parametrize("strategy", ["full", "frozen-vision"])
def test_an_adapter_is_continued_by_strategies_with_adapters_only(tmp_path: Path, tiny_run: Run, strategy: str) -> None:
    adapter = _adapter(tmp_path, tiny_run)
    with pytest.raises(UsageError, match=f"--init-adapter with --strategy {strategy}; expected lora or qlora"):
        load_trainable(tiny_run({"strategy": strategy, "model.init_adapter": str(adapter)}))


def test_a_model_is_not_an_adapter_to_continue_from(tmp_path: Path, tiny_run: Run) -> None:
    write_tiny(tmp_path)
    with pytest.raises(UsageError, match="is not an adapter: pass an adapter's folder, or a lora run's"):
        load_trainable(tiny_run({"strategy": "lora", "model.init_adapter": str(tmp_path)}))


def test_a_run_of_adapters_is_continued_by_its_folder(tmp_path: Path, tiny_run: Run) -> None:
    run = _run(tmp_path / "run", lambda folder: _adapter(folder, tiny_run))
    model = load_trainable(tiny_run({"strategy": "lora", "model.init_adapter": str(run)}))
    assert adapter_settings(model).r == 4


def test_an_adapter_finds_the_local_model_it_was_trained_on_from_any_folder(
    tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "base", seed=5)
    monkeypatch.chdir(tmp_path)
    adapter = _adapter(tmp_path / "adapter", tiny_run, **{"model.name": "base"})
    monkeypatch.chdir("/")
    loaded, _ = load_for_evaluation(tiny_run({"model.name": str(adapter)}))
    embeddings, expected = (each.get_input_embeddings().state_dict() for each in (loaded, tiny_model(seed=5)))
    assert torch.equal(embeddings["weight"], expected["weight"])
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(ModelFolderError, match=f"is an adapter for the model in {tmp_path}/base, which is not there"):
        find_model(str(adapter))


@pytest.mark.parametrize("strategy", ["lora", "qlora"])
def test_a_run_is_evaluated_on_weights_as_it_was_trained_on(tmp_path: Path, tiny_run: Run, strategy: str) -> None:
    run = _run(tmp_path / "run", lambda folder: _adapter(folder, tiny_run, strategy=strategy), strategy=strategy)
    model, _ = load_for_evaluation(tiny_run({"model.name": str(run)}))
    assert any(value.dtype == torch.uint8 for value in model.parameters()) == (strategy == "qlora")


def test_trained_weights_are_cast_when_they_are_saved(tmp_path: Path, tiny_run: Run) -> None:
    model = load_trainable(tiny_run({"strategy": "full", "model.precision": "bf16"}))
    save_model(model, tiny_processor(), tmp_path, torch.bfloat16)
    saved = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    # The model itself goes on in float32.
    assert model.lm_head.weight.dtype == torch.float32
    assert torch.equal(load_model(tmp_path).lm_head.weight, model.lm_head.weight.bfloat16())


@pytest.mark.parametrize("strategy", ["full", "frozen-vision", "lora"])
def test_a_saved_configuration_is_the_models_own_after_training(tmp_path: Path, tiny_run: Run, strategy: str) -> None:
    before = write_tiny(tmp_path / "before")
    settings = {"model.name": str(before), "strategy": strategy, "model.gradient_checkpointing": 1, "lora.rank": 4}
    model = load_trainable(tiny_run(settings))
    ids = torch.arange(3, 40)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert not [name for name, module in model.named_modules() if module._forward_hooks or module._forward_pre_hooks]
    if strategy == "lora":
        adapted: Any = model
        model = adapted.merge_and_unload()
    save_weights(model, model.state_dict(), tmp_path / "after", torch.float32)
    for name in ("config.json", "generation_config.json"):
        written, original = (json.loads((tmp_path / when / name).read_text()) for when in ("after", "before"))
        assert written == original
    assert model.config.use_cache is True


def test_a_whole_state_gathered_elsewhere_is_what_is_saved(tmp_path: Path, tiny_run: Run) -> None:
    model = load_trainable(tiny_run({"strategy": "full"}))
    state = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    save_model(model, tiny_processor(), tmp_path / "whole", torch.float32, state)
    assert all((tensor == 0.5).all() for tensor in load_file(tmp_path / "whole" / "model.safetensors").values())
    adapted = load_trainable(tiny_run({"strategy": "lora", "lora.rank": 4}))
    state = {name: torch.full_like(value, 0.5) for name, value in adapted.state_dict().items()}
    save_model(adapted, tiny_processor(), tmp_path / "adapter", torch.float32, state)
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert weights
    assert all((tensor == 0.5).all() for tensor in weights.values())


def test_weights_in_several_files_load_as_one_model(tmp_path: Path) -> None:
    model = tiny_model()
    save_weights(model, model.state_dict(), tmp_path, torch.float32, shard_size="200KB")
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 1
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(files)
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())

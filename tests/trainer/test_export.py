"""An exported folder is what others load: its names, its files, and the adapter's model in it."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from phi3v_data.schema.errors import ModelFolderError, OutputError, UsageError
from phi3v_data.trainer import export
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.export import BESIDE, ExportOptions, export_model
from phi3v_data.trainer.model_folder import load_for_evaluation, load_trainable, save_model
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.loading import load_model
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor, write_tiny

Run = Callable[..., TrainConfig]
_PROMPT = "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n"

# The files that an exported folder holds, whatever loads it: vLLM, the published code, transformers.
_FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
# Settings that vLLM's Phi-3-V and the published configuration read.
_SETTINGS = {
    "architectures",
    "embd_layer",
    "hidden_size",
    "img_processor",
    "intermediate_size",
    "max_position_embeddings",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "torch_dtype",
    "vocab_size",
}
_PREPROCESSOR = {
    "do_convert_rgb",
    "image_mean",
    "image_processor_type",
    "image_std",
    "num_crops",
    "num_img_tokens",
    "processor_class",
}
# What vLLM's mapper of Phi-3-V renames, and the names that its language model and the published code take as they are.
_VISION = r"model\.vision_embed_tokens\."
_TOWER = _VISION + r"img_processor\.vision_model\."
_NAMES = re.compile(
    r"lm_head\.weight|model\.(embed_tokens|norm)\.weight"
    r"|model\.layers\.\d+\.(self_attn\.(qkv|o)_proj|mlp\.(gate_up|down)_proj|(input|post_attention)_layernorm)\.weight"
    rf"|{_VISION}(glb_GN|sub_GN|img_projection\.[02]\.(weight|bias))"
    rf"|{_TOWER}(embeddings\.(class_embedding|(patch|position)_embedding\.weight)|(pre_layrnorm|post_layernorm)\..*"
    r"|encoder\.layers\.\d+\.(self_attn\.[a-z]+_proj|layer_norm[12]|mlp\.fc[12])\.(weight|bias))"
)


@torch.no_grad()
def _trained_adapter(folder: Path, config: TrainConfig) -> Phi3VForCausalLM:
    """An adapter that changes its model, saved."""
    model = load_trainable(config)
    noise = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.copy_(0.05 * torch.randn(value.shape, generator=noise))
    save_model(model, tiny_processor(), folder, torch.float32)
    return model


@torch.no_grad()
def _logits(model: Phi3VForCausalLM) -> Tensor:
    from PIL import Image

    inputs = tiny_processor()(_PROMPT, Image.new("RGB", (40, 30), (200, 30, 30)))
    logits: Tensor = model.eval()(**inputs).logits
    return logits


@pytest.mark.parametrize("option", [{}, {"lora.dora": True}, {"lora.rslora": True}])
def test_a_merged_adapter_is_the_model_that_it_was_trained_as(
    tmp_path: Path, tiny_run: Run, option: dict[str, object]
) -> None:
    expected = _logits(_trained_adapter(tmp_path / "adapter", tiny_run({"strategy": "lora", "lora.rank": 4, **option})))
    assert (expected - _logits(tiny_model())).abs().max() > 0.05
    export_model(str(tmp_path / "adapter"), tmp_path / "out", ExportOptions())
    found = _logits(load_model(tmp_path / "out"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_merged_qlora_adapter_differs_by_the_quantisation_of_its_base_alone(tmp_path: Path, tiny_run: Run) -> None:
    config = tiny_run({"strategy": "qlora", "lora.rank": 4})
    quantised = _logits(load_trainable(config))
    in_4_bits = _logits(_trained_adapter(tmp_path / "adapter", config))
    export_model(str(tmp_path / "adapter"), tmp_path / "out", ExportOptions())
    merged = _logits(load_model(tmp_path / "out"))
    of_quantisation = (quantised - _logits(tiny_model())).std()
    assert (merged - in_4_bits).std() < 1.5 * of_quantisation
    unrounded, _ = load_for_evaluation(tiny_run({"model.name": str(tmp_path / "adapter")}))
    torch.testing.assert_close(merged, _logits(unrounded), rtol=0, atol=1e-5)


def test_an_adapter_is_merged_in_float32_and_then_cast(tmp_path: Path, tiny_run: Run) -> None:
    write_tiny(tmp_path / "base")
    export_model(str(tmp_path / "base"), tmp_path / "half", ExportOptions(dtype=torch.bfloat16))
    settings = {"strategy": "lora", "lora.rank": 4, "model.name": str(tmp_path / "half")}
    _trained_adapter(tmp_path / "adapter", tiny_run(settings))
    export_model(str(tmp_path / "adapter"), tmp_path / "merged", ExportOptions())
    export_model(str(tmp_path / "adapter"), tmp_path / "exact", ExportOptions(dtype=torch.float32))
    half, exact = (load_file(tmp_path / name / "model.safetensors") for name in ("merged", "exact"))
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], tensor.bfloat16()) for name, tensor in exact.items())


def test_an_exported_folder_holds_the_names_and_files_that_others_expect(tmp_path: Path, tiny_run: Run) -> None:
    _trained_adapter(tmp_path / "adapter", tiny_run({"strategy": "lora", "lora.rank": 4}))
    export_model(str(tmp_path / "adapter"), tmp_path / "out", ExportOptions())
    assert {file.name for file in (tmp_path / "out").iterdir()} == _FILES
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as opened:
        names = set(opened.keys())
        assert opened.metadata() == {"format": "pt"}
    assert names == tiny_model().state_dict().keys()
    assert [name for name in names if not _NAMES.fullmatch(name)] == []
    config, preprocessor, generation, tokenizer = (
        json.loads((tmp_path / "out" / name).read_text())
        for name in ("config.json", "preprocessor_config.json", "generation_config.json", "tokenizer_config.json")
    )
    assert config.keys() >= _SETTINGS
    assert config["architectures"] == ["Phi3VForCausalLM"]
    assert config["model_type"] == "phi3_v"
    assert config["rope_scaling"]["type"] == "su"
    assert preprocessor.keys() == {*_PREPROCESSOR, "crop_size"}  # the published file means 336
    assert not [settings for settings in (config, preprocessor, tokenizer) if "auto_map" in settings]
    stops = tiny_processor().tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|end|>"])
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (stops, stops[0])


@pytest.mark.real_data
def test_a_model_with_the_published_vocabulary_stops_at_the_ends_of_a_chat(golden: Path, tmp_path: Path) -> None:
    from phi3v_data.trainer.model_folder import save_weights
    from phi3v_data.trainer.phi3v import Phi3VConfig

    small = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_key_value_heads": 1}
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 2}
    settings = json.loads((golden / "tokenizer" / "config.json").read_text())
    settings |= {**small, "num_hidden_layers": 1, "rope_scaling": None, "vision_config": {**tower, "image_size": 336}}
    settings["vision_config"]["patch_size"] = 14
    model = Phi3VForCausalLM(Phi3VConfig(**settings))
    AutoProcessor.from_pretrained(golden / "tokenizer").save_pretrained(tmp_path / "in")
    save_weights(model, model.state_dict(), tmp_path / "in", torch.float32)
    export_model(str(tmp_path / "in"), tmp_path / "out", ExportOptions())
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"]) == ([32000, 32007], 32000)
    assert "chat_template" in json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())


@pytest.mark.parametrize(("where", "prefix"), [(BESIDE, ""), ("owner/name", "owner/name--")])
def test_published_code_is_named_where_it_is_asked_for(tmp_path: Path, where: str, prefix: str) -> None:
    export_model("tiny", tmp_path / "out", ExportOptions(auto_map=where))
    named = {
        file.name: json.loads(file.read_text()).get("auto_map")
        for file in (tmp_path / "out").glob("*.json")
        if file.name not in ("tokenizer.json", "generation_config.json")
    }
    assert named == {
        "config.json": {
            "AutoConfig": f"{prefix}configuration_phi3_v.Phi3VConfig",
            "AutoModelForCausalLM": f"{prefix}modeling_phi3_v.Phi3VForCausalLM",
        },
        "preprocessor_config.json": {
            "AutoImageProcessor": f"{prefix}processing_phi3_v.Phi3VImageProcessor",
            "AutoProcessor": f"{prefix}processing_phi3_v.Phi3VProcessor",
        },
        "processor_config.json": {"AutoProcessor": f"{prefix}processing_phi3_v.Phi3VProcessor"},
        "tokenizer_config.json": {"AutoProcessor": f"{prefix}processing_phi3_v.Phi3VProcessor"},
    }
    # Our own loading does not look at it.
    loaded: nn.Module = AutoModelForImageTextToText.from_pretrained(tmp_path / "out")
    assert type(loaded) is Phi3VForCausalLM
    assert AutoProcessor.from_pretrained(tmp_path / "out").image_token_id == tiny_processor().image_token_id


def test_an_adapter_is_exported_alone_as_it_is(tmp_path: Path, tiny_run: Run) -> None:
    _trained_adapter(tmp_path / "adapter", tiny_run({"strategy": "lora", "lora.rank": 4}))
    export_model(str(tmp_path / "adapter"), tmp_path / "out", ExportOptions(adapter_only=True))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    first, second = (
        load_for_evaluation(tiny_run({"model.name": str(tmp_path / name)}))[0] for name in ("adapter", "out")
    )
    assert torch.equal(_logits(first), _logits(second))


def test_large_weights_are_written_in_several_files(tmp_path: Path) -> None:
    export_model("tiny", tmp_path / "out", ExportOptions(shard_size="300KB"))
    files = list((tmp_path / "out").glob("model-*.safetensors"))
    assert len(files) > 3
    assert max(file.stat().st_size for file in files) < 310_000
    loaded = load_model(tmp_path / "out").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in tiny_model().state_dict().items())


def test_a_taken_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "out" / "kept.txt"
    kept.parent.mkdir()
    export_model("tiny", tmp_path / "empty", ExportOptions())
    kept.write_text("mine")
    for taken in (kept.parent, kept):
        with pytest.raises(OutputError, match="is not a new or empty folder: choose another one"):
            export_model("tiny", taken, ExportOptions())
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "out"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "save_weights", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); free space"):
        export_model("tiny", tmp_path / "out", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_no_adapter_can_be_exported_alone_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny has no adapter to export alone: leave --adapter-only out"):
        export_model("tiny", tmp_path / "out", ExportOptions(adapter_only=True))


def test_an_adapter_of_infinite_values_is_not_merged(tmp_path: Path, tiny_run: Run) -> None:
    _trained_adapter(tmp_path / "adapter", tiny_run({"strategy": "lora", "lora.rank": 4}))
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    weights[sorted(weights)[0]].fill_(float("inf"))
    save_file(weights, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(ModelFolderError, match="holds NaN or infinite values: train it again"):
        export_model(str(tmp_path / "adapter"), tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()

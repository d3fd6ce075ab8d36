"""What is saved carries the published names, and everything that was ever saved under them loads."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import GoldenNumbers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor

from phi3v_data.trainer.phi3v import Phi3VForCausalLM, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_model

_WTE = "model.vision_embed_tokens.wte.weight"
# The published checkpoint's key names.
_TOWER = r"model\.vision_embed_tokens\.img_processor\.vision_model\."
_NAMES = re.compile(
    r"model\.embed_tokens\.weight|model\.norm\.weight|lm_head\.weight"
    r"|model\.layers\.\d+\.(self_attn\.(qkv_proj|o_proj)|mlp\.(gate_up_proj|down_proj)|input_layernorm"
    r"|post_attention_layernorm)\.weight"
    r"|model\.vision_embed_tokens\.(glb_GN|sub_GN|img_projection\.[02]\.(weight|bias))"
    rf"|{_TOWER}(embeddings\.(class_embedding|patch_embedding\.weight|position_embedding\.weight)"
    r"|(pre_layrnorm|post_layernorm)\.(weight|bias)"
    r"|encoder\.layers\.\d+\.(self_attn\.[kvq]_proj|self_attn\.out_proj|layer_norm[12]|mlp\.fc[12])\.(weight|bias))"
)


def test_saved_weights_have_the_published_names_and_values(golden_numbers: GoldenNumbers, tmp_path: Path) -> None:
    golden_numbers.model().save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == golden_numbers.weights.keys()
    assert all(torch.equal(saved[name], value) for name, value in golden_numbers.weights.items())


def test_a_folder_in_the_published_form_loads(golden_numbers: GoldenNumbers, tmp_path: Path) -> None:
    settings, tower = golden_numbers.settings("")
    config = {**settings, "model_type": "phi3_v", "vision_config": tower}
    assert config["rope_scaling"]["type"] == "su"
    (tmp_path / "config.json").write_text(json.dumps(config))
    # A file saved by torch's own tools says nothing of a format; the published one says "pt".
    save_file(golden_numbers.weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded: nn.Module = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is Phi3VForCausalLM
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in golden_numbers.weights.items())


def test_every_name_is_a_published_one(tiny_folder: Path) -> None:
    saved = load_file(tiny_folder / "model.safetensors")
    assert [name for name in saved if not _NAMES.fullmatch(name)] == []
    assert saved["model.vision_embed_tokens.glb_GN"].shape == (1, 1, 256)
    assert saved["model.vision_embed_tokens.sub_GN"].shape == (1, 1, 1, 256)


def test_weights_survive_saving_and_loading(tiny_folder: Path, tmp_path: Path) -> None:
    expected = tiny_model(seed=0).state_dict()
    loaded = AutoModelForCausalLM.from_pretrained(tiny_folder)
    loaded.save_pretrained(tmp_path)
    again = Phi3VForCausalLM.from_pretrained(tmp_path)
    for model in (loaded, again):
        assert model.state_dict().keys() == expected.keys()
        assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())


def test_word_embeddings_saved_twice_are_read_once(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = load_file(tiny_folder / "model.safetensors")
    weights[_WTE] = weights["model.embed_tokens.weight"].clone()
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING):
        # The type of an auto class knows no report.
        auto: Any = AutoModelForCausalLM
        loaded, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert "wte" not in caplog.text
    assert _WTE not in loaded.state_dict()


def test_what_is_not_trained_is_not_after_loading_either(tiny_folder: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(tiny_folder)
    frozen = {name for name, value in loaded.named_parameters() if not value.requires_grad}
    assert frozen == {name for name, value in tiny_model().named_parameters() if not value.requires_grad}
    assert frozen


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_asked_for_is_that_of_decoder_and_tower(tiny_folder: Path, attention: str) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(tiny_folder, attn_implementation=attention)
    tower = loaded.model.vision_embed_tokens.img_processor.vision_model
    assert (loaded.config._attn_implementation, tower.config._attn_implementation) == (attention, attention)


def test_half_precision_is_saved_and_loaded_as_such(tiny_folder: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert {value.dtype for value in loaded.parameters()} == {torch.bfloat16}


def test_a_folder_that_brings_code_is_loaded_without_it(tiny_folder: Path, tmp_path: Path) -> None:
    for file in tiny_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    trap = tmp_path / "trap.py"
    ran = tmp_path / "ran"
    trap.write_text(f"open({str(ran)!r}, 'w')\nclass Trap: pass\n")
    for name, classes in {
        "config.json": {"AutoConfig": "trap.Trap", "AutoModelForCausalLM": "trap.Trap"},
        "preprocessor_config.json": {"AutoProcessor": "trap.Trap", "AutoImageProcessor": "trap.Trap"},
    }.items():
        settings = json.loads((tmp_path / name).read_text())
        (tmp_path / name).write_text(json.dumps({**settings, "auto_map": classes}))
    loaded: list[nn.Module] = [
        AutoModelForCausalLM.from_pretrained(tmp_path),
        AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=True),
    ]
    assert [type(model) for model in loaded] == [Phi3VForCausalLM] * 2
    assert type(AutoProcessor.from_pretrained(tmp_path)) is Phi3VProcessor
    assert type(AutoProcessor.from_pretrained(tmp_path, trust_remote_code=True)) is Phi3VProcessor
    assert not ran.exists()


@pytest.mark.real_data
def test_the_published_configuration_makes_the_published_checkpoint(golden: Path) -> None:
    config = AutoConfig.from_pretrained(golden / "tokenizer")
    with torch.device("meta"):
        tensors = Phi3VForCausalLM(config).state_dict()
    assert len(tensors) == 592
    assert sum(2 * tensor.numel() for tensor in tensors.values()) == 8_293_242_880
    assert [name for name in tensors if not _NAMES.fullmatch(name)] == []

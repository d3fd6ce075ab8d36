from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from phi3v_data.schema.errors import HubError, ModelFolderError
from phi3v_data.trainer.phi3v import loading
from phi3v_data.trainer.phi3v.loading import load_model, load_processor


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be spoiled."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def _shard(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    files = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, of_file in files.items():
        save_file({name: weights[name] for name in of_file}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, of_file in files.items() for name in of_file}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_model_folder_loads(folder: Path) -> None:
    assert load_model(folder).dtype == torch.float32
    assert load_model(str(folder), dtype=torch.bfloat16, attn_implementation="eager").dtype == torch.bfloat16
    assert load_processor(folder).image_processor.num_crops == 1
    assert load_processor(folder, num_crops=4).image_processor.num_crops == 4


def test_weights_in_several_files_load(folder: Path) -> None:
    whole = load_model(folder).state_dict()
    _shard(folder)
    assert all(torch.equal(value, whole[name]) for name, value in load_model(folder).state_dict().items())


def _missing(folder: Path) -> None:
    shutil.rmtree(folder)


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _config_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def _another_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')


def _another_tower(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    del settings["vision_config"]
    settings["img_processor"]["model_name"] = "somebody/elses"
    (folder / "config.json").write_text(json.dumps(settings))


def _config_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, **changes}))

    return change


def _generation_config_is_damaged(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"pad_token_id": ""}')


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _weights_are_text(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")


def _without_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _tensor_of_another_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"][:5].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _without_a_shard(folder: Path) -> None:
    _shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def _index_is_none(folder: Path) -> None:
    _shard(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')


def _index_names_no_files(folder: Path) -> None:
    _shard(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"lm_head.weight": 3}}')


def _index_leads_out_of_the_folder(folder: Path) -> None:
    _shard(folder)
    outside = folder.parent / "outside.safetensors"
    (folder / "model-00002-of-00002.safetensors").rename(outside)
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002-of-00002.safetensors", "../outside.safetensors"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_missing, "no model folder at .*: pass a folder, a hub id"),
        (_without_config, "is not a model folder, it has no config.json"),
        (_config_is_no_json, "is not JSON"),
        (_config_is_a_list, "holds a model of type None; expected 'phi3_v'"),
        (_another_model, "holds a model of type 'llama'; expected 'phi3_v'"),
        (_another_tower, "names the tower 'somebody/elses'"),
        (_config_with(hidden_size="wide"), "describes no such model .*hidden_size"),
        (_config_with(num_attention_heads=0), "describes no such model"),
        (_config_with(original_max_position_embeddings=0), "describes no such model"),
        (_config_with(rope_scaling={"type": "su"}), "describes no such model .*factor"),
        (_generation_config_is_damaged, r"cannot be read \(TypeError: .*download or save the model again"),
        (_without_weights, "has no weights"),
        (_pickled_weights, "has no weights"),
        (_cut_weights, "is damaged"),
        (_weights_are_text, "is damaged"),
        (_without_a_tensor, r"lacks 1 of the model's tensors \(lm_head.weight ...\)"),
        (_tensor_of_another_shape, "1 tensor of another shape than config.json says"),
        (_without_a_shard, "lacks model-00002-of-00002.safetensors, one of 2 files of weights"),
        (_index_is_none, "is not an index of weights"),
        (_index_names_no_files, "is not an index of weights"),
        (_index_leads_out_of_the_folder, "is not an index of weights in this folder"),
    ],
)
def test_a_folder_that_is_not_a_model_is_refused_in_one_line(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelFolderError, match=message) as raised:
        load_model(folder)
    assert "\n" not in str(raised.value)
    assert str(folder.name) in str(raised.value) or spoil is _another_tower


def _without_preprocessor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def _preprocessor_is_no_json(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{")


def _another_image_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_missing, "no model folder at"),
        (_without_preprocessor, "has no preprocessor_config.json"),
        (_without_tokenizer, "has no tokenizer.json"),
        (_damaged_tokenizer, "tokenizer.json is not a tokenizer"),
        (_preprocessor_is_no_json, "cannot be read"),
        (_another_image_processor, "expected Phi-3-vision's own"),
    ],
)
def test_a_folder_without_its_processor_is_refused_in_one_line(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelFolderError, match=message) as raised:
        load_processor(folder)
    assert "\n" not in str(raised.value)


def _as_hub_cache(folder: Path, cache: Path) -> None:
    """Lay a folder out as the hub's client keeps the model owner/name."""
    kept = cache / "models--owner--name"
    revision = "0" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(revision)
    shutil.copytree(folder, kept / "snapshots" / revision)


def test_a_model_of_the_hub_loads(folder: Path, tmp_path: Path) -> None:
    _as_hub_cache(folder, tmp_path)
    expected = load_model(folder).state_dict()
    loaded = load_model("owner/name", cache_dir=tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert load_processor("owner/name", cache_dir=tmp_path).image_processor.crop_size == 84


@pytest.mark.parametrize("load", [load_model, load_processor])
def test_another_model_of_the_hub_is_refused(folder: Path, tmp_path: Path, load: Callable[..., object]) -> None:
    (folder / "config.json").write_text('{"model_type": "unheard-of", "auto_map": {"AutoConfig": "code.Config"}}')
    _as_hub_cache(folder, tmp_path)
    with pytest.raises(ModelFolderError, match="owner/name holds a model of type 'unheard-of'; expected 'phi3_v'"):
        load("owner/name", cache_dir=tmp_path)


@pytest.mark.parametrize("load", [load_model, load_processor])
def test_a_hub_out_of_reach_says_what_to_do(load: Callable[[str], object]) -> None:
    with pytest.raises(HubError, match="name DIR") as raised:
        load("owner/no-such-model")
    assert "hf download owner/no-such-model --local-dir DIR" in str(raised.value)
    assert "HF_HUB_OFFLINE is set: unset it to fetch the model" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_hub_that_gives_no_model_is_not_blamed_on_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "HF_HUB_OFFLINE", False)
    with pytest.raises(HubError, match="the hub has no model of that name") as raised:
        load_model("owner/no-such-model")
    assert "HF_HUB_OFFLINE is set" not in str(raised.value)

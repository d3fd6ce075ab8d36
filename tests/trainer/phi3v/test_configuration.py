from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from phi3v_data.schema.errors import ModelFolderError
from phi3v_data.schema.vision_tokens import VisionGeometry
from phi3v_data.trainer.phi3v import Phi3VConfig
from phi3v_data.trainer.phi3v.tiny import tiny_config


def _settings(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(tiny_config().to_diff_dict()), **changes}


def _rope(config: Phi3VConfig) -> Mapping[str, object]:
    assert config.rope_parameters is not None
    return config.rope_parameters


@pytest.mark.real_data
def test_the_published_file_is_read_as_it_is(golden: Path) -> None:
    config = AutoConfig.from_pretrained(golden / "tokenizer")
    assert isinstance(config, Phi3VConfig)
    assert _rope(config)["rope_type"] == "longrope"
    assert _rope(config)["original_max_position_embeddings"] == 4096
    assert config.crop_geometry == VisionGeometry(crop_size=336, tokens_per_side=12)
    assert (config.tower_config.num_hidden_layers, config.tower_config.hidden_act) == (24, "quick_gelu")
    assert config.image_token_id == 32044


@pytest.mark.real_data
def test_the_published_file_is_written_in_its_own_words(golden: Path, tmp_path: Path) -> None:
    AutoConfig.from_pretrained(golden / "tokenizer").save_pretrained(tmp_path)
    theirs = json.loads((golden / "tokenizer" / "config.json").read_text())
    ours = json.loads((tmp_path / "config.json").read_text())
    # Where it came from, what it wants installed, and files that are not saved beside it are not the model's settings.
    assert set(theirs) - set(ours) == {"_name_or_path", "_attn_implementation", "auto_map"}
    assert set(ours) - set(theirs) == {"image_token_id"}
    assert {key for key in theirs if key in ours and theirs[key] != ours[key]} == {"transformers_version"}


def test_a_file_that_asks_for_flash_attention_does_not_get_it_unasked() -> None:
    assert Phi3VConfig(**_settings(_attn_implementation="flash_attention_2"))._attn_implementation is None


@pytest.mark.parametrize(
    "spelling", [{"type": "su"}, {"type": "longrope"}, {"rope_type": "longrope"}, {"rope_type": "su"}]
)
def test_every_spelling_of_longrope_is_read_and_written_as_published(spelling: dict[str, str]) -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    config = Phi3VConfig(**_settings(rope_scaling={**factors, **spelling}))
    assert _rope(config)["rope_type"] == "longrope"
    assert _rope(config)["long_factor"] == [2.0] * 8
    assert config.to_diff_dict()["rope_scaling"] == {"type": "su", **factors}


def test_plain_rotary_positions_stay_plain() -> None:
    config = Phi3VConfig(**_settings(rope_scaling=None))
    assert _rope(config)["rope_type"] == "default"
    assert config.to_diff_dict()["rope_scaling"] is None


def test_settings_survive_writing_and_reading(tmp_path: Path) -> None:
    config = tiny_config()
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.to_diff_dict() == config.to_diff_dict()
    assert again.rope_parameters == config.rope_parameters
    assert again.tower_config.to_diff_dict() == config.tower_config.to_diff_dict()


def test_code_beside_the_file_is_not_named_in_a_saved_one_and_code_on_the_hub_is(tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "configuration_phi3_v.Phi3VConfig", "AutoModel": "owner/name--modeling.Model"}
    Phi3VConfig(**_settings(auto_map=auto_map)).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["auto_map"] == {"AutoModel": "owner/name--modeling.Model"}


@pytest.mark.parametrize("auto_map", [{"AutoConfig": "configuration_phi3_v.Phi3VConfig"}, {}, [], "code"])
def test_a_file_with_nothing_reachable_has_no_auto_map(tmp_path: Path, auto_map: object) -> None:
    Phi3VConfig(**_settings(auto_map=auto_map)).save_pretrained(tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())


def test_reading_a_dict_leaves_it_as_it_was() -> None:
    settings = _settings()
    before = copy.deepcopy(settings)
    Phi3VConfig(**settings)
    assert settings == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embd_layer": {"hd_transform_order": "glb_sub"}}, "the only layout there is"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "of type 'yarn'; expected 'su'"),
        ({"vision_config": None, "img_processor": {"model_name": "openai/clip-vit-base-patch32"}}, "names the tower"),
        ({"vision_config": {"image_size": 224, "patch_size": 32}}, "an even number of patches a side"),
        ({"vision_config": {"image_size": 336, "patch_size": 14, "num_hidden_layers": 1}}, "at least 2 layers"),
    ],
)
def test_what_is_no_phi_3_vision_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        Phi3VConfig(**_settings(**changes))

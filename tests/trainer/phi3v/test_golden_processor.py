"""The published processor's own outputs: canvases and pixels bit for bit, token counts, input ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor

from phi3v_data.schema.vision_tokens import crop_grid
from phi3v_data.trainer.phi3v import Phi3VImageProcessor, Phi3VProcessor
from phi3v_data.trainer.phi3v.image_processing import canvas_of

pytestmark = pytest.mark.real_data

_KEYS = [f"nc{crops}.img{index}" for crops in (1, 4, 16) for index in range(6)]
_PROMPTS = ["text_only", "one_image", "one_image_answered", "two_images", "image_mid_text", "multi_turn", "unicode"]


@pytest.fixture(scope="module")
def facts(golden: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((golden / "processor.json").read_text())
    return read


@pytest.fixture(scope="module")
def prompts(golden: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((golden / "tokenizer_processor.json").read_text())
    return read


@pytest.fixture(scope="module")
def published(golden: Path) -> Phi3VProcessor:
    """The processor of the published folder, whose configuration names LlamaTokenizer."""
    made: Phi3VProcessor = AutoProcessor.from_pretrained(golden / "tokenizer")
    return made


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_every_golden_case_is_tested(facts: dict[str, Any], prompts: dict[str, Any]) -> None:
    assert [case["key"] for case in facts["cases"]] == _KEYS
    assert list(prompts["cases"]) == _PROMPTS


@pytest.mark.parametrize("key", _KEYS)
def test_canvas_and_pixels_are_the_published_ones_bit_for_bit(golden: Path, facts: dict[str, Any], key: str) -> None:
    case = next(case for case in facts["cases"] if case["key"] == key)
    image = Image.open(golden / "images" / case["file"])
    grid = crop_grid(image.width, image.height, case["num_crops"])
    assert _sha256(np.array(canvas_of(image, grid))) == case["hd_uint8_sha256"]
    made = Phi3VImageProcessor(case["num_crops"])(image)
    assert list(made["pixel_values"].shape) == case["pixel_values_shape"]
    assert _sha256(made["pixel_values"].numpy()) == case["sha256_float32"]
    assert made["image_sizes"].tolist() == [case["image_size_hw"]]
    assert made["num_img_tokens"] == [case["num_img_tokens"]]
    samples = load_file(golden / "processor_pixels_subsample.safetensors")
    if f"{key}.sub" in samples:
        at = torch.tensor(facts["subsample_idx"])
        real = made["pixel_values"][0, : 1 + case["n_sub_crops"]]
        assert torch.equal(real[:, :, at][..., at], samples[f"{key}.sub"])


def test_a_batch_of_images_has_the_published_shapes(golden: Path, facts: dict[str, Any]) -> None:
    files = [entry["file"] for entry in json.loads((golden / "images" / "images.json").read_text())]
    images: list[Image.Image] = [Image.open(golden / "images" / file) for file in files]
    made = Phi3VImageProcessor(4)(images)
    expected = facts["batch_nc4"]
    assert list(made["pixel_values"].shape) == expected["pixel_values_shape"]
    assert made["image_sizes"].tolist() == expected["image_sizes"]
    assert made["num_img_tokens"] == expected["num_img_tokens"]


def test_canvas_size_and_token_count_follow_from_the_size_as_published(facts: dict[str, Any]) -> None:
    columns = facts["size_table_cols"]
    assert len(facts["size_table"]) == 100
    for values in facts["size_table"]:
        row = dict(zip(columns, values, strict=True))
        grid = crop_grid(row["width"], row["height"], row["num_crops"])
        assert (*grid.canvas_size, grid.tokens) == (row["hd_width"], row["hd_height"], row["num_img_tokens"]), row


@pytest.mark.parametrize("name", _PROMPTS)
def test_input_ids_are_the_published_ones(
    golden: Path,
    published: Phi3VProcessor,
    prompts: dict[str, Any],
    expand_runs: Callable[[list[list[int]]], list[int]],
    name: str,
) -> None:
    case = prompts["cases"][name]
    images = [Image.open(golden / "images" / file) for file in case["images"]]
    expected = expand_runs(case["input_ids_rle"])
    inputs = {"text": case["prompt"], "images": images, "num_crops": case["num_crops"]}
    assert published(**inputs, published_image_ids=True)["input_ids"].tolist() == [expected]
    ours = published(**inputs)["input_ids"].tolist()
    assert ours == [[token if token > 0 else 32044 for token in expected]]


@pytest.mark.parametrize("name", _PROMPTS)
def test_the_tokenizer_gives_the_published_ids(published: Phi3VProcessor, prompts: dict[str, Any], name: str) -> None:
    case = prompts["cases"][name]
    assert published.tokenizer(case["prompt"])["input_ids"] == case["tokenizer_only_ids"]


def test_special_tokens_have_the_published_ids(published: Phi3VProcessor, prompts: dict[str, Any]) -> None:
    specials = prompts["specials"]
    assert {token: published.tokenizer.convert_tokens_to_ids(token) for token in specials} == specials
    assert published.image_token_id == specials["<|image|>"]


@pytest.mark.parametrize("name", _PROMPTS)
def test_the_chat_template_is_the_published_one(published: Phi3VProcessor, prompts: dict[str, Any], name: str) -> None:
    case = prompts["cases"][name]
    answered = case["messages"][-1]["role"] == "assistant"
    written = published.tokenizer.apply_chat_template(
        case["messages"], tokenize=False, add_generation_prompt=not answered
    )
    assert written == case["prompt"]


def test_a_saved_processor_is_the_published_files_again(
    golden: Path, published: Phi3VProcessor, tmp_path: Path
) -> None:
    published.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "special_tokens_map.json"):
        assert (tmp_path / name).read_bytes() == (golden / "tokenizer" / name).read_bytes()
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        theirs = json.loads((golden / "tokenizer" / name).read_text())
        ours = json.loads((tmp_path / name).read_text())
        # It names files that are not saved beside it.
        del theirs["auto_map"]
        assert ours == theirs


def test_a_tokenizer_with_a_token_more_is_saved_with_it(golden: Path, tmp_path: Path) -> None:
    processor = AutoProcessor.from_pretrained(golden / "tokenizer")
    processor.tokenizer.add_tokens(["<|mine|>"])
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert len(again.tokenizer) == len(processor.tokenizer)
    assert again.tokenizer("<|mine|>")["input_ids"] == processor.tokenizer("<|mine|>")["input_ids"]

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, BatchFeature

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_config

_ONE = "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n"
_TWO = "<|user|>\n<|image_1|>\n<|image_2|>\nWhich?<|end|>\n<|assistant|>\n"
_NONE = "<|user|>\nHello<|end|>\n<|assistant|>\n"
_TOKENS_AN_IMAGE = 25


@pytest.fixture(scope="module")
def images(sample_images: list[Image.Image]) -> list[Image.Image]:
    return sample_images


def test_a_prompt_holds_as_many_image_tokens_as_its_images_cost(
    processor: Phi3VProcessor, images: list[Image.Image]
) -> None:
    made = processor(_TWO, images[:2])
    image = tiny_config().image_token_id
    assert processor.image_token_id == image
    assert int((made["input_ids"] == image).sum()) == 2 * _TOKENS_AN_IMAGE
    assert made["pixel_values"].shape == (2, 2, 3, 84, 84)
    assert made["attention_mask"].all()
    assert set(made) == {"input_ids", "attention_mask", "pixel_values", "image_sizes"}


def test_published_ids_number_the_images_of_each_prompt(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    made = processor([_TWO, _ONE], [images[:2], images[2:]], published_image_ids=True)
    ours = processor([_TWO, _ONE], [images[:2], images[2:]])
    marks = [[token for token in row if token < 0] for row in made["input_ids"].tolist()]
    assert marks == [[-1] * _TOKENS_AN_IMAGE + [-2] * _TOKENS_AN_IMAGE, [-1] * _TOKENS_AN_IMAGE]
    assert torch.equal(made["input_ids"].clamp_min(0) > 0, ours["input_ids"] != processor.image_token_id)


def test_one_image_need_not_be_in_a_list(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    alone, listed = processor(_ONE, images[0]), processor(_ONE, [images[0]])
    assert all(torch.equal(alone[key], listed[key]) for key in listed)


def test_text_alone_makes_no_pixels(processor: Phi3VProcessor) -> None:
    assert set(processor(_NONE)) == {"input_ids", "attention_mask"}
    assert set(processor([_NONE, _NONE])) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("side", ["left", "right"])
def test_shorter_prompts_are_filled_up_on_the_side_asked_for(
    processor: Phi3VProcessor, images: list[Image.Image], side: Literal["left", "right"]
) -> None:
    made = processor([_ONE, _NONE], [images[:1], []], padding_side=side)
    alone = [processor(_ONE, images[:1]), processor(_NONE)]
    for row, single in enumerate(alone):
        real = made["attention_mask"][row].bool()
        assert made["input_ids"][row, real].tolist() == single["input_ids"][0].tolist()
        assert set(made["input_ids"][row, ~real].tolist()) <= {processor.tokenizer.pad_token_id}
    assert made["attention_mask"][1, 0 if side == "left" else -1] == 0


def test_images_of_a_batch_come_prompt_after_prompt(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    made = processor([_ONE, _TWO], [[images[2]], images[:2]])
    expected = torch.cat([processor(_ONE, images[2])["pixel_values"], processor(_TWO, images[:2])["pixel_values"]])
    assert torch.equal(made["pixel_values"], expected)


def test_padding_is_an_argument_as_in_other_processors(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    expected = processor([_ONE, _NONE], [images[:1], []])
    for padding in (True, "longest"):
        made = processor(text=[_ONE, _NONE], images=[images[:1], []], padding=padding, return_tensors="pt")
        assert all(torch.equal(made[key], expected[key]) for key in expected)
    same = processor([_ONE, _ONE], [images[:1], images[1:2]], padding=False)
    assert same["attention_mask"].all()
    with pytest.raises(UsageError, match="pass padding=True"):
        processor([_ONE, _NONE], [images[:1], []], padding=False)
    with pytest.raises(UsageError, match="expected True, False or 'longest'"):
        processor(_NONE, padding="max_length")


@pytest.mark.parametrize("argument", ["truncation", "max_length", "videos"])
def test_an_argument_that_would_be_passed_over_is_refused(processor: Phi3VProcessor, argument: str) -> None:
    with pytest.raises(UsageError, match=f"no argument '{argument}'"):
        processor(_NONE, None, **dict[str, Any]({argument: 3}))
    assert set(processor(_NONE, None, **dict[str, Any]({argument: None}))) == {"input_ids", "attention_mask"}


def _messages(*images: Image.Image) -> list[dict[str, Any]]:
    parts = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Which?"}]}]


def test_a_chat_becomes_the_prompt_with_its_images_numbered(
    processor: Phi3VProcessor, images: list[Image.Image]
) -> None:
    chat = _messages(*images[:2])
    assert processor.apply_chat_template(chat, add_generation_prompt=True) == _TWO
    # Its type names a string alone.
    template: Any = processor.apply_chat_template
    made: BatchFeature = template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
    expected = processor(_TWO, images[:2])
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[key], expected[key]) for key in expected)


def test_images_are_numbered_through_all_turns_of_a_chat(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    chat = [*_messages(images[0]), {"role": "assistant", "content": "This."}, *_messages(images[1])]
    assert processor.apply_chat_template(chat) == (
        "<|user|>\n<|image_1|>\nWhich?<|end|>\n<|assistant|>\nThis.<|end|>\n<|user|>\n<|image_2|>\nWhich?<|end|>\n"
    )


def test_a_batch_of_chats_is_padded(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    chats = [_messages(*images[:2]), [{"role": "user", "content": "Hello"}]]
    # Its type names a string alone.
    template: Any = processor.apply_chat_template
    made: BatchFeature = template(chats, add_generation_prompt=True, tokenize=True, return_dict=True)
    expected = processor([_TWO, _NONE], [images[:2], []])
    assert all(torch.equal(made[key], expected[key]) for key in expected)


def test_texts_alone_are_written_as_by_the_tokenizers_own_template(processor: Phi3VProcessor) -> None:
    chat = [{"role": "user", "content": "Hello"}]
    for prompted in (False, True):
        written = processor.apply_chat_template(chat, add_generation_prompt=prompted)
        assert written == processor.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompted)


def test_what_vllm_asks_a_processor_for_is_there(processor: Phi3VProcessor) -> None:
    assert processor.img_tokens[0] == "<|image_1|>"
    assert list(processor.img_tokens[1:3]) == ["<|image_2|>", "<|image_3|>"]
    assert processor.calc_num_image_tokens_from_image_size(width=64, height=48) == _TOKENS_AN_IMAGE
    assert processor.image_processor.calc_num_image_tokens_from_image_size(64, 48) == _TOKENS_AN_IMAGE


def test_a_folder_gives_the_processor_that_was_saved(
    processor: Phi3VProcessor, images: list[Image.Image], tmp_path: Path
) -> None:
    processor.save_pretrained(tmp_path / "once")
    loaded = AutoProcessor.from_pretrained(tmp_path / "once")
    assert isinstance(loaded, Phi3VProcessor)
    loaded.save_pretrained(tmp_path / "twice")
    again = AutoProcessor.from_pretrained(tmp_path / "twice")
    expected = processor(_TWO, images[:2])
    for copy in (loaded, again):
        made = copy(_TWO, images[:2])
        assert all(torch.equal(made[key], expected[key]) for key in expected)


def test_saving_into_the_folder_it_came_from_keeps_it(processor: Phi3VProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    before = (tmp_path / "tokenizer.json").read_bytes()
    AutoProcessor.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == before


def test_a_batch_says_which_images_are_whose(processor: Phi3VProcessor, images: list[Image.Image]) -> None:
    with pytest.raises(UsageError, match="a list of images for each"):
        processor([_ONE, _NONE], images[:1])
    with pytest.raises(UsageError, match="2 prompts and 1 list of images"):
        processor([_ONE, _NONE], [images[:1]])


@pytest.mark.parametrize(("text", "count"), [(_ONE, 0), (_ONE, 2), (_NONE, 1)])
def test_images_and_placeholders_that_do_not_match_are_refused(
    processor: Phi3VProcessor, images: list[Image.Image], text: str, count: int
) -> None:
    with pytest.raises(UsageError, match="placeholders numbered"):
        processor(text, images[:count])


def test_an_empty_batch_is_refused(processor: Phi3VProcessor) -> None:
    with pytest.raises(UsageError, match="no prompts"):
        processor([], [])

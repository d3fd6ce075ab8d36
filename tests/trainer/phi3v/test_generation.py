from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from generation import generate
from PIL import Image
from torch import Tensor

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import CHAT_END_IDS, Phi3VConfig, Phi3VForCausalLM, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model

_PROMPTS = [
    "<|user|>\n<|image_1|>\n<|image_2|>\nWhich of them is it?<|end|>\n<|assistant|>\n",
    "<|user|>\nHello<|end|>\n<|assistant|>\n",
    "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n",
]
_NEW = 12


@pytest.fixture
def images(sample_images: list[Image.Image]) -> list[list[Image.Image]]:
    return [sample_images[:2], [], sample_images[2:]]


def _with_limit(original_length: int) -> Phi3VForCausalLM:
    """The tiny model with another length from which texts are long."""
    settings = {**tiny_config().to_diff_dict(), "original_max_position_embeddings": original_length}
    model = Phi3VForCausalLM(Phi3VConfig(**settings))
    model.load_state_dict(tiny_model().state_dict())
    model.eval()
    return model


@torch.no_grad()
def _one_by_one(model: Phi3VForCausalLM, inputs: Mapping[str, Tensor], new: int = _NEW) -> list[int]:
    """The answer to one prompt, each token from a forward pass over everything before it."""
    ids = inputs["input_ids"]
    answer: list[int] = []
    images = {name: inputs[name] for name in ("pixel_values", "image_sizes") if name in inputs}
    while len(answer) < new and (not answer or answer[-1] not in model.generation_config.eos_token_id):
        scores = model(input_ids=ids, use_cache=False, **images).logits[0, -1]
        scores[model.config.image_token_id] = -torch.inf
        answer.append(int(scores.argmax()))
        ids = torch.cat([ids, torch.tensor([answer[-1:]])], dim=1)
    return answer


def _answers(generated: Tensor, prompt: int, pad: int) -> list[list[int]]:
    answers = generated[:, prompt:].tolist()
    return [answer[: answer.index(pad)] if pad in answer else answer for answer in answers]


@pytest.fixture
def tower_calls() -> Callable[[Phi3VForCausalLM], list[int]]:
    def count(model: Phi3VForCausalLM) -> list[int]:
        calls: list[int] = []
        model.model.vision_embed_tokens.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
        return calls

    return count


def test_a_batch_is_answered_as_each_prompt_alone_without_a_cache(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    images: list[list[Image.Image]],
    tower_calls: Callable[[Phi3VForCausalLM], list[int]],
) -> None:
    expected = [_one_by_one(model, processor(text, own)) for text, own in zip(_PROMPTS, images, strict=True)]
    calls = tower_calls(model)
    batch = processor(_PROMPTS, images)
    generated = generate(model, batch, max_new_tokens=_NEW)
    assert _answers(generated, batch["input_ids"].shape[1], pad=259) == expected
    # The images are read once.
    assert calls == [3]


def test_published_image_ids_generate_the_same(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    ours, published = (
        generate(model, processor(_PROMPTS, images, published_image_ids=published), max_new_tokens=_NEW)
        for published in (False, True)
    )
    assert torch.equal(ours[:, -_NEW:], published[:, -_NEW:])


def test_samples_that_turn_long_while_generating_are_read_again(
    processor: Phi3VProcessor,
    images: list[list[Image.Image]],
    tower_calls: Callable[[Phi3VForCausalLM], list[int]],
) -> None:
    batch = processor(_PROMPTS, images)
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    # The first prompt is long from the start, the last turns long half-way, the one between never does.
    limit = lengths[2] + _NEW // 2
    assert lengths[1] + _NEW < limit < lengths[0]
    model = _with_limit(limit)
    expected = [_one_by_one(model, processor(text, own)) for text, own in zip(_PROMPTS, images, strict=True)]
    never_long = _with_limit(4000)
    assert _one_by_one(never_long, processor(_PROMPTS[2], images[2])) != expected[2]
    calls = tower_calls(model)
    generated = generate(model, batch, max_new_tokens=_NEW)
    assert _answers(generated, batch["input_ids"].shape[1], pad=259) == expected
    assert calls == [3, 3]


def test_two_samples_turn_long_at_different_steps(processor: Phi3VProcessor) -> None:
    prompts = ["<|user|>\nHello<|end|>\n<|assistant|>\n", "<|user|>\nHello you<|end|>\n<|assistant|>\n"]
    batch = processor(prompts)
    longest = batch["input_ids"].shape[1]
    model = _with_limit(longest + 3)
    expected = [_one_by_one(model, processor(text)) for text in prompts]
    assert all(len(answer) > 8 for answer in expected)
    generated = generate(model, batch, max_new_tokens=_NEW)
    assert _answers(generated, longest, pad=259) == expected


def test_beams_keep_the_images_of_their_prompt(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    batch = processor(_PROMPTS, images)
    options = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5}
    together = generate(model, batch, **options)[:, batch["input_ids"].shape[1] :]
    for row, (text, own) in enumerate(zip(_PROMPTS, images, strict=True)):
        inputs = processor(text, own)
        alone = generate(model, inputs, **options)[:, inputs["input_ids"].shape[1] :]
        assert together[2 * row : 2 * row + 2, : alone.shape[1]].tolist() == alone.tolist()


def test_generating_without_a_cache_gives_the_same(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, images: list[list[Image.Image]]
) -> None:
    batch = processor(_PROMPTS, images)
    cached, uncached = (generate(model, batch, max_new_tokens=5, use_cache=use) for use in (True, False))
    assert torch.equal(cached, uncached)


def test_the_image_token_is_never_written(model: Phi3VForCausalLM, processor: Phi3VProcessor) -> None:
    image = model.config.image_token_id
    # A head that wants nothing else.
    wanting = torch.zeros_like(model.lm_head.weight)
    with torch.no_grad():
        inputs = processor(_PROMPTS[1])
        wanting[image] = model.model(**inputs).last_hidden_state[0, -1]
        model.lm_head.weight.copy_(wanting)
        assert int(model(**inputs).logits[0, -1].argmax()) == image
    assert image not in generate(model, inputs, max_new_tokens=3)[0].tolist()


def test_embeddings_that_turn_long_cannot_be_read_again(model: Phi3VForCausalLM) -> None:
    model = _with_limit(6)
    embedded = model.model.embed_tokens(torch.tensor([[1, 5, 6, 7]]))
    mask = torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"grew over 6 tokens .* only 3 of its 7 tokens"):
        generate(model, {"inputs_embeds": embedded, "attention_mask": mask}, max_new_tokens=9)


def _published_like() -> Phi3VForCausalLM:
    """The tiny model with the published vocabulary and the published, wrong, eos."""
    settings = {**tiny_config().to_diff_dict(), "vocab_size": 32064, "eos_token_id": 2, "pad_token_id": 32000}
    return Phi3VForCausalLM(Phi3VConfig(**{**settings, "image_token_id": 32044}))


def test_a_published_folder_stops_where_a_chats_answer_ends(tmp_path: Path) -> None:
    model = _published_like()
    model.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(
        '{"_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32000}'
    )
    for settings in (model.generation_config, Phi3VForCausalLM.from_pretrained(tmp_path).generation_config):
        assert settings.eos_token_id == list(CHAT_END_IDS)
        assert settings.pad_token_id == CHAT_END_IDS[0]
    # The configuration stays what it was published as.
    assert model.config.eos_token_id == 2


def test_a_folder_with_its_own_ends_keeps_them(tmp_path: Path) -> None:
    model = _published_like()
    model.generation_config.eos_token_id = [32007]
    model.save_pretrained(tmp_path)
    assert Phi3VForCausalLM.from_pretrained(tmp_path).generation_config.eos_token_id == [32007]

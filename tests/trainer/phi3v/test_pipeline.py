"""transformers' own ways in: the auto classes, and `pipeline("image-text-to-text")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from generation import generate
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

from phi3v_data.trainer.phi3v import Phi3VForCausalLM

_PROMPT = "<|user|>\n<|image_1|>\nWhat?<|end|>\n<|assistant|>\n"


@pytest.fixture(scope="module")
def expected(tiny_folder: Path, sample_images: list[Image.Image]) -> str:
    """The answer of the plain way: processor, generate, decode."""
    model: nn.Module = AutoModelForImageTextToText.from_pretrained(tiny_folder)
    processor = AutoProcessor.from_pretrained(tiny_folder)
    assert type(model) is Phi3VForCausalLM
    inputs = processor(_PROMPT, sample_images[0])
    with torch.inference_mode():
        out = generate(model, inputs, max_new_tokens=5, do_sample=False)
    answer: str = processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answer


def test_the_pipeline_answers_a_chat(tiny_folder: Path, sample_images: list[Image.Image], expected: str) -> None:
    # The types of a pipeline know neither chats nor that many answers are a list.
    pipe: Any = pipeline("image-text-to-text", model=str(tiny_folder))
    content = [{"type": "image", "image": sample_images[0]}, {"type": "text", "text": "What?"}]
    found = pipe(text=[{"role": "user", "content": content}], max_new_tokens=5, return_full_text=False)
    assert found[0]["generated_text"] == expected


def test_the_pipeline_answers_prompts_in_a_batch(
    tiny_folder: Path, sample_images: list[Image.Image], expected: str
) -> None:
    # The types of a pipeline know neither chats nor that many answers are a list.
    pipe: Any = pipeline("image-text-to-text", model=str(tiny_folder))
    longer = _PROMPT.replace("What?", "What is it?")
    found = pipe(
        [[sample_images[0]], [sample_images[1]]], text=[_PROMPT, longer], max_new_tokens=5, return_full_text=False
    )
    assert found[0]["generated_text"] == expected
    assert len(found) == 2

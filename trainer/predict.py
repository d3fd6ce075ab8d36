"""The model's answer to one question, as it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.generation.streamers import BaseStreamer

from ..schema.errors import InputError, UsageError
from ..schema.prompt import encode_record
from ..schema.record import Record, Turn
from ..schema.special_tokens import special_tokens_of
from ..schema.wording import counted
from .data.collate import join_images
from .data.crops import ScaledImage, scaled_image
from .data.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from .phi3v import Phi3VForCausalLM, Phi3VProcessor


@dataclass(frozen=True)
class Prediction:
    """An answer, and how long it took.

    Args:
        text: the answer, white space stripped.
        prompt_tokens: tokens of the question, images included.
        tokens: tokens of the answer, the one that ends it included.
        seconds_to_first: until the first of them, which reads the images and the whole prompt.
        seconds_a_token: of each one after it, on average; 0 where there is only one.
    """

    text: str
    prompt_tokens: int
    tokens: int
    seconds_to_first: float
    seconds_a_token: float

    def timing(self) -> str:
        """Say how long it took, in one line."""
        tokens = f"{counted(self.prompt_tokens, 'token')} in, {self.tokens:,} out"
        first = f"{tokens}; the first after {self.seconds_to_first:.2f} s"
        return first if self.tokens < 2 else f"{first}, then {1000 * self.seconds_a_token:.0f} ms a token"


def question(processor: Phi3VProcessor, images: Sequence[Path], prompt: str, exact_pixels: bool = False) -> Sample:
    """Prepare a question as training and evaluation prepare theirs.

    Args:
        processor: the model's own.
        images: files, in the order in which they are shown, before the text.
        prompt: the text.
        exact_pixels: as for `SampleSource`.

    Raises:
        InputError: an image cannot be read.
        UsageError: the text is empty or holds a special token.
    """
    if not prompt.strip():
        raise UsageError("--prompt is empty: write the question")
    special_tokens = special_tokens_of(processor.tokenizer.get_added_vocab())
    if token := special_tokens.in_text(prompt):
        hint = "images are placed in front, in their order" if token.startswith("<|image") else "it is put in for you"
        raise UsageError(f"--prompt holds the special token {token}: leave it out, {hint}")
    scaled = [_read(image, processor, exact_pixels) for image in images]
    names = [f"{number}" for number, _ in enumerate(scaled, start=1)]
    record = Record(id="question", conversations=[Turn(images=names, user=prompt, assistant="")])
    tokens = [image.grid.tokens for image in scaled]
    return Sample(record, encode_record(record, processor.tokenizer, tokens, processor.image_token_id), scaled)


def _read(image: Path, processor: Phi3VProcessor, exact_pixels: bool) -> ScaledImage:
    try:
        return scaled_image(image.read_bytes(), processor.image_processor, exact_pixels)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{image} cannot be read as an image ({reason}): pass an image file") from error


def predict(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    sample: Sample,
    max_new_tokens: int,
    turn: int = 0,
    write: Callable[[str], None] = lambda text: None,
) -> Prediction:
    """Generate the most likely answer, a token at a time.

    Args:
        model: on the device it is to run on.
        processor: the model's own.
        sample: the question, or a record; earlier turns are given with the record's own answers.
        max_new_tokens: longest answer.
        turn: which turn of the record is answered, from 0.
        write: receives the answer in pieces, as they are known.
    """
    ids = torch.tensor([sample.text.prompt(turn)])
    shown = sum(len(each.images) for each in sample.record.conversations[: turn + 1])
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        **join_images([sample.first_images(shown)]),
    }
    tokenizer: Any = processor.tokenizer
    stream = _Stream(lambda answer: str(tokenizer.decode(answer, skip_special_tokens=True)), write)
    answering: Any = model  # the type of transformers' generate knows only models of its own
    with torch.inference_mode():
        answering.generate(
            **{name: tensor.to(model.device) for name, tensor in inputs.items()},
            max_new_tokens=max_new_tokens,
            do_sample=False,
            streamer=stream,
        )
    begin, *times = stream.times
    later = times[1:]
    return Prediction(
        text=stream.text.strip(),
        prompt_tokens=ids.shape[1],
        tokens=len(times),
        seconds_to_first=times[0] - begin,
        seconds_a_token=(later[-1] - times[0]) / len(later) if later else 0.0,
    )


class _Stream(BaseStreamer):
    """Decodes what is generated, and notes when: the beginning, then each token."""

    def __init__(self, decode: Callable[[list[int]], str], write: Callable[[str], None]) -> None:
        self.text = ""
        self.times: list[float] = []
        self._ids: list[int] = []
        self._decode = decode
        self._write = write

    def put(self, value: Tensor) -> None:
        """Take the prompt, then one token at a time."""
        self.times.append(time.perf_counter())
        if len(self.times) == 1:
            return
        self._ids += value.flatten().tolist()
        text = self._decode(self._ids).lstrip()
        # A character of several tokens is not whole yet.
        if not text.endswith("\ufffd"):
            self._add(text)

    def end(self) -> None:
        """Write what is left."""
        self._add(self._decode(self._ids).lstrip())

    def _add(self, text: str) -> None:
        if len(text) > len(self.text):
            self._write(text[len(self.text) :])
            self.text = text

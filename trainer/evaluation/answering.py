"""Let a model answer a batch of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from ..data.collate import join_images
from ..data.samples import Sample
from ..phi3v.padding import attention_mask, pad_rows
from .questions import Question

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM, Phi3VProcessor


class LabelPair(NamedTuple):
    """Two labels, told apart by the first token of the answer.

    Args:
        negative: the label, as its records write it.
        positive: the other one, whose probability is the score.
        tokens: the first id of each, (negative, positive).
    """

    negative: str
    positive: str
    tokens: tuple[int, int]


def label_pair(labels: tuple[str, str], processor: Phi3VProcessor) -> LabelPair | None:
    """Find the tokens that tell two labels apart; None where both begin with the same one.

    Args:
        labels: the negative and the positive one.
        processor: the model's own.
    """
    negative, positive = (processor.tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in labels)
    return LabelPair(*labels, (negative, positive)) if negative != positive else None


def batch_inputs(processor: Phi3VProcessor, batch: Sequence[tuple[Question, Sample]]) -> dict[str, torch.Tensor]:
    """Return what the model generates from: the prompts padded on the left, and the images that they show.

    Args:
        processor: the model's own.
        batch: the questions and their samples.
    """
    rows = [sample.text.prompt(question.turn) for question, sample in batch]
    return {
        "input_ids": pad_rows(rows, processor.tokenizer.pad_token_id, "left"),
        "attention_mask": attention_mask(rows, "left"),
        **join_images([sample.first_images(question.images) for question, sample in batch]),
    }


def answer_batch(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    batch: Sequence[tuple[Question, Sample]],
    max_new_tokens: int,
    pair: LabelPair | None = None,
) -> list[tuple[str, float | None]]:
    """Generate the most likely answer to each question, all of them in one left-padded batch.

    A question is asked with the conversation's own earlier answers before it, by the ids that training sees.

    Args:
        model: on the device it is to run on; inside `evaluating`.
        processor: the model's own.
        batch: the questions and their samples.
        max_new_tokens: of an answer.
        pair: two labels to be scored, if any.

    Returns:
        For each question the answer, white space stripped, and with `pair` the probability of the positive label,
        given that the answer begins as one of the two.
    """
    inputs = batch_inputs(processor, batch)
    scores = _FirstToken(pair.tokens) if pair else None
    # The type of transformers' generate knows only models of its own.
    answering: Any = model
    out = answering.generate(
        **{name: tensor.to(model.device) for name, tensor in inputs.items()},
        max_new_tokens=max_new_tokens,
        do_sample=False,
        # transformers would have the ranks of a sharded model generate in step; each has questions of its own.
        synced_gpus=False,
        logits_processor=LogitsProcessorList([scores] if scores else []),
    )
    new = out[:, inputs["input_ids"].shape[1] :]
    texts = [text.strip() for text in processor.tokenizer.batch_decode(new, skip_special_tokens=True)]
    return list(zip(texts, scores.positive() if scores else [None] * len(texts), strict=True))


class _FirstToken(LogitsProcessor):
    """Remembers the logits of two tokens at the first step, and changes nothing."""

    def __init__(self, tokens: tuple[int, int]) -> None:
        self._tokens = list(tokens)
        self._logits: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if self._logits is None:
            self._logits = scores[:, self._tokens].float()
        return scores

    def positive(self) -> list[float]:
        if self._logits is None:
            raise AssertionError("generate has made no step")
        probabilities: list[float] = self._logits.softmax(-1)[:, 1].tolist()
        return probabilities


@contextmanager
def evaluating(model: Phi3VForCausalLM) -> Iterator[None]:
    """Keep the model from training and torch from recording while the block lasts.

    Around a whole evaluation, not around each batch: all modules of the model are told.
    """
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)

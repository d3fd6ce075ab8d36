"""Let a model answer, and judge its answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import torch
from msgspec import UNSET

from ..schema.dataset import Dataset
from ..schema.errors import DatasetError
from ..schema.index import RecordIndex
from .config import EvaluationConfig
from .data.collate import join_images
from .data.samples import Sample, SampleSource
from .metrics import consistency, right
from .phi3v.padding import attention_mask, pad_rows
from .processes import Processes

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM, Phi3VProcessor

__all__ = ["Answer", "Evaluation", "answer_questions", "evaluate", "evaluation_split"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said to one turn of one record.

    Args:
        id: the record's.
        turn: which turn, from 0.
        expected: the record's own answer; empty where it has none.
        given: the model's, white space stripped.
        correct: whether they are equal by the recipe's comparison, or `given` is another acceptable answer; null where
            there is no answer to compare with.
    """

    id: str
    turn: int
    expected: str
    given: str
    correct: bool | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one split; written as `eval_before.json` and `eval_after.json`.

    Args:
        split: its name.
        accuracy: correct / total; null where nothing could be judged.
        correct: answers that are right.
        total: answers judged, one a turn.
        unjudged: answers beside those, to turns without an answer of their own.
        consistency: share of the pairs (`meta.pair` of records) of which every answer is right; null without pairs.
        sentence_consistency: share of the sentences (`meta.sentence`) of which every answer is right, whatever pair
            they are asked of: what NLVR2's own evaluation calls consistency; null without sentences.
        answers: every one of them, in the order of the records.
    """

    split: str
    accuracy: float | None
    correct: int
    total: int
    unjudged: int
    consistency: float | None
    sentence_consistency: float | None
    answers: list[Answer]

    def as_json(self) -> bytes:
        """Return it as indented JSON, the numbers first."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def summary(self) -> str:
        """Say it in one line."""
        parts = []
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.3f} on {self.split} ({self.correct} of {self.total})")
        if self.consistency is not None:
            parts.append(f"consistency {self.consistency:.3f}")
        if self.sentence_consistency is not None:
            parts.append(f"sentence consistency {self.sentence_consistency:.3f}")
        if self.unjudged:
            parts.append(f"without an answer to judge by on {self.split}: {self.unjudged}")
        return ", ".join(parts)


# Tried in this order where no split to judge on was named.
_SPLITS = ("val", "validation", "dev", "test")


def evaluation_split(dataset: Dataset, named: str | None) -> str | None:
    """Choose the split to judge on: the one named, else the first usual one with records; None where there is none.

    Raises:
        DatasetError: the one named is not there, or has no records.
    """
    # A conversion of some splits leaves the others' files behind, empty.
    files = dataset.files
    there = [split for split in dataset.splits if split not in files or dataset.folder.size(files[split])]
    if named is None:
        return next((split for split in _SPLITS if split in there), None)
    if named not in there:
        raise DatasetError(f"{dataset.folder.address}: no split {named!r} to judge on; there are: {', '.join(there)}")
    return named


class _Judged(NamedTuple):
    """An answer, and the pair and the sentence that its record is about, "" where it names none."""

    answer: Answer
    pair: str
    sentence: str


class _Question(NamedTuple):
    sample: Sample
    turn: int

    def prompt(self) -> list[int]:
        return self.sample.text.prompt(self.turn)

    def images(self) -> Sample:
        """The sample with only the images shown up to this turn."""
        shown = sum(len(turn.images) for turn in self.sample.record.conversations[: self.turn + 1])
        return self.sample.first_images(shown)


def evaluate(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    dataset: Dataset,
    split: str,
    settings: EvaluationConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes | None = None,
    exact_pixels: bool = False,
) -> Evaluation:
    """Ask the model every question of a split, and judge.

    Every turn is asked with the conversation's own earlier answers before it.

    Args:
        model: on the device it is to run on.
        processor: the model's own.
        dataset: the data.
        split: which split of it.
        settings: batch size, longest answer, limit.
        progress: called after each batch with the records answered so far by this process, and those in all.
        processes: those that share the questions; each of them returns the whole judgement.
        exact_pixels: as for `SampleSource`.
    """
    processes = processes or Processes()
    samples = SampleSource(RecordIndex(dataset, split), processor, exact_pixels)
    numbers = range(processes.rank, min(len(samples), settings.limit or len(samples)), processes.world)
    judged: list[tuple[int, _Judged]] = []
    for first in range(0, len(numbers), settings.batch_size):
        batch = [(number, samples[number]) for number in numbers[first : first + settings.batch_size]]
        questions = [
            (number, _Question(sample, turn))
            for number, sample in batch
            for turn in range(len(sample.record.conversations))
        ]
        for part in _batched(questions, settings.batch_size):
            given = answer_questions(model, processor, [question for _, question in part], settings.max_new_tokens)
            judged += [(number, _judge(question, text)) for (number, question), text in zip(part, given, strict=True)]
        progress(first + len(batch), len(numbers))
    everybodys = [each for of_rank in processes.gather(judged) for each in of_rank]
    # Records in order; sorting keeps the turns of each, which came from one process.
    return _evaluation(split, [each for _, each in sorted(everybodys, key=lambda each: each[0])])


def _evaluation(split: str, judged: Sequence[_Judged]) -> Evaluation:
    verdicts = [each.answer.correct for each in judged if each.answer.correct is not None]
    return Evaluation(
        split=split,
        accuracy=sum(verdicts) / len(verdicts) if verdicts else None,
        correct=sum(verdicts),
        total=len(verdicts),
        unjudged=len(judged) - len(verdicts),
        consistency=consistency((each.pair, each.answer.correct) for each in judged),
        sentence_consistency=consistency((each.sentence, each.answer.correct) for each in judged),
        answers=[each.answer for each in judged],
    )


def answer_questions(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, questions: Sequence[_Question], max_new_tokens: int
) -> list[str]:
    """Generate the most likely answer to each question, all of them in one left-padded batch."""
    tokenizer = processor.tokenizer
    rows = [question.prompt() for question in questions]
    batch = {
        "input_ids": pad_rows(rows, tokenizer.pad_token_id, "left"),
        "attention_mask": attention_mask(rows, "left"),
        **join_images([question.images() for question in questions]),
    }
    # The type of transformers' generate knows only models of its own.
    answering: Any = model
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
            out = answering.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    finally:
        model.train(was_training)
    new = out[:, batch["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]


def _judge(question: _Question, given: str) -> _Judged:
    record = question.sample.record
    turn = record.conversations[question.turn]
    accepted = [*([turn.assistant] if turn.assistant else []), *([] if turn.answers is UNSET else turn.answers)]
    answer = Answer(
        id=record.id,
        turn=question.turn,
        expected=turn.assistant,
        given=given,
        correct=right(given, accepted) if accepted else None,
    )
    meta = {} if record.meta is UNSET else record.meta
    return _Judged(answer, str(meta.get("pair", "")), str(meta.get("sentence", "")))


def _batched(questions: list[tuple[int, _Question]], size: int) -> Iterator[list[tuple[int, _Question]]]:
    iterator = iter(questions)
    while part := list(itertools.islice(iterator, size)):
        yield part

"""Evaluate a model on a split: ask every question, score every answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from ...schema.cores import core_count
from ...schema.dataset import Dataset
from ...schema.errors import UsageError
from ...schema.index import Counting, RecordIndex, record_costs
from ...schema.progress import Progress, silent
from ...schema.wording import counted
from ..config import EvaluationConfig
from ..data.samples import SampleSource
from ..processes import Processes
from .answering import LabelPair, answer_batch, evaluating, label_pair
from .journal import AnswerJournal
from .losses import losses_of_batch
from .prefetch import prefetched
from .questions import Question, batches_of_rank, questions_of
from .result import Answer, Evaluation
from .scoring import check_metrics, labels_of, score_answer, scored, wants_loss

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM, Phi3VProcessor

_MOST_THREADS = 8


def evaluate(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    dataset: Dataset,
    split: str,
    settings: EvaluationConfig,
    progress: Progress = silent,
    processes: Processes | None = None,
    exact_pixels: bool = False,
    journal: AnswerJournal | None = None,
    with_loss: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Ask the model every question of a split, and score the answers.

    Every turn is asked with the conversation's own earlier answers before it. The answers do not depend on the batch
    size or the number of ranks, beyond the rounding of the arithmetic.

    Args:
        model: on the device it is to run on.
        processor: the model's own.
        dataset: the data.
        split: which split of it.
        settings: batch size, longest answer, limit, metrics.
        progress: shows how many of its questions this rank has answered.
        processes: the ranks that share the questions; each of them returns the whole evaluation.
        exact_pixels: as for `SampleSource`.
        journal: where answers are written as they come, and those of an earlier try are found; None for nowhere.
        with_loss: compute the loss, too, also where the settings do not ask for it.
        log: called with a line about what is not asked again, and about a metric that is left out.

    Raises:
        DatasetError: the split is not there, or a record of it cannot be read.
        UsageError: a metric was asked for that does not exist, or that the data lacks what it needs for.
        OutputError: the answers cannot be written.
    """
    processes = processes or Processes()
    index, tokens = processes.on_node_first(lambda: _measured(dataset, split, processor, progress))
    questions = questions_of(index, settings.limit)
    check_metrics(settings, split, questions)
    with_loss = with_loss or wants_loss(settings)
    pair = _label_pair(questions, processor, settings, log)
    answered = processes.by_first(journal.read) if journal else {}
    if before := sum(question.key in answered for question in questions):
        log(f"{before:,} of {counted(len(questions), 'question')} answered before, and not asked again")
    batches = batches_of_rank(questions, tokens, answered, settings.batch_size, processes.rank, processes.world)
    total, done = sum(map(len, batches)), 0
    new: list[Answer] = []
    shared = f" on the first of {processes.world} processes" if processes.world > 1 else ""
    what = f"Evaluating {split}{shared}"
    progress(what, "questions", done, total)
    with ExitStack() as stack:
        stream = stack.enter_context(journal.writing(processes.rank)) if journal else None
        stack.enter_context(evaluating(model))
        for batch in prefetched(batches, SampleSource(index, processor, exact_pixels), _threads(processes)):
            given = answer_batch(model, processor, batch, settings.max_new_tokens, pair)
            losses = losses_of_batch(model, processor, batch) if with_loss else [None] * len(batch)
            asked = [question for question, _ in batch]
            of_batch = [
                score_answer(question, *answer, loss)
                for question, answer, loss in zip(asked, given, losses, strict=True)
            ]
            if stream:
                stream.writelines(msgspec.json.encode(answer) + b"\n" for answer in of_batch)
                stream.flush()
            new += of_batch
            done += len(batch)
            progress(what, "questions", done, total)
    answered.update((answer.key, answer) for of_rank in processes.gather(new) for answer in of_rank)
    return scored(split, questions, [answered[question.key] for question in questions], settings)


def check_evaluation(dataset: Dataset, split: str, settings: EvaluationConfig) -> None:
    """Make sure that a split can be evaluated as it is asked for, before a model is loaded.

    Raises:
        DatasetError: the split is not there.
        UsageError: see `evaluate`.
    """
    if settings.metric_names or settings.primary:
        check_metrics(settings, split, questions_of(RecordIndex(dataset, split), settings.limit))


def _measured(
    dataset: Dataset, split: str, processor: Phi3VProcessor, progress: Progress
) -> tuple[RecordIndex, list[int]]:
    index = RecordIndex(dataset, split, progress)
    return index, record_costs(index, Counting.of(processor), progress=progress).tokens.tolist()


def _label_pair(
    questions: list[Question], processor: Phi3VProcessor, settings: EvaluationConfig, log: Callable[[str], None]
) -> LabelPair | None:
    asked = "roc_auc" in settings.metric_names
    labels = labels_of(questions, settings.positive_label) if asked or not settings.metric_names else None
    if labels is None:
        return None
    pair = label_pair(labels, processor)
    if pair is None:
        why = "the answers {!r} and {!r} begin with the same token, which does not tell them apart".format(*labels)
        if asked:
            raise UsageError(f"ROC AUC: {why}; leave the metric out: --set evaluation.metrics=accuracy")
        log(f"ROC AUC is left out: {why}")
    return pair


def _threads(processes: Processes) -> int:
    on_node = int(os.environ.get("LOCAL_WORLD_SIZE", processes.world))
    # One core is the model's: threads that share it hold the lock of Python while they wait for it.
    return max(1, min(_MOST_THREADS, core_count() // on_node - 1))

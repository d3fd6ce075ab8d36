"""The loss of a batch of questions: how likely the records' own answers are, as training counts it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy

from ...schema.prompt import IGNORED, EncodedRecord
from ..data.collate import PackedCollator
from ..data.device_batches import moved
from ..data.samples import Sample
from .questions import Question

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM, Phi3VProcessor


class TurnLoss(NamedTuple):
    """The loss of one turn's own answer.

    Args:
        total: cross-entropy in nats, summed over its supervised tokens.
        tokens: how many these are.
    """

    total: float = 0.0
    tokens: int = 0


def losses_of_batch(
    model: Phi3VForCausalLM, processor: Phi3VProcessor, batch: Sequence[tuple[Question, Sample]]
) -> list[TurnLoss]:
    """Return the loss of each question's own answer; of no tokens where nothing is supervised.

    Each record passes the model once and whole, packed as in training, whichever of its turns are asked.

    Args:
        model: on the device it is to run on; inside `evaluating`.
        processor: the model's own.
        batch: the questions and their samples.
    """
    samples = {question.record: sample for question, sample in batch}
    inputs = PackedCollator(processor.tokenizer.pad_token_id, processor.image_token_id)(list(samples.values()))
    positions, targets = inputs.pop("target_positions"), inputs.pop("targets")
    of_token = _of_tokens(model, inputs, positions, targets) if len(targets) else []
    found: dict[tuple[int, int], TurnLoss] = {}
    places = ((record, turn) for record, sample in samples.items() for turn in _supervised_turns(sample.text))
    for place, loss in zip(places, of_token, strict=True):
        so_far = found.get(place, TurnLoss())
        found[place] = TurnLoss(so_far.total + loss, so_far.tokens + 1)
    nothing = TurnLoss()
    return [
        found.get((question.record, question.turn), nothing) if question.is_supervised else nothing
        for question, _ in batch
    ]


def _of_tokens(model: Phi3VForCausalLM, inputs: dict[str, object], positions: Tensor, targets: Tensor) -> list[float]:
    on_device = moved({**inputs, "logits_to_keep": positions}, model.device)
    logits = model(**on_device, use_cache=False).logits[0]
    losses: list[float] = cross_entropy(logits.float(), targets.to(model.device), reduction="none").tolist()
    return losses


def _supervised_turns(text: EncodedRecord) -> Iterator[int]:
    """Yield the turn of each supervised token of a record, in order."""
    for place, label in enumerate(text.labels):
        if label != IGNORED:
            yield bisect_right(text.prompt_lengths, place) - 1

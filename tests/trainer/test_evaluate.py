from __future__ import annotations

from collections.abc import Callable

import pytest

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.index import RecordIndex
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.evaluate import evaluate
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

Run = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def model() -> Phi3VForCausalLM:
    return tiny_model()


def test_every_turn_of_every_record_is_asked_once_and_in_order(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run
) -> None:
    judged = evaluate(model, tiny_processor(), mixed_conversations, "train", tiny_run().evaluation)
    asked = [(answer.id, answer.turn) for answer in judged.answers]
    turns = {"late-pictures": 4, "text-only": 2, "one-turn": 1}
    assert asked == [(name, turn) for name, count in turns.items() for turn in range(count)]
    assert judged.total == 7


@pytest.mark.parametrize("batch_size", [2, 8])
def test_answers_do_not_depend_on_who_shares_the_batch(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run, batch_size: int
) -> None:
    alone = evaluate(
        model, tiny_processor(), mixed_conversations, "train", tiny_run({"evaluation.batch_size": 1}).evaluation
    )
    together = evaluate(
        model,
        tiny_processor(),
        mixed_conversations,
        "train",
        tiny_run({"evaluation.batch_size": batch_size}).evaluation,
    )
    assert together == alone
    assert any(answer.given for answer in alone.answers)


def test_an_answer_is_generated_from_the_ids_that_training_sees(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    real = model.generate

    def listening(**inputs: object) -> object:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        asked.extend([row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)])  # type: ignore[call-overload]  # tensors
        return real(**inputs)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(model, "generate", listening)
    evaluate(model, tiny_processor(), mixed_conversations, "train", tiny_run().evaluation)
    source = SampleSource(RecordIndex(mixed_conversations, "train"), tiny_processor())
    texts = [source[number].text for number in range(len(source))]
    trained = [text.input_ids[:length] for text in texts for length in text.prompt_lengths]
    assert asked == trained


def test_a_limit_judges_only_the_first_records(model: Phi3VForCausalLM, colours: Dataset, tiny_run: Run) -> None:
    progress: list[tuple[int, int]] = []
    settings = tiny_run({"evaluation.limit": 2, "evaluation.batch_size": 1}).evaluation
    judged = evaluate(model, tiny_processor(), colours, "val", settings, lambda *step: progress.append(step))
    assert [answer.id for answer in judged.answers] == ["val-0", "val-1"]
    assert progress == [(1, 2), (2, 2)]


def test_judging_leaves_the_model_training_if_it_was(model: Phi3VForCausalLM, colours: Dataset, tiny_run: Run) -> None:
    for training in (True, False):
        model.train(training)
        evaluate(model, tiny_processor(), colours, "val", tiny_run().evaluation)
        assert model.training is training

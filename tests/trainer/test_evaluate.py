from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from colours import turn, write_dataset

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.record import Record
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.evaluate import Evaluation, evaluate
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor
from phi3v_data.trainer.processes import Processes

Run = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def model() -> Phi3VForCausalLM:
    return tiny_model()


def test_every_turn_of_every_record_is_asked_once_and_in_order(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run
) -> None:
    judged = evaluate(model, tiny_processor(), mixed_conversations, "train", tiny_run().evaluation)
    asked = [(answer.id, answer.turn) for answer in judged.answers]
    turns = {"late-images": 4, "text-only": 2, "one-turn": 1}
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


def answering(model: Phi3VForCausalLM, dataset: Dataset, tiny_run: Run, said: str) -> Evaluation:
    """Judge as if the model had always said one thing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phi3v_data.trainer.evaluate.answer_questions", lambda *given: [said] * len(given[2]))
        return evaluate(model, tiny_processor(), dataset, "test", tiny_run().evaluation)


def test_turns_without_an_answer_are_answered_and_not_judged(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    records = [
        Record(id="known", conversations=[turn("red"), turn("blue")]),
        Record(id="unknown", conversations=[turn("")]),
        Record(id="listed", conversations=[turn("", answers=["red", "crimson"])]),
    ]
    judged = answering(model, write_dataset(tmp_path, {"test": records}), tiny_run, "red")
    assert [(answer.given, answer.correct) for answer in judged.answers] == [
        ("red", True),
        ("red", False),
        ("red", None),
        ("red", True),
    ]
    assert (judged.correct, judged.total, judged.unjudged, judged.accuracy) == (2, 3, 1, 2 / 3)
    assert judged.summary() == "accuracy 0.667 on test (2 of 3), without an answer to judge by on test: 1"


def test_a_split_without_any_answer_has_predictions_and_no_accuracy(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    records = [Record(id=f"r-{n}", conversations=[turn("")]) for n in range(2)]
    judged = answering(model, write_dataset(tmp_path, {"test": records}), tiny_run, "red")
    assert (judged.accuracy, judged.consistency, judged.total) == (None, None, 0)
    assert json.loads(judged.as_json())["accuracy"] is None
    assert judged.summary() == "without an answer to judge by on test: 2"


def test_a_pair_counts_as_consistent_only_if_every_sentence_of_it_is_right(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    labels = {"a": ["yes", "yes"], "b": ["yes", "no"], "c": ["no"], "d": ["yes", ""]}
    records = [
        Record(id=f"{pair}-{n}", conversations=[turn(label)], meta={"pair": pair})
        for pair, of_pair in labels.items()
        for n, label in enumerate(of_pair)
    ]
    judged = answering(model, write_dataset(tmp_path, {"test": records}), tiny_run, "yes")
    assert judged.consistency == 2 / 4
    assert "consistency 0.500" in judged.summary()


def test_a_sentence_is_consistent_if_it_is_right_of_every_pair(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    asked = {"dev-8-0-0": "yes", "dev-8-1-0": "yes", "dev-8-0-1": "yes", "dev-8-1-1": "no", "dev-9-0-0": "yes"}
    records = [
        Record(id=name, conversations=[turn(label)], meta={"sentence": re.sub(r"-\d+(?=-\d+$)", "-", name)})
        for name, label in asked.items()
    ]
    judged = answering(model, write_dataset(tmp_path, {"test": records}), tiny_run, "yes")
    assert judged.sentence_consistency == 2 / 3
    assert judged.summary() == "accuracy 0.800 on test (4 of 5), sentence consistency 0.667"


def test_processes_share_the_records_and_each_has_the_whole_judgement(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run
) -> None:
    settings = tiny_run().evaluation
    alone = evaluate(model, tiny_processor(), mixed_conversations, "train", settings)

    class Sharing(Processes):
        """Two processes, one after the other: the second has what the first gathered."""

        gathered: ClassVar[list[Any]] = []

        def gather(self, value: Any) -> list[Any]:
            self.gathered.append(value)
            return self.gathered

    shares = [
        evaluate(model, tiny_processor(), mixed_conversations, "train", settings, processes=Sharing(rank, 2))
        for rank in (1, 0)
    ]
    assert 0 < len(shares[0].answers) < len(alone.answers)
    assert shares[1] == alone

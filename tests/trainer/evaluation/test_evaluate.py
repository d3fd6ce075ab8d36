"""Questions asked of a real model: each once, by the ids of training, whoever shares the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from colours import colour_records, turn, write_dataset

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import DatasetError, OutputError, UsageError
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.progress import Progress
from phi3v_data.schema.record import Record
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.config import TrainConfig
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.data.samples import Sample, SampleSource
from phi3v_data.trainer.evaluation import evaluate, evaluation_split
from phi3v_data.trainer.evaluation.answering import label_pair
from phi3v_data.trainer.evaluation.journal import AnswerJournal
from phi3v_data.trainer.evaluation.prefetch import prefetched
from phi3v_data.trainer.evaluation.questions import Question, batches_of_rank, questions_of
from phi3v_data.trainer.phi3v import Phi3VForCausalLM
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

Run = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def model() -> Phi3VForCausalLM:
    return tiny_model()


@pytest.fixture(scope="module")
def asked(mixed_conversations: Dataset) -> list[Question]:
    return questions_of(RecordIndex(mixed_conversations, "train"))


def test_every_turn_of_every_record_is_asked_once_and_in_order(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run
) -> None:
    found = evaluate(model, tiny_processor(), mixed_conversations, "train", tiny_run().evaluation)
    turns = {"late-images": 4, "text-only": 2, "one-turn": 1}
    assert [answer.key for answer in found.answers] == [
        (name, t) for name, count in turns.items() for t in range(count)
    ]
    assert found.total == 7


@pytest.mark.parametrize("batch_size", [2, 8])
def test_answers_do_not_depend_on_who_shares_the_batch(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run, batch_size: int
) -> None:
    alone, together = (
        evaluate(
            model,
            tiny_processor(),
            mixed_conversations,
            "train",
            tiny_run({"evaluation.batch_size": size}).evaluation,
        )
        for size in (1, batch_size)
    )
    assert together == alone
    assert any(answer.given for answer in alone.answers)


def test_an_answer_is_generated_from_the_ids_that_training_sees(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    # The type of transformers' generate knows only models of its own.
    unbound: Any = model
    real: Callable[..., torch.Tensor] = unbound.generate

    def listening(**inputs: torch.Tensor) -> object:
        rows = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        seen.extend(row[keep.bool()].tolist() for row, keep in rows)
        return real(**inputs)

    monkeypatch.setattr(model, "generate", listening)
    evaluate(model, tiny_processor(), mixed_conversations, "train", tiny_run().evaluation)
    source = SampleSource(RecordIndex(mixed_conversations, "train"), tiny_processor())
    texts = [source[number].text for number in range(len(source))]
    trained = [text.input_ids[:length] for text in texts for length in text.prompt_lengths]
    assert sorted(seen) == sorted(trained)


def test_a_limit_asks_the_first_records_only(model: Phi3VForCausalLM, colours: Dataset, tiny_run: Run) -> None:
    progress: list[tuple[int, int]] = []
    settings = tiny_run({"evaluation.limit": 2, "evaluation.batch_size": 1}).evaluation
    found = evaluate(model, tiny_processor(), colours, "val", settings, questions_into(progress))
    assert [answer.id for answer in found.answers] == ["val-0", "val-1"]
    assert progress == [(0, 2), (1, 2), (2, 2)]


def test_evaluation_leaves_the_model_training_if_it_was(
    model: Phi3VForCausalLM, colours: Dataset, tiny_run: Run
) -> None:
    for training in (True, False):
        model.train(training)
        evaluate(model, tiny_processor(), colours, "val", tiny_run().evaluation)
        assert model.training is training


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_questions_and_leave_none_out(asked: list[Question], world: int) -> None:
    shares = [batches_of_rank(asked, [30, 10, 20], (), 2, rank, world) for rank in range(world)]
    keys = [question.key for batches in shares for batch in batches for question in batch]
    assert sorted(keys) == sorted(question.key for question in asked)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_holds_questions_of_similar_length_the_longest_first(asked: list[Question]) -> None:
    tokens = [30, 10, 20]
    lengths = [tokens[question.record] for batch in batches_of_rank(asked, tokens, (), 2, 0, 1) for question in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_the_score_of_a_label_is_what_the_model_gives_its_first_token(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    records = [
        Record(id=f"r-{n}", conversations=[turn(label, user=f"{n}?")]) for n, label in enumerate(["yes", "no", "yes"])
    ]
    data, processor = write_dataset(tmp_path, {"val": records}), tiny_processor()
    found = evaluate(model, processor, data, "val", tiny_run().evaluation)
    assert found.positive_label == "yes"
    assert found.metrics["roc_auc"].count == 3
    pair = label_pair(("no", "yes"), processor)
    assert pair is not None
    tokens = list(pair.tokens)
    source = SampleSource(RecordIndex(data, "val"), processor)
    for number, answer in enumerate(found.answers):
        prompt = torch.tensor([source[number].text.prompt(0)])
        with torch.inference_mode():
            logits = model(input_ids=prompt, use_cache=False).logits[0, -1]
        assert answer.positive == pytest.approx(float(logits[tokens].softmax(-1)[1]), abs=1e-5)


def test_roc_auc_is_left_out_with_a_line_where_the_labels_begin_alike_and_refused_where_it_was_asked_for(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    records = [Record(id=label, conversations=[turn(label)]) for label in ("benign", "bad")]
    data, processor = write_dataset(tmp_path, {"val": records}), tiny_processor()
    lines: list[str] = []
    found = evaluate(model, processor, data, "val", tiny_run().evaluation, log=lines.append)
    assert "roc_auc" not in found.metrics
    (line,) = lines
    assert line.startswith("ROC AUC is left out: ")
    assert line.endswith("begin with the same token, which does not tell them apart")
    settings = tiny_run({"evaluation.metrics": "roc_auc"}).evaluation
    with pytest.raises(UsageError, match=r"begin with the same token.*leave the metric out"):
        evaluate(model, processor, data, "val", settings)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_the_loss_is_that_of_training_over_all_supervised_tokens(
    model: Phi3VForCausalLM, mixed_conversations: Dataset, tiny_run: Run, batch_size: int
) -> None:
    settings = tiny_run({"evaluation.batch_size": batch_size, "evaluation.max_new_tokens": 1}).evaluation
    processor = tiny_processor()
    found = evaluate(model, processor, mixed_conversations, "train", settings, with_loss=True)
    source = SampleSource(RecordIndex(mixed_conversations, "train"), processor)
    collator = PackedCollator(processor.tokenizer.pad_token_id, processor.image_token_id)
    batch = collator([source[number] for number in range(len(source))])
    with torch.inference_mode():
        expected = float(model(**batch).loss)
    tokens = len(batch["targets"])
    assert found.metrics["loss"].count == tokens
    assert found.value("loss") == pytest.approx(expected / tokens, rel=1e-5)


def test_turns_that_training_does_not_train_on_have_no_loss(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    turns = [turn("one", user="1?", supervised=False), turn("two", user="2?"), turn("", user="3?")]
    data = write_dataset(tmp_path, {"val": [Record(id="r", conversations=turns)]})
    settings = tiny_run({"evaluation.metrics": "loss", "evaluation.max_new_tokens": 1}).evaluation
    found = evaluate(model, tiny_processor(), data, "val", settings)
    assert [answer.loss is not None for answer in found.answers] == [False, True, False]
    assert found.metrics["loss"].count == found.answers[1].supervised > 0
    assert (list(found.metrics), found.primary) == (["loss"], "loss")


def test_the_images_of_the_next_batch_are_read_while_the_model_answers(colours: Dataset) -> None:
    read = {number: Event() for number in range(9)}

    class Noticing(SampleSource):
        def __getitem__(self, number: int) -> Sample:
            sample = super().__getitem__(number)
            read[number].set()
            return sample

    index = RecordIndex(colours, "train")
    batches = batches_of_rank(questions_of(index), [1] * 9, (), 2, 0, 1)
    samples = Noticing(index, tiny_processor())
    for place, batch in enumerate(prefetched(batches, samples, 1)):
        # The model is at work on this batch; meanwhile the next ones arrive, and none beyond those.
        assert [sample.record.id for _, sample in batch] == [question.id for question in batches[place]]
        ahead = [question.record for following in batches[place + 1 : place + 3] for question in following]
        assert all(read[number].wait(60) for number in ahead)
        later = [question.record for following in batches[place + 3 :] for question in following]
        assert not any(read[number].is_set() for number in later)


class _Stopped(Exception):
    """Ends an evaluation after a batch."""


def questions_into(steps: list[tuple[int, int]]) -> Progress:
    def note(what: str, unit: str, done: int, total: int) -> None:
        if unit == "questions":
            steps.append((done, total))

    return note


def stop_after(count: int) -> Progress:
    calls: Iterator[int] = itertools.count(1)

    def advance(what: str, unit: str, done: int, total: int) -> None:
        if unit == "questions" and done and next(calls) == count:
            raise _Stopped

    return advance


def test_an_evaluation_that_was_stopped_asks_only_what_is_left(
    model: Phi3VForCausalLM, colours: Dataset, tmp_path: Path, tiny_run: Run
) -> None:
    settings = tiny_run({"evaluation.batch_size": 2}).evaluation
    whole = evaluate(model, tiny_processor(), colours, "train", settings)
    journal = AnswerJournal(tmp_path / "answers", "this model")
    with pytest.raises(_Stopped):
        evaluate(model, tiny_processor(), colours, "train", settings, stop_after(2), journal=journal)
    (path,) = journal.folder.iterdir()
    with path.open("ab") as stream:
        stream.write(b'{"id": "train-')  # the process was killed in the middle of a line
    progress: list[tuple[int, int]] = []
    continued = evaluate(
        model,
        tiny_processor(),
        colours,
        "train",
        settings,
        questions_into(progress),
        journal=journal,
    )
    assert progress[-1] == (5, 5)
    assert continued == whole
    assert len(journal.read()) == 9
    journal.remove()
    assert not journal.folder.exists()


def test_answers_of_another_model_are_not_continued(
    model: Phi3VForCausalLM, colours: Dataset, tmp_path: Path, tiny_run: Run
) -> None:
    folder = tmp_path / "answers"
    evaluate(model, tiny_processor(), colours, "val", tiny_run().evaluation, journal=AnswerJournal(folder, "one"))
    progress: list[tuple[int, int]] = []
    evaluate(
        model,
        tiny_processor(),
        colours,
        "val",
        tiny_run().evaluation,
        questions_into(progress),
        journal=AnswerJournal(folder, "another"),
    )
    assert progress[-1] == (3, 3)
    assert AnswerJournal(folder, "one").read() == {}


def test_answers_that_can_be_written_nowhere_are_not_asked_for(
    model: Phi3VForCausalLM, colours: Dataset, tmp_path: Path, tiny_run: Run
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate(
            model,
            tiny_processor(),
            colours,
            "val",
            tiny_run().evaluation,
            stop_after(1),
            journal=AnswerJournal(tmp_path / "file" / "answers", "one"),
        )


def test_an_image_that_cannot_be_read_ends_the_evaluation_by_name(
    model: Phi3VForCausalLM, tmp_path: Path, tiny_run: Run
) -> None:
    data = write_dataset(tmp_path, {"val": colour_records("val", 3)})
    path = tmp_path / "images" / "val" / "green-1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"record val-1: .*green-1\.png"):
        evaluate(model, tiny_processor(), data, "val", tiny_run().evaluation)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train", "test", "val"], "val"),
        (["train", "test_seen", "dev_unseen", "dev_seen"], "dev_seen"),
        (["train", "validation"], "validation"),
        (["train", "test_seen"], "test_seen"),
        (["train"], None),
        (["train", "other"], None),
    ],
)
def test_the_usual_splits_are_found_and_never_the_training_split(
    tmp_path: Path, splits: list[str], expected: str | None
) -> None:
    (tmp_path / "records.jsonl").write_text("{}\n")
    data = Dataset(LocalFolder(tmp_path), dict.fromkeys(splits, "records.jsonl"), None)
    assert evaluation_split(data, None) == expected


def test_a_split_that_is_not_there_is_refused_by_listing_those_that_are(colours: Dataset) -> None:
    with pytest.raises(DatasetError, match="no split 'dev' to evaluate on; there are: train, val"):
        evaluation_split(colours, "dev")
    assert evaluation_split(colours, "train") == "train"
